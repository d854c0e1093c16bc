/**
 * The chips that this project knows, as esptool and espflash write them, with what an image has to know of them. Source:
 * the chip_id of esp_image_header_t (ESP-IDF, esp_app_format.h), the ROMs' boot offsets (esptool, targets), and the family
 * ids of the UF2 specification (uf2families.json).
 */
export const espChips = {
  esp32: { id: 0, bootloaderOffset: 0x1000, title: 'ESP32', machine: 'xtensa', uf2Family: 0x1c5f21b0 },
  esp32s2: { id: 2, bootloaderOffset: 0x1000, title: 'ESP32-S2', machine: 'xtensa', uf2Family: 0xbfdd4eee },
  esp32c3: { id: 5, bootloaderOffset: 0x0, title: 'ESP32-C3', machine: 'riscv', uf2Family: 0xd42ba06c },
  esp32s3: { id: 9, bootloaderOffset: 0x0, title: 'ESP32-S3', machine: 'xtensa', uf2Family: 0xc47e5767 },
  esp32c2: { id: 12, bootloaderOffset: 0x0, title: 'ESP32-C2', machine: 'riscv', uf2Family: 0x2b88d29c },
  esp32c6: { id: 13, bootloaderOffset: 0x0, title: 'ESP32-C6', machine: 'riscv', uf2Family: 0x540ddf62 },
  esp32h2: { id: 16, bootloaderOffset: 0x0, title: 'ESP32-H2', machine: 'riscv', uf2Family: 0x332726f6 },
  esp32p4: { id: 18, bootloaderOffset: 0x2000, title: 'ESP32-P4', machine: 'riscv', uf2Family: 0x3d308e94 },
  esp32c5: { id: 23, bootloaderOffset: 0x2000, title: 'ESP32-C5', machine: 'riscv', uf2Family: 0xf71c0343 },
} as const;

export type ChipName = keyof typeof espChips;
export const chipNames = Object.keys(espChips) as ChipName[];

/** The chip with this id in an image's header; null for one that is not known here. */
export function chipOfId(id: number): ChipName | null {
  return chipNames.find((name) => espChips[name].id === id) ?? null;
}
