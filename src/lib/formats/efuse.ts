import type { ChipName } from './esp-image/chips.js';

/** A field in eFuse block 0: word, lowest bit and number of bits. */
type Field = readonly [word: number, bit: number, bits?: number];

/** Address of a chip's eFuse block 0, and the block's security fields. A chip lacks the fields that are absent here. */
interface FuseLayout {
  /** Address of word 0 as read by the processor. */
  address: number;
  words: number;
  writeProtection: Field;
  readProtection: Field;
  encryptionCount: Field;
  /** Write-protection bit of the encryption count. */
  encryptionCountLock: number;
  /** Secure boot V1, which only an ESP32 has. */
  secureBootV1?: Field;
  secureBootV2: Field;
  aggressiveRevoke?: Field;
  revoked: readonly Field[];
  purposes: readonly Field[];
  /** Highest bits of the purposes, if they are stored separately. */
  purposesHigh?: readonly Field[];
  /** Write-protection bit of key block 0. The bits of the other blocks follow it. */
  keyLock?: number;
  padJtag: Field;
  /** While an odd number of these bits is set, a key with purpose HMAC can enable JTAG again. */
  softJtag?: Field;
  usbJtag?: Field;
  noDownload: Field;
  secureDownload?: Field;
  /** Prevents the loader from encrypting data that it writes and, on an ESP32, from decrypting data that it reads. */
  noManualEncryption: readonly Field[];
  noDirectBoot?: Field;
  /** Absent on an ESP32, whose secure version is in a user block. */
  secureVersion?: Field;
}

const fourBits = [
  [2, 24, 4],
  [2, 28, 4],
  [3, 0, 4],
  [3, 4, 4],
  [3, 8, 4],
  [3, 12, 4],
] as const satisfies readonly Field[];

/** The fields that most chips since the ESP32-S2 have in common. */
const common = {
  words: 6,
  writeProtection: [0, 0, 32],
  readProtection: [1, 0, 7],
  encryptionCount: [2, 18, 3],
  encryptionCountLock: 4,
  secureBootV2: [3, 20],
  aggressiveRevoke: [3, 21],
  revoked: [
    [2, 21],
    [2, 22],
    [2, 23],
  ],
  purposes: fourBits,
  keyLock: 23,
  padJtag: [1, 19],
  softJtag: [1, 16, 3],
  noDownload: [4, 0],
  secureDownload: [4, 5],
  noManualEncryption: [[1, 20]],
  noDirectBoot: [4, 1],
} as const satisfies Partial<FuseLayout>;

/**
 * Source: eFuse tables in the chips' technical reference manuals, and each chip's esp_efuse_table.csv in ESP-IDF. The ESP32-P4 has the
 * highest bits of the purposes since revision v3.0. In earlier revisions, they are reserved and 0.
 */
