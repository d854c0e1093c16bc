import type { ChipName } from './esp-image/chips.js';

/** Fuses that lock a board, by the names of the technical reference manuals. */
export type FuseName =
  | 'WR_DIS'
  | 'RD_DIS'
  | 'DIS_DOWNLOAD_ICACHE'
  | 'DIS_DOWNLOAD_DCACHE'
  | 'DIS_PAD_JTAG'
  | 'HARD_DIS_JTAG'
  | 'DIS_USB_JTAG'
  | 'DIS_DOWNLOAD_MANUAL_ENCRYPT'
  | 'SPI_BOOT_CRYPT_CNT'
  | `SECURE_BOOT_KEY_REVOKE${0 | 1 | 2}`
  | `KEY_PURPOSE_${0 | 1 | 2 | 3 | 4 | 5}`
  | 'SECURE_BOOT_EN'
  | 'DIS_DIRECT_BOOT'
  | 'DIS_LEGACY_SPI_BOOT'
  | 'ENABLE_SECURITY_DOWNLOAD';

/** A fuse in block 0. */
export interface BurnField {
  word: number;
  bit: number;
  bits: number;
  /** Bit of WR_DIS that protects the fuse from further burning; null = nothing protects it. */
  lock: number | null;
}

/** Bits of one of the controller's registers. */
export interface TimingField {
  offset: number;
  mask: number;
  value: number;
}

/** The controller with which a chip burns its own fuses. */
export interface BurnLayout {
  /** Address of the controller's first register. */
  controller: number;
  fields: Partial<Record<FuseName, BurnField | undefined>>;
  /** Fields of registers that set the timing of a burn. */
  timing: readonly TimingField[];
  /** A key block that cannot hold a key for flash encryption, because of a defect of the chip. */
  notForEncryption: number;
}

const field = (word: number, bit: number, lock: number | null, bits = 1): BurnField => ({
  ...{ word, bit, bits, lock },
});

const shared = {
  WR_DIS: field(0, 0, null, 32),
  RD_DIS: field(1, 0, 0, 7),
  DIS_DOWNLOAD_ICACHE: field(1, 10, 2),
  DIS_PAD_JTAG: field(1, 19, 2),
  DIS_DOWNLOAD_MANUAL_ENCRYPT: field(1, 20, 2),
  SPI_BOOT_CRYPT_CNT: field(2, 18, 4, 3),
  SECURE_BOOT_KEY_REVOKE0: field(2, 21, 5),
  SECURE_BOOT_KEY_REVOKE1: field(2, 22, 6),
  SECURE_BOOT_KEY_REVOKE2: field(2, 23, 7),
  KEY_PURPOSE_0: field(2, 24, 8, 4),
  KEY_PURPOSE_1: field(2, 28, 9, 4),
  KEY_PURPOSE_2: field(3, 0, 10, 4),
  KEY_PURPOSE_3: field(3, 4, 11, 4),
  KEY_PURPOSE_4: field(3, 8, 12, 4),
  KEY_PURPOSE_5: field(3, 12, 13, 4),
  SECURE_BOOT_EN: field(3, 20, 15),
  DIS_DIRECT_BOOT: field(4, 1, 18),
  ENABLE_SECURITY_DOWNLOAD: field(4, 5, 18),
} as const satisfies BurnLayout['fields'];

/** Timing for a 40 MHz crystal, or 32 MHz on an ESP32-H2. @param powerOn offset of the first of two registers */
const newerTiming = (powerOn: number): TimingField[] => [
  { offset: 0x1e8, mask: (0xff << 9) | 0xff, value: (0xff << 9) | 0x28 },
  { offset: powerOn, mask: 0xffff << 8, value: 0x3000 << 8 },
  { offset: powerOn + 4, mask: 0xffff, value: 0x190 },
];

const {
  DIS_PAD_JTAG: padJtag,
  DIS_DOWNLOAD_MANUAL_ENCRYPT: manualEncryption,
  DIS_DIRECT_BOOT: directBoot,
  ...sharedWithS2
} = shared;

/**
 * The chips whose fuses aiot can burn. Source: the chips' technical reference manuals, "eFuse Controller". Block 9 of an ESP32-S3 and
 * ESP32-C3 cannot hold a key for flash encryption (errata); on the others, it is not used for one either.
 */
