import { entryCrc, headerCrc } from './crc.js';
import {
  entryStates,
  type NvsPage,
  type NvsPageState,
  type NvsProblem,
  nvsEntries,
  nvsEntryBytes,
  nvsFirstEntry,
  nvsPageBytes,
  nvsPageStates,
} from './types.js';

/** An entry that is in use, its CRC checked, with the whole entries of data behind it. */
export interface RawEntry {
  /** In the partition. */
  offset: number;
  namespace: number;
  type: number;
  chunk: number;
  key: string;
  /** The last 8 bytes of the entry. */
  data: Buffer;
  /** (span - 1) × 32 bytes. */
  tail: Buffer;
}

export interface ReadPage {
  page: NvsPage;
  entries: RawEntry[];
  problems: NvsProblem[];
}

/** `offset`: of the page in the partition. */
export function readPage(bytes: Buffer, offset: number): ReadPage {
  const problems: NvsProblem[] = [];
  const say = (at: number, reason: string) => problems.push({ offset: offset + at, reason });
  const code = bytes.readUInt32LE(0);
  const state = (Object.keys(nvsPageStates) as NvsPageState[]).find((name) => nvsPageStates[name] === code);
  const page: NvsPage = {
    offset,
    state: state ?? 'corrupt',
    sequence: null,
    version: null,
    written: 0,
    erased: 0,
    free: nvsEntries,
  };
  const read: ReadPage = { page, entries: [], problems };
  if (state === 'empty') {
    const at = bytes.findIndex((byte) => byte !== 0xff);
    if (at >= 0) say(at, `expected an empty page to be all 0xff, got ${hex(bytes[at]!, 2)}`);
    return read;
  }
  if (state === undefined || state === 'corrupt') {
    say(0, `expected a page's state (active, full, freeing or empty), got ${hex(code, 8)}`);
    return read;
  }
  const crc = headerCrc(bytes);
  if (bytes.readUInt32LE(28) !== crc) {
    say(
      28,
      `the CRC of the page's header is ${hex(crc, 8)}, and the page says ${hex(bytes.readUInt32LE(28), 8)}`,
    );
    return read;
  }
  page.sequence = bytes.readUInt32LE(4);
  if (bytes[8] !== 0xfe && bytes[8] !== 0xff) {
    say(8, `expected a page of version 1 (ff) or 2 (fe), got ${hex(bytes[8]!, 2)}`);
    return read;
  }
  page.version = bytes[8] === 0xfe ? 2 : 1;
  if (state === 'freeing') say(0, 'the page was being moved when the power went');
  walk(bytes, read, say);
  return read;
}

type Say = (at: number, reason: string) => void;

/** Entries one after the other, by the map of their states. */
function walk(bytes: Buffer, { page, entries }: ReadPage, say: Say): void {
  const states = Array.from({ length: nvsEntries }, (_, i) => (bytes[32 + (i >> 2)]! >> ((i & 3) * 2)) & 3);
  const count = (state: number) => states.filter((each) => each === state).length;
  page.written = count(entryStates.written);
  page.erased = count(entryStates.erased);
  page.free = count(entryStates.empty);
  if (bytes[63]! >> 4 !== 0xf) say(63, 'expected 0xff behind the map of entries');
  const used = states.findLastIndex((state) => state !== entryStates.empty) + 1;
  for (let i = 0; i < nvsEntries; ) {
    const at = nvsFirstEntry + i * nvsEntryBytes;
    const state = states[i];
    const step = state === entryStates.written ? readEntry(bytes, i, states, page, entries, say) : 1;
    if (state === 0b01)
      say(32 + (i >> 2), `expected the state of entry ${i} to be empty, written or erased, got 01`);
    if (state === entryStates.empty) {
      if (i < used) say(32 + (i >> 2), `entry ${i} is empty, and entries behind it are in use`);
      const odd = bytes.subarray(at, at + nvsEntryBytes).findIndex((byte) => byte !== 0xff);
      if (odd >= 0) say(at + odd, `expected entry ${i}, which is empty, to be all 0xff`);
    }
    i += step;
  }
}

/** Returns the entries that it spans; 1 where it is damaged. */
function readEntry(
  bytes: Buffer,
  i: number,
  states: number[],
  page: NvsPage,
  entries: RawEntry[],
  say: Say,
): number {
  const at = nvsFirstEntry + i * nvsEntryBytes;
  const entry = bytes.subarray(at, at + nvsEntryBytes);
  const crc = entryCrc(entry);
  if (entry.readUInt32LE(4) !== crc) {
    say(
      at + 4,
      `the CRC of entry ${i} is ${hex(crc, 8)}, and the entry says ${hex(entry.readUInt32LE(4), 8)}`,
    );
    return 1;
  }
  const span = entry[2]!;
  if (span === 0 || i + span > nvsEntries) {
    say(at + 2, `expected entry ${i} to span 1 to ${nvsEntries - i} entries, got ${span}`);
    return 1;
  }
  const other = states.slice(i, i + span).findIndex((state) => state !== entryStates.written);
  if (other >= 0) {
    say(32 + ((i + other) >> 2), `entry ${i} spans ${span} entries, and ${i + other} of them is not in use`);
    return 1;
  }
  const name = entry.subarray(8, 24);
  const zero = name.indexOf(0);
  const key = name.subarray(0, Math.max(0, zero)).toString('utf8');
  if (zero < 1 || name.subarray(zero).some((byte) => byte !== 0)) {
    say(at + 8, `expected the key of entry ${i} to be 1 to 15 bytes and zeros behind them`);
    return span;
  }
  entries.push({
    offset: page.offset + at,
    namespace: entry[0]!,
    type: entry[1]!,
    chunk: entry[3]!,
    key,
    data: entry.subarray(24),
    tail: bytes.subarray(at + nvsEntryBytes, at + span * nvsEntryBytes),
  });
  return span;
}

/** Whole pages of a partition. */
export function pagesOf(bytes: Uint8Array): Buffer[] {
  const all = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  return Array.from({ length: Math.floor(all.length / nvsPageBytes) }, (_, i) =>
    all.subarray(i * nvsPageBytes, (i + 1) * nvsPageBytes),
  );
}

function hex(value: number, digits: number): string {
  return `0x${value.toString(16).padStart(digits, '0')}`;
}
