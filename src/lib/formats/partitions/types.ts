/** One row of a partition table. Offsets and sizes in bytes. */
export interface Partition {
  /** At most 16 bytes of UTF-8. */
  label: string;
  type: number;
  subtype: number;
  offset: number;
  size: number;
  encrypted: boolean;
  readonly: boolean;
}

export interface PartitionTable {
  partitions: Partition[];
  /** Whether a row with the MD5 of the others closes it. */
  md5: boolean;
}

/** Where the table is unless the bootloader was built for another place, the room it has there, and its own length. */
export const partitionTableOffset = 0x8000;
export const partitionTableSector = 0x1000;
export const partitionTableBytes = 0xc00;
/** 96 rows have room; the last is for the MD5. */
export const maxPartitions = 95;

/** Flash is erased by sectors; an app is mapped by pages of the cache. */
export const sectorBytes = 0x1000;
export const appAlignment = 0x10000;

/** Names of types and subtypes. Source: ESP-IDF, "Partition Tables", and esp_partition.h. */
export const partitionTypes = { app: 0, data: 1, bootloader: 2, partition_table: 3 } as const;

const otaSubtypes = Object.fromEntries(Array.from({ length: 16 }, (_, n) => [`ota_${n}`, 0x10 + n]));

export const partitionSubtypes: Readonly<Record<number, Readonly<Record<string, number>>>> = {
  0: { factory: 0x00, ...otaSubtypes, test: 0x20 },
  1: {
    ota: 0x00,
    phy: 0x01,
    nvs: 0x02,
    coredump: 0x03,
    nvs_keys: 0x04,
    efuse: 0x05,
    undefined: 0x06,
    esphttpd: 0x80,
    fat: 0x81,
    spiffs: 0x82,
    littlefs: 0x83,
  },
  2: { primary: 0x00, ota: 0x01, recovery: 0x02 },
  3: { primary: 0x00, ota: 0x01 },
};

/** 1 → `data`; a number in hexadecimal where it has no name. */
export function partitionTypeName(type: number): string {
  return nameOf(partitionTypes, type);
}

/** 1, 2 → `nvs` */
export function partitionSubtypeName(type: number, subtype: number): string {
  return nameOf(partitionSubtypes[type] ?? {}, subtype);
}

function nameOf(names: Readonly<Record<string, number>>, value: number): string {
  const found = Object.entries(names).find(([, code]) => code === value);
  return found ? found[0] : `0x${value.toString(16).padStart(2, '0')}`;
}

/** The app slots that updates go into, in their order: ota_0, ota_1 … without a gap. */
export function otaSlots(table: PartitionTable): Partition[] {
  const slots: Partition[] = [];
  for (let n = 0; ; n++) {
    const slot = table.partitions.find(({ type, subtype }) => type === 0 && subtype === 0x10 + n);
    if (!slot) return slots;
    slots.push(slot);
  }
}