const layouts: Record<ChipName, FuseLayout> = {
  esp32: {
    address: 0x3ff5_a000,
    words: 7,
    writeProtection: [0, 0, 16],
    readProtection: [0, 16, 4],
    encryptionCount: [0, 20, 7],
    encryptionCountLock: 2,
    secureBootV1: [6, 4],
    secureBootV2: [6, 5],
    revoked: [],
    purposes: [],
    padJtag: [6, 6],
    noDownload: [0, 27],
    noManualEncryption: [
      [6, 7],
      [6, 8],
    ],
  },
  esp32s2: {
    ...common,
    address: 0x3f41_a02c,
    padJtag: [1, 18],
    softJtag: [1, 17],
    noManualEncryption: [[1, 19]],
    secureVersion: [4, 11, 16],
  },
  esp32s3: {
    ...common,
    address: 0x6000_702c,
    usbJtag: [3, 22],
    secureVersion: [4, 14, 16],
  },
  esp32c3: {
    ...common,
    address: 0x6000_882c,
    usbJtag: [1, 9],
    secureVersion: [4, 14, 16],
  },
  esp32c2: {
    address: 0x6000_882c,
    words: 2,
    writeProtection: [0, 0, 8],
    readProtection: [1, 0, 2],
    encryptionCount: [1, 7, 3],
    encryptionCountLock: 2,
    secureBootV2: [1, 21],
    revoked: [],
    purposes: [],
    padJtag: [1, 4],
    noDownload: [1, 14],
    secureDownload: [1, 16],
    noManualEncryption: [[1, 6]],
    noDirectBoot: [1, 15],
    secureVersion: [1, 22, 4],
  },
  esp32c6: {
    ...common,
    address: 0x600b_082c,
    usbJtag: [1, 9],
    secureVersion: [4, 14, 16],
  },
  esp32h2: {
    ...common,
    address: 0x600b_082c,
    usbJtag: [1, 9],
    secureVersion: [4, 9, 16],
  },
  esp32p4: {
    ...common,
    address: 0x5012_d02c,
    purposesHigh: [
      [4, 27],
      [4, 28],
      [4, 29],
      [4, 30],
      [4, 31],
      [5, 4],
    ],
    usbJtag: [1, 9],
    secureVersion: [4, 9, 16],
  },
  esp32h21: {
    ...common,
    address: 0x600b_402c,
    usbJtag: [1, 9],
    secureVersion: [4, 9, 16],
  },
  esp32h4: {
    ...common,
    address: 0x600b_182c,
    encryptionCount: [1, 23, 3],
    secureBootV2: [3, 5],
    aggressiveRevoke: [3, 6],
    revoked: [
      [1, 26],
      [1, 27],
      [1, 28],
    ],
    purposes: [
      [2, 0, 5],
      [2, 5, 5],
      [2, 10, 5],
      [2, 15, 5],
      [2, 20, 5],
      [2, 25, 5],
    ],
    padJtag: [1, 13],
    softJtag: [5, 11, 3],
    usbJtag: [1, 7],
    noDownload: [3, 31],
    secureDownload: [4, 3],
    noManualEncryption: [[1, 14]],
    noDirectBoot: [4, 0],
    secureVersion: [4, 7, 16],
  },
  esp32c61: {
    words: 6,
    writeProtection: [0, 0, 32],
    readProtection: [1, 0, 7],
    address: 0x600b_482c,
    encryptionCount: [1, 23, 3],
    encryptionCountLock: 4,
    secureBootV2: [2, 26],
    aggressiveRevoke: [2, 27],
    revoked: [
      [1, 26],
      [1, 27],
      [1, 28],
    ],
    purposes: [
      [2, 0, 4],
      [2, 4, 4],
      [2, 8, 4],
      [2, 12, 4],
      [2, 16, 4],
      [2, 20, 4],
    ],
    keyLock: 23,
    padJtag: [1, 13],
    usbJtag: [1, 8],
    noDownload: [3, 0],
    secureDownload: [3, 4],
    noManualEncryption: [[1, 14]],
    noDirectBoot: [3, 1],
    secureVersion: [3, 8, 16],
  },
  esp32c5: {
    ...common,
    address: 0x600b_482c,
    encryptionCount: [2, 16, 3],
    secureBootV2: [3, 25],
    aggressiveRevoke: [3, 26],
    revoked: [
      [2, 19],
      [2, 20],
      [2, 21],
    ],
    purposes: [
      [2, 22, 5],
      [2, 27, 5],
      [3, 0, 5],
      [3, 5, 5],
      [3, 10, 5],
      [3, 15, 5],
    ],
    usbJtag: [1, 9],
    secureVersion: [4, 9, 9],
  },
};

/** Names of key purposes, by number. Source: esp_efuse_purpose_t (ESP-IDF, esp_efuse_chip.h). */
const purposeNames: Readonly<Record<number, string>> = {
  0: 'user',
  1: 'ecdsa-p256',
  2: 'xts-aes-256-1',
  3: 'xts-aes-256-2',
  4: 'xts-aes-128',
  5: 'hmac-down-all',
  6: 'hmac-jtag',
  7: 'hmac-digital-signature',
  8: 'hmac-up',
  9: 'secure-boot-0',
  10: 'secure-boot-1',
  11: 'secure-boot-2',
  12: 'key-manager',
  15: 'xts-aes-128-psram',
  16: 'ecdsa-p192',
  17: 'ecdsa-p384-low',
  18: 'ecdsa-p384-high',
};

export const purposeName = (purpose: number): string => purposeNames[purpose] ?? `reserved-${purpose}`;

/** One of a chip's key blocks. */
export interface KeyBlock {
  block: number;
  purpose: string;
  /** Whether software cannot read the key. */
  readProtected: boolean;
  writeProtected: boolean;
}

/** Whether debugging over JTAG is possible. `soft` = disabled, but a key can enable JTAG again. */
export type JtagState = 'enabled' | 'soft' | 'disabled';