export const burnLayouts: Partial<Record<ChipName, BurnLayout>> = {
  esp32s2: {
    controller: 0x3f41_a000,
    timing: [
      { offset: 0x1e8, mask: 0xff, value: 0x50 },
      { offset: 0x1ec, mask: 0xffff, value: (2 << 8) | 1 },
      { offset: 0x1f0, mask: 0xffff_ffff, value: (0x190 << 16) | (2 << 8) | 1 },
      { offset: 0x1f4, mask: 0xff_ffff, value: (0x5100 << 8) | 1 },
      { offset: 0x1f8, mask: 0xffff, value: 0x80 },
    ],
    fields: {
      ...sharedWithS2,
      DIS_DOWNLOAD_DCACHE: field(1, 11, 2),
      HARD_DIS_JTAG: { ...padJtag, bit: 18 },
      DIS_DOWNLOAD_MANUAL_ENCRYPT: { ...manualEncryption, bit: 19 },
      DIS_LEGACY_SPI_BOOT: directBoot,
    },
    notForEncryption: 5,
  },
  esp32s3: {
    controller: 0x6000_7000,
    timing: newerTiming(0x1f4),
    fields: { ...shared, DIS_DOWNLOAD_DCACHE: field(1, 11, 2), DIS_USB_JTAG: field(3, 22, 2) },
    notForEncryption: 5,
  },
  esp32c3: {
    controller: 0x6000_8800,
    timing: newerTiming(0x1f0),
    fields: { ...shared, DIS_USB_JTAG: field(1, 9, 2) },
    notForEncryption: 5,
  },
  esp32c6: {
    controller: 0x600b_0800,
    timing: newerTiming(0x1f0),
    fields: { ...shared, DIS_USB_JTAG: field(1, 9, 2) },
    notForEncryption: 5,
  },
  // It has no fuse that disables a cache for the loader.
  esp32h2: {
    controller: 0x600b_0800,
    timing: newerTiming(0x1f0),
    fields: { ...shared, DIS_USB_JTAG: field(1, 9, 2), DIS_DOWNLOAD_ICACHE: undefined },
    notForEncryption: 5,
  },
};

/** Registers of the controller, offsets in bytes. Source: technical reference manuals, "eFuse Controller", register summary. */
export const fuseRegisters = {
  data: 0x00,
  check: 0x20,
  /** Word 0 of block 0, as last read by the controller. */
  blocks: 0x2c,
  repeatErrors: 0x17c,
  codeErrors: 0x1c0,
  configuration: 0x1cc,
  command: 0x1d4,
  end: 0x200,
} as const;

export const fuseCommands = { write: 0x5a5a, read: 0x5aa5, program: 2, readAll: 1 } as const;

/** Number of words of each block, by its index. */
export const blockWords = [6, 6, 8, 8, 8, 8, 8, 8, 8, 8, 8] as const;

/** Index of the first key block. */
export const firstKeyBlock = 4;

export const keyBlockCount = 6;

/** Bit of WR_DIS that protects a block; block 0 has none, because its fuses have their own. */
export const blockLock = (block: number): number => 19 + block;

/** Offset of a block's first word from the controller's first register. */
export function blockOffset(block: number): number {
  const before = blockWords.slice(0, block).reduce((sum, words) => sum + words, 0);
  return fuseRegisters.blocks + 4 * before;
}

const dataBytes = 32;
const checkBytes = 12;

/** Powers of 2 in GF(256), and their logarithms. The field's polynomial is x^8 + x^4 + x^3 + x^2 + 1. */
const powers = new Uint8Array(255);
const logarithms = new Uint8Array(256);
for (let exponent = 0, value = 1; exponent < 255; exponent++) {
  powers[exponent] = value;
  logarithms[value] = exponent;
  value = value & 0x80 ? ((value << 1) ^ 0x11d) & 0xff : value << 1;
}

const times = (a: number, b: number): number =>
  a === 0 || b === 0 ? 0 : powers[((logarithms[a] ?? 0) + (logarithms[b] ?? 0)) % 255]!;

/** The polynomial with the roots 2^0 to 2^11, highest power first. */
let generator = [1];
for (let root = 0; root < checkBytes; root++) {
  const before = generator;
  generator = before
    .concat(0)
    .map((value, index) => value ^ times(before[index - 1] ?? 0, powers[root] ?? 0));
}

/**
 * The check bytes of a block of fuses other than block 0: a Reed-Solomon code of 44 bytes, of which 32 are data.
 * @param data 32 bytes, in the order in which they are burned
 * @returns 12 bytes
 */
export function checkBytesOf(data: Uint8Array): Uint8Array {
  const rest = new Uint8Array(dataBytes + checkBytes);
  rest.set(data.subarray(0, dataBytes));
  for (let at = 0; at < dataBytes; at++) {
    const factor = rest[at] ?? 0;
    for (const [index, value] of generator.entries()) rest[at + index]! ^= times(value, factor);
  }
  return rest.slice(dataBytes);
}
