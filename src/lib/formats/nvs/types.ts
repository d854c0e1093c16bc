import { crc32 } from 'node:zlib';

/** Sizes in bytes. Source: ESP-IDF, "Non-Volatile Storage Library", Internals, and nvs_page.hpp. */
export const nvsPageBytes = 4096;

export const nvsEntryBytes = 32;

/** Number of entries in a page. The header and the state map take 32 bytes each. */
export const nvsEntries = 126;

export const nvsFirstEntry = 64;

export const nvsPageStates = {
  empty: 0xffffffff,
  active: 0xfffffffe,
  full: 0xfffffffc,
  freeing: 0xfffffff8,
  corrupt: 0xfffffff0,
} as const;

export type NvsPageState = keyof typeof nvsPageStates;

/** Values for an entry's two bits in the state map. */
export const entryStates = { empty: 0b11, written: 0b10, erased: 0b00 } as const;

/** Number types, with their code in an entry, their size and their range. */
export const nvsNumbers = {
  u8: { code: 0x01, bytes: 1, min: 0n, max: 0xffn },
  i8: { code: 0x11, bytes: 1, min: -0x80n, max: 0x7fn },
  u16: { code: 0x02, bytes: 2, min: 0n, max: 0xffffn },
  i16: { code: 0x12, bytes: 2, min: -0x8000n, max: 0x7fffn },
  u32: { code: 0x04, bytes: 4, min: 0n, max: 0xffff_ffffn },
  i32: { code: 0x14, bytes: 4, min: -0x8000_0000n, max: 0x7fff_ffffn },
  u64: { code: 0x08, bytes: 8, min: 0n, max: 0xffff_ffff_ffff_ffffn },
  i64: { code: 0x18, bytes: 8, min: -0x8000_0000_0000_0000n, max: 0x7fff_ffff_ffff_ffffn },
} as const;

export type NvsNumberType = keyof typeof nvsNumbers;

export const typeCodes = { string: 0x21, blob: 0x41, blobData: 0x42, blobIndex: 0x48 } as const;

/** Chunk index of an entry that is not a chunk. */
export const noChunk = 0xff;

/** Maximum lengths in bytes, including a string's NUL. Only a version 2 blob can span pages. */
export const nvsLongest = { 1: { string: 1984, blob: 1984 }, 2: { string: 4000, blob: 508_000 } } as const;

export const nvsVersions = [1, 2] as const;

export type NvsVersion = (typeof nvsVersions)[number];

interface Place {
  namespace: string;
  /** 1 to 15 bytes. */
  key: string;
}

/** One value. 64-bit numbers are bigints, the others numbers. */
export type NvsEntry =
  | (Place & { type: 'u64' | 'i64'; value: bigint })
  | (Place & { type: Exclude<NvsNumberType, 'u64' | 'i64'>; value: number })
  /** `raw`: the bytes without the final NUL, if the string is not valid UTF-8. */
  | (Place & { type: 'string'; value: string; raw?: Uint8Array })
  | (Place & { type: 'blob'; value: Uint8Array });

/** An item to write: a value, or a namespace to open (which may stay empty). */
export type NvsItem = NvsEntry | { type: 'namespace'; namespace: string };

export interface NvsPage {
  /** Offset in the partition. */
  offset: number;
  state: NvsPageState;
  /** Increases with each new page; null = the page is empty or damaged. */
  sequence: number | null;
  version: NvsVersion | null;
  /** Number of 32-byte entries that are in use, erased, and never written. */
  written: number;
  erased: number;
  free: number;
}

export interface NvsProblem {
  /** Offset of the wrong byte in the partition. */
  offset: number;
  reason: string;
}

export interface NvsContents {
  /** Version of the format; null = no page has a valid header. */
  version: NvsVersion | null;
  pages: NvsPage[];
  /** Namespace names, by the index that entries use. */
  namespaces: string[];
  entries: NvsEntry[];
  /** Damage, in order of offset. */
  problems: NvsProblem[];
}

/** CRC-32 for headers, entries and data, as computed by ESP-IDF's esp_rom_crc32_le(0xffffffff, …). */
export function nvsCrc(...parts: Uint8Array[]): number {
  return crc32(Buffer.concat(parts), 0xffffffff) >>> 0;
}

/** CRC of an entry, which covers everything but the CRC itself. */
export function entryCrc(entry: Uint8Array): number {
  return nvsCrc(entry.subarray(0, 4), entry.subarray(8, 32));
}

/** CRC of a page's header. The CRC covers the sequence number, the version and the reserved bytes, but not the state, which changes. */
export function headerCrc(page: Uint8Array): number {
  return nvsCrc(page.subarray(4, 28));
}
