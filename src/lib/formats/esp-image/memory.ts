import type { ChipName } from './chips.js';

/** Kind of memory at an address: flash mapped by the cache (DROM data, IROM code), a kind of RAM, or the mask ROM. */
export type MemoryType =
  | 'PADDING'
  | 'DROM'
  | 'IROM'
  | 'DRAM'
  | 'IRAM'
  | 'DIRAM_DRAM'
  | 'DIRAM_IRAM'
  | 'CACHE_PRO'
  | 'CACHE_APP'
  | 'EXTRAM_DATA'
  | 'BYTE_ACCESSIBLE'
  | 'MEM_INTERNAL'
  | 'MEM_INTERNAL2'
  | 'RTC_DRAM'
  | 'RTC_IRAM'
  | 'RTC_DATA'
  | 'DROM_MASK'
  | 'IROM_MASK';

type Range = readonly [start: number, end: number, type: MemoryType];

interface ChipMemory {
  /** Address ranges of the flash cache. A segment that starts in one of these ranges is mapped; any other segment is copied. */
  flash: readonly (readonly [start: number, end: number])[];
  /** Page sizes of the flash cache, bytes; the default is first. If there are several, the firmware chooses one. */
  pages: readonly number[];
  ranges: readonly Range[];
}

const page64 = [0x10000];
const pages8to64 = [0x10000, 0x2000, 0x4000, 0x8000];

/** The C6 and similar chips have one address space for code and data. */
function unified(ramEnd: number, maskEnd: number, maskDataStart: number, flashEnd: number): Range[] {
  return [
    [0x00000000, 0x00010000, 'PADDING'],
    [0x42000000, flashEnd, 'DROM'],
    [0x40800000, ramEnd, 'DRAM'],
    [0x40800000, ramEnd, 'BYTE_ACCESSIBLE'],
    [maskDataStart, maskEnd, 'DROM_MASK'],
    [0x40000000, maskDataStart, 'IROM_MASK'],
    [0x42000000, flashEnd, 'IROM'],
    [0x40800000, ramEnd, 'IRAM'],
    [0x50000000, 0x50004000, 'RTC_IRAM'],
    [0x50000000, 0x50004000, 'RTC_DRAM'],
    [0x600fe000, 0x60100000, 'MEM_INTERNAL2'],
  ];
}