/** A chip's security fuses. */
export interface SecurityFuses {
  /** The enabled version of secure boot; null = not enabled. */
  secureBoot: 1 | 2 | null;
  aggressiveRevoke: boolean;
  /** Whether each secure boot key is revoked; empty if this chip cannot revoke keys. */
  revoked: boolean[];
  encryption: {
    /** Whether the flash is encrypted: the count has an odd number of set bits. */
    enabled: boolean;
    /** Number of bits set in the count. */
    count: number;
    /** Whether encryption can no longer be turned off. */
    permanent: boolean;
  };
  padJtag: JtagState;
  /** Null = the chip has no JTAG over USB. */
  usbJtag: 'enabled' | 'disabled' | null;
  download: 'open' | 'secure' | 'disabled';
  /** Whether the loader can encrypt or decrypt flash with the chip's key. */
  manualEncryption: boolean;
  /** Whether the chip can start code from flash without an image header; null = this chip never can. */
  directBoot: boolean | null;
  /** Empty if this chip's key blocks have no purposes. */
  keys: KeyBlock[];
  /** Anti-rollback version: number of set bits; null = not in block 0. */
  secureVersion: number | null;
}

const fieldOf = (words: readonly number[], [word, bit, bits = 1]: Field): number => {
  const shifted = (words[word] ?? 0) >>> bit;
  return bits === 32 ? shifted : shifted & (2 ** bits - 1);
};

/** Number of bits set in a 32-bit word. */
export function setBits(value: number): number {
  let count = 0;
  for (let rest = value >>> 0; rest !== 0; rest >>>= 1) count += rest & 1;
  return count;
}

/** Addresses of block 0's words, in order. */
export function fuseAddresses(chip: ChipName): number[] {
  const { address, words } = layouts[chip];
  return Array.from({ length: words }, (_, word) => address + 4 * word);
}

/** Indexes of the words that show secure boot and flash encryption, in order. */
export function lockWords(chip: ChipName): number[] {
  const { encryptionCount, secureBootV1, secureBootV2 } = layouts[chip];
  const words = [encryptionCount, secureBootV1, secureBootV2].flatMap((field) => (field ? [field[0]] : []));
  return [...new Set(words)].sort((a, b) => a - b);
}

/** The bits of the secure version in an ESP32's user block. */
const esp32VersionBits = 32;

/** The highest anti-rollback version that a chip's fuses can hold: one bit for each step. */
export const highestSecureVersion = (chip: ChipName): number =>
  chip === 'esp32' ? esp32VersionBits : (layouts[chip].secureVersion?.[2] ?? 0);

/** @param words all words of block 0 (`fuseAddresses`), as unsigned or signed 32-bit numbers */
export function securityFuses(chip: ChipName, words: readonly number[]): SecurityFuses {
  const layout = layouts[chip];
  const value = (field: Field) => fieldOf(words, field);
  const isSet = (field: Field | undefined) => field !== undefined && value(field) !== 0;
  const writeProtection = value(layout.writeProtection);
  const locked = (bit: number) => ((writeProtection >>> bit) & 1) === 1;
  const readProtection = value(layout.readProtection);
  const count = value(layout.encryptionCount);
  const [, , countBits = 1] = layout.encryptionCount;
  const softBits = layout.softJtag === undefined ? 0 : setBits(value(layout.softJtag));
  const usb = (field: Field | undefined) =>
    field === undefined ? null : isSet(field) ? 'disabled' : ('enabled' as const);
  const { keyLock } = layout;
  return {
    secureBoot: isSet(layout.secureBootV2) ? 2 : isSet(layout.secureBootV1) ? 1 : null,
    aggressiveRevoke: isSet(layout.aggressiveRevoke),
    revoked: layout.revoked.map(isSet),
    encryption: {
      enabled: setBits(count) % 2 === 1,
      count: setBits(count),
      permanent:
        setBits(count) % 2 === 1 && (setBits(count) === countBits || locked(layout.encryptionCountLock)),
    },
    padJtag: isSet(layout.padJtag) ? 'disabled' : softBits % 2 === 1 ? 'soft' : 'enabled',
    usbJtag: usb(layout.usbJtag),
    download: isSet(layout.noDownload) ? 'disabled' : isSet(layout.secureDownload) ? 'secure' : 'open',
    manualEncryption: !layout.noManualEncryption.every(isSet),
    directBoot: layout.noDirectBoot === undefined ? null : !isSet(layout.noDirectBoot),
    keys: layout.purposes.map((field, block) => ({
      block,
      purpose: purposeName(value(field) | (isSet(layout.purposesHigh?.[block]) ? 0x10 : 0)),
      readProtected: ((readProtection >>> block) & 1) === 1,
      writeProtected: keyLock !== undefined && locked(keyLock + block),
    })),
    secureVersion: layout.secureVersion === undefined ? null : setBits(value(layout.secureVersion)),
  };
}
