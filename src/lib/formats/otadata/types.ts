/** The partition: two sectors of 0x1000, each with one entry of 32 bytes at its begin. */
export const otadataBytes = 0x2000;
export const otadataSector = 0x1000;

/** States of an entry. Source: ESP-IDF, esp_flash_partitions.h (esp_ota_img_states_t). */
export const otaStates = {
  new: 0,
  pending: 1,
  valid: 2,
  invalid: 3,
  aborted: 4,
  undefined: 0xffffffff,
} as const;
export type OtaState = keyof typeof otaStates;
export const otaStateNames = Object.keys(otaStates) as OtaState[];

export interface OtadataEntry {
  /** Rises with every switch: slot = (sequence - 1) modulo the number of slots. */
  sequence: number;
  state: OtaState;
  /** Whether the bootloader would take it: not invalid, not aborted, CRC right. */
  usable: boolean;
}

export interface Otadata {
  /** One a sector; null = blank. */
  entries: [OtadataEntry | null, OtadataEntry | null];
  /**
   * The slot that the bootloader starts, of `count` app slots; null = none is named: it starts the factory app, or slot 0
   * where there is none.
   */
  active(count: number): number | null;
}