/** Source: the memory maps in the chips' technical reference manuals, with esptool's names and bounds. */
const chips: Record<ChipName, ChipMemory> = {
  esp32: {
    flash: [
      [0x400d0000, 0x40400000],
      [0x3f400000, 0x3f800000],
    ],
    pages: page64,
    ranges: [
      [0x00000000, 0x00010000, 'PADDING'],
      [0x3f400000, 0x3f800000, 'DROM'],
      [0x3f800000, 0x3fc00000, 'EXTRAM_DATA'],
      [0x3ff80000, 0x3ff82000, 'RTC_DRAM'],
      [0x3ff90000, 0x40000000, 'BYTE_ACCESSIBLE'],
      [0x3ffae000, 0x40000000, 'DRAM'],
      [0x3ffe0000, 0x3ffffffc, 'DIRAM_DRAM'],
      [0x40000000, 0x40070000, 'IROM'],
      [0x40070000, 0x40078000, 'CACHE_PRO'],
      [0x40078000, 0x40080000, 'CACHE_APP'],
      [0x40080000, 0x400a0000, 'IRAM'],
      [0x400a0000, 0x400bfffc, 'DIRAM_IRAM'],
      [0x400c0000, 0x400c2000, 'RTC_IRAM'],
      [0x400d0000, 0x40400000, 'IROM'],
      [0x50000000, 0x50002000, 'RTC_DATA'],
    ],
  },
  esp32s2: {
    flash: [
      [0x40080000, 0x40b80000],
      [0x3f000000, 0x3f3f0000],
    ],
    pages: page64,
    ranges: [
      [0x00000000, 0x00010000, 'PADDING'],
      [0x3f000000, 0x3ff80000, 'DROM'],
      [0x3f500000, 0x3ff80000, 'EXTRAM_DATA'],
      [0x3ff9e000, 0x3ffa0000, 'RTC_DRAM'],
      [0x3ff9e000, 0x40000000, 'BYTE_ACCESSIBLE'],
      [0x3ff9e000, 0x40072000, 'MEM_INTERNAL'],
      [0x3ffb0000, 0x40000000, 'DRAM'],
      [0x40000000, 0x4001a100, 'IROM_MASK'],
      [0x40020000, 0x40070000, 'IRAM'],
      [0x40070000, 0x40072000, 'RTC_IRAM'],
      [0x40080000, 0x40800000, 'IROM'],
      [0x50000000, 0x50002000, 'RTC_DATA'],
    ],
  },
  esp32s3: {
    flash: [
      [0x42000000, 0x44000000],
      [0x3c000000, 0x3e000000],
    ],
    pages: page64,
    ranges: [
      [0x00000000, 0x00010000, 'PADDING'],
      [0x3c000000, 0x3d000000, 'DROM'],
      [0x3d000000, 0x3e000000, 'EXTRAM_DATA'],
      [0x600fe000, 0x60100000, 'RTC_DRAM'],
      [0x3fc88000, 0x3fd00000, 'BYTE_ACCESSIBLE'],
      [0x3fc88000, 0x403e2000, 'MEM_INTERNAL'],
      [0x3fc88000, 0x3fd00000, 'DRAM'],
      [0x40000000, 0x4001a100, 'IROM_MASK'],
      [0x40370000, 0x403e0000, 'IRAM'],
      [0x600fe000, 0x60100000, 'RTC_IRAM'],
      [0x42000000, 0x42800000, 'IROM'],
      [0x50000000, 0x50002000, 'RTC_DATA'],
    ],
  },
  esp32c3: {
    flash: [
      [0x42000000, 0x42800000],
      [0x3c000000, 0x3c800000],
    ],
    pages: page64,
    ranges: [
      [0x00000000, 0x00010000, 'PADDING'],
      [0x3c000000, 0x3c800000, 'DROM'],
      [0x3fc80000, 0x3fce0000, 'DRAM'],
      [0x3fc88000, 0x3fd00000, 'BYTE_ACCESSIBLE'],
      [0x3ff00000, 0x3ff20000, 'DROM_MASK'],
      [0x40000000, 0x40060000, 'IROM_MASK'],
      [0x42000000, 0x42800000, 'IROM'],
      [0x4037c000, 0x403e0000, 'IRAM'],
      [0x50000000, 0x50002000, 'RTC_IRAM'],
      [0x50000000, 0x50002000, 'RTC_DRAM'],
      [0x600fe000, 0x60100000, 'MEM_INTERNAL2'],
    ],
  },
  esp32c2: {
    flash: [
      [0x42000000, 0x42400000],
      [0x3c000000, 0x3c400000],
    ],
    pages: [0x10000, 0x4000, 0x8000],
    ranges: [
      [0x00000000, 0x00010000, 'PADDING'],
      [0x3c000000, 0x3c400000, 'DROM'],
      [0x3fca0000, 0x3fce0000, 'DRAM'],
      [0x3fc88000, 0x3fd00000, 'BYTE_ACCESSIBLE'],
      [0x3ff00000, 0x3ff50000, 'DROM_MASK'],
      [0x40000000, 0x40090000, 'IROM_MASK'],
      [0x42000000, 0x42400000, 'IROM'],
      [0x4037c000, 0x403c0000, 'IRAM'],
    ],
  },
  esp32c6: {
    flash: [[0x42000000, 0x43000000]],
    pages: pages8to64,
    ranges: unified(0x40880000, 0x40050000, 0x4004ac00, 0x43000000),
  },
  esp32h2: {
    flash: [[0x42000000, 0x43000000]],
    pages: pages8to64,
    ranges: unified(0x40880000, 0x40050000, 0x4004ac00, 0x43000000),
  },
  esp32c5: {
    flash: [[0x42000000, 0x44000000]],
    pages: page64,
    ranges: unified(0x40860000, 0x40040000, 0x4003a000, 0x44000000),
  },
  esp32c61: {
    flash: [[0x42000000, 0x43000000]],
    pages: pages8to64,
    ranges: unified(0x40860000, 0x40050000, 0x4004ac00, 0x44000000),
  },
  esp32h21: {
    flash: [[0x42000000, 0x43000000]],
    pages: pages8to64,
    ranges: [
      [0x00000000, 0x00010000, 'PADDING'],
      [0x42000000, 0x43000000, 'DROM'],
      [0x40800000, 0x40850000, 'DRAM'],
      [0x40800000, 0x40850000, 'BYTE_ACCESSIBLE'],
      [0x40000000, 0x40020000, 'DROM_MASK'],
      [0x40000000, 0x40020000, 'IROM_MASK'],
      [0x42000000, 0x43000000, 'IROM'],
      [0x40800000, 0x40850000, 'IRAM'],
      [0x50000000, 0x50001000, 'RTC_IRAM'],
      [0x50000000, 0x50001000, 'RTC_DRAM'],
      [0x40800000, 0x40850000, 'MEM_INTERNAL'],
    ],
  },
  esp32h4: {
    flash: [[0x42000000, 0x44000000]],
    pages: pages8to64,
    ranges: [
      [0x00000000, 0x00010000, 'PADDING'],
      [0x42000000, 0x44000000, 'DROM'],
      [0x40810000, 0x40860000, 'DRAM'],
      [0x40810000, 0x40860000, 'BYTE_ACCESSIBLE'],
      [0x40000000, 0x40020000, 'DROM_MASK'],
      [0x40000000, 0x40020000, 'IROM_MASK'],
      [0x42000000, 0x44000000, 'IROM'],
      [0x40810000, 0x40860000, 'IRAM'],
      [0x40810000, 0x40860000, 'MEM_INTERNAL'],
    ],
  },
  esp32p4: {
    flash: [[0x40000000, 0x4c000000]],
    pages: page64,
    ranges: [
      [0x00000000, 0x00010000, 'PADDING'],
      [0x40000000, 0x4c000000, 'DROM'],
      [0x4ff00000, 0x4ffa0000, 'DRAM'],
      [0x4ff00000, 0x4ffa0000, 'BYTE_ACCESSIBLE'],
      [0x4fc00000, 0x4fc20000, 'DROM_MASK'],
      [0x4fc00000, 0x4fc20000, 'IROM_MASK'],
      [0x40000000, 0x4c000000, 'IROM'],
      [0x4ff00000, 0x4ffa0000, 'IRAM'],
      [0x50108000, 0x50110000, 'RTC_IRAM'],
      [0x50108000, 0x50110000, 'RTC_DRAM'],
      [0x600fe000, 0x60100000, 'MEM_INTERNAL2'],
    ],
  },
};

/** Whether a segment at this address is mapped from flash (true) or copied into RAM before the program starts. */
export function isMapped(chip: ChipName, address: number): boolean {
  return chips[chip].flash.some(([start, end]) => start <= address && address < end);
}

/** All kinds of memory that contain an address, in the map's order. */
export function memoryTypes(chip: ChipName, address: number): MemoryType[] {
  return chips[chip].ranges
    .filter(([start, end]) => start <= address && address < end)
    .map(([, , type]) => type);
}

/** Page sizes of the flash cache, bytes: first the default, then the alternatives that firmware may choose. */
export function flashPages(chip: ChipName): readonly number[] {
  return chips[chip].pages;
}
