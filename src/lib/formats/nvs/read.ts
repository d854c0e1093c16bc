import { isUtf8 } from 'node:buffer';
import { AiotError } from '../../core/errors.js';
import { hex } from '../../core/figures.js';
import {
  entryCrc,
  entryStates,
  headerCrc,
  type NvsContents,
  type NvsEntry,
  type NvsNumberType,
  type NvsPage,
  type NvsPageState,
  type NvsProblem,
  nvsCrc,
  nvsEntries,
  nvsEntryBytes,
  nvsFirstEntry,
  nvsNumbers,
  nvsPageBytes,
  nvsPageStates,
  typeCodes,
} from './types.js';

/**
 * Reads the values in an NVS partition of either version, as written by a generator or a device.
 * Source: ESP-IDF, "Non-Volatile Storage Library", Internals.
 * @param bytes the decrypted partition: see `decryptNvs`
 * @param salvage whether to read as much as possible from a damaged partition and list the damage in `problems`
 * @throws AIOT_FILE_MALFORMED with the offset and the reason
 */
export function readNvs(bytes: Uint8Array, { salvage = false } = {}): NvsContents {
  if (bytes.length === 0 || (bytes.length % nvsPageBytes !== 0 && !salvage)) {
    const whole = (Math.floor(bytes.length / nvsPageBytes) + 1) * nvsPageBytes;
    throw malformed({
      offset: bytes.length,
      reason: `expected whole pages (${hex(whole)} bytes), but the file ends here`,
    });
  }
  const read = pagesOf(bytes).map((page, i) => readPage(page, i * nvsPageBytes));
  const byAge = [...read].sort((a, b) => (a.page.sequence ?? 0) - (b.page.sequence ?? 0));
  const values = readValues(byAge.flatMap(({ entries }) => entries));
  const cut = bytes.length % nvsPageBytes;
  const problems = [
    ...read.flatMap(({ problems }) => problems),
    ...pagesTogether(read),
    ...values.problems,
    ...(cut > 0 ? [{ offset: bytes.length, reason: 'the last page is truncated' }] : []),
  ].sort((a, b) => a.offset - b.offset);
  const [first] = problems;
  if (first && !salvage) throw malformed(first, unreadable(read));
  return {
    version: byAge.findLast(({ page }) => page.version !== null)?.page.version ?? null,
    pages: read.map(({ page }) => page),
    namespaces: values.namespaces,
    entries: values.entries,
    problems,
  };
}

/** Checks the pages together: sequence numbers must be unique, and the newest page must be the active page. */
function pagesTogether(read: readonly ReadPage[]): NvsProblem[] {
  const used = read.filter(({ page }) => page.sequence !== null);
  const newest = Math.max(...used.map(({ page }) => page.sequence!));
  const active = used.filter(({ page }) => page.state === 'active');
  const problems: NvsProblem[] = [];
  const seen = new Set<number>();
  for (const { page } of used) {
    if (seen.has(page.sequence!))
      problems.push({
        offset: page.offset + 4,
        reason: `two pages have the sequence number ${page.sequence}`,
      });
    seen.add(page.sequence!);
    if (page.state === 'active' && page.sequence !== newest) {
      problems.push({ offset: page.offset, reason: 'the active page is not the newest one' });
    }
  }
  if (used.length > 0 && active.length === 0) {
    problems.push({ offset: used.at(-1)!.page.offset, reason: 'expected one page to be active, got none' });
  }
  return problems;
}

/** Whether there are valid headers but not a single valid entry, which is typical of an encrypted partition. */
function unreadable(read: readonly ReadPage[]): boolean {
  const used = read.filter(({ page }) => page.version !== null && page.written > 0);
  return used.length > 0 && used.every(({ entries }) => entries.length === 0);
}

function malformed({ offset, reason }: NvsProblem, encrypted = false): AiotError {
  const next = encrypted
    ? { next: 'If the partition is encrypted, specify the keys: --keys nvs_keys.bin' }
    : {};
  return new AiotError('AIOT_FILE_MALFORMED', `NVS, offset ${hex(offset)}: ${reason}`, {
    subject: 'nvs',
    ...next,
  });
}

interface ReadValues {
  namespaces: string[];
  entries: NvsEntry[];
  problems: NvsProblem[];
}

/**
 * Reads entry values from the oldest page to the newest, so that the newer of two duplicates wins. A namespace's name may come after its
 * entries.
 */
function readValues(raw: readonly RawEntry[]): ReadValues {
  const problems: NvsProblem[] = [];
  const say = ({ offset }: RawEntry, reason: string, at = 0) =>
    problems.push({ offset: offset + at, reason });
  const names = namesOf(raw, say);
  const values = new Map<string, NvsEntry>();
  const chunks = new Map<string, RawEntry>();
  const id = (entry: RawEntry, chunk = entry.chunk) => `${entry.namespace} ${chunk} ${entry.key}`;
  const used = new Set<RawEntry>();
  for (const entry of raw) {
    if (entry.type !== typeCodes.blobData || entry.namespace === 0) continue;
    if (chunks.has(id(entry))) say(entry, `the chunk ${entry.chunk} of ${entry.key} appears twice`);
    chunks.set(id(entry), entry);
  }
  for (const entry of raw) {
    if (entry.namespace === 0) continue;
    const namespace = names.get(entry.namespace);
    if (namespace === undefined) {
      say(entry, `${entry.key} is in namespace ${entry.namespace}, which has no name`);
      continue;
    }
    if (entry.type === typeCodes.blobData) continue;
    const parts = (count: number, start: number) =>
      Array.from({ length: count }, (_, i) => chunks.get(id(entry, start + i))).filter(
        (part) => part !== undefined,
      );
    const value = entryValue(entry, namespace, parts, used, say);
    if (value === null) continue;
    // Drivers look up a key together with its type, so entries with the same key and different types are separate values.
    const name = `${namespace} ${entry.key} ${value.type}`;
    if (values.has(name)) say(entry, `${namespace}.${entry.key} appears twice; the later entry is used`);
    values.set(name, value);
  }
  for (const part of chunks.values()) {
    if (!used.has(part) && names.has(part.namespace))
      say(part, `the chunk ${part.chunk} of ${part.key} belongs to no blob`);
  }
  const order = [...names].sort(([a], [b]) => a - b);
  return { namespaces: order.map(([, name]) => name), entries: [...values.values()], problems };
}

function namesOf(raw: readonly RawEntry[], say: Say): Map<number, string> {
  const names = new Map<number, string>();
  for (const entry of raw) {
    if (entry.namespace !== 0) continue;
    const index = entry.data[0]!;
    if (entry.type !== nvsNumbers.u8.code) say(entry, `expected the namespace ${entry.key} to be a u8`, 1);
    else if (index === 0 || index === 255)
      say(entry, `expected the index of namespace ${entry.key} to be 1 to 254, got ${index}`, 24);
    else if (names.has(index)) say(entry, `two namespaces have the index ${index}`, 24);
    else if ([...names.values()].includes(entry.key)) say(entry, `the namespace ${entry.key} appears twice`);
    else names.set(index, entry.key);
  }
  return names;
}

/** Reports a problem at a byte in an entry. */
type Say = (entry: RawEntry, reason: string, at?: number) => void;

const numberTypes = Object.entries(nvsNumbers) as [NvsNumberType, (typeof nvsNumbers)[NvsNumberType]][];

/**
 * Reads the value that starts at an entry; returns null if the value is damaged. `parts` contains a blob's available chunks, by count and
 * first number. Chunks that are part of the value are added to `used`.
 */
function entryValue(
  entry: RawEntry,
  namespace: string,
  parts: (count: number, start: number) => RawEntry[],
  used: Set<RawEntry>,
  say: Say,
): NvsEntry | null {
  const place = { namespace, key: entry.key };
  const number = numberTypes.find(([, { code }]) => code === entry.type);
  if (number) return numberOf(place, number[0], entry);
  switch (entry.type) {
    case typeCodes.string: {
      const data = dataOf(entry, say);
      if (data === null) return null;
      if (data.at(-1) !== 0) {
        say(
          entry,
          `expected the string ${namespace}.${entry.key} to end with a NUL`,
          nvsEntryBytes + data.length - 1,
        );
        return null;
      }
      const text = data.subarray(0, -1);
      const raw = isUtf8(text) ? {} : { raw: text };
      return { ...place, type: 'string', value: text.toString('utf8'), ...raw };
    }
    case typeCodes.blob: {
      const data = dataOf(entry, say);
      return data && { ...place, type: 'blob', value: data };
    }
    case typeCodes.blobIndex: {
      const [bytes, count, start] = [entry.data.readUInt32LE(0), entry.data[4]!, entry.data[5]!];
      const found = parts(count, start);
      for (const part of found) used.add(part);
      const data = found.map((part) => dataOf(part, say));
      const whole = Buffer.concat(data.filter((part) => part !== null));
      if (found.length === count && whole.length === bytes) return { ...place, type: 'blob', value: whole };
      if (!data.includes(null)) {
        say(
          entry,
          `expected the blob ${namespace}.${entry.key} to have ${bytes} bytes in ${count} chunks, got ${whole.length} in ${found.length}`,
          24,
        );
      }
      return null;
    }
    default:
      say(entry, `expected a known type for ${namespace}.${entry.key}, got ${hex(entry.type)}`, 1);
      return null;
  }
}

function numberOf(
  place: { namespace: string; key: string },
  type: NvsNumberType,
  { data }: RawEntry,
): NvsEntry {
  const { bytes } = nvsNumbers[type];
  if (type === 'u64') return { ...place, type, value: data.readBigUInt64LE() };
  if (type === 'i64') return { ...place, type, value: data.readBigInt64LE() };
  const value = type.startsWith('u') ? data.readUIntLE(0, bytes) : data.readIntLE(0, bytes);
  return { ...place, type, value };
}

/** Checks the length and CRC of the data after an entry, and returns this data; null if it is damaged. */
function dataOf(entry: RawEntry, say: Say): Buffer | null {
  const size = entry.data.readUInt16LE(0);
  const room = entry.tail.length;
  if (Math.ceil(size / nvsEntryBytes) * nvsEntryBytes !== room) {
    say(
      entry,
      `${entry.key}: expected ${size} bytes to span ${1 + Math.ceil(size / nvsEntryBytes)} entries, got ${1 + room / nvsEntryBytes}`,
      24,
    );
    return null;
  }
  const data = entry.tail.subarray(0, size);
  const crc = nvsCrc(data);
  const said = entry.data.readUInt32LE(4);
  if (crc !== said) {
    say(
      entry,
      `the CRC of the data of ${entry.key} is ${hex(crc, 8)}, but its entry states ${hex(said, 8)}`,
      nvsEntryBytes,
    );
    return null;
  }
  const odd = entry.tail.subarray(size).findIndex((byte) => byte !== 0xff);
  if (odd >= 0) say(entry, `expected 0xff after the data of ${entry.key}`, nvsEntryBytes + size + odd);
  return data;
}

/** An entry in use with a valid CRC, and the data entries that follow. */
interface RawEntry {
  /** Offset in the partition. */
  offset: number;
  namespace: number;
  type: number;
  chunk: number;
  key: string;
  /** The last 8 bytes of the entry. */
  data: Buffer;
  /** The data entries, (span - 1) × 32 bytes. */
  tail: Buffer;
}

interface ReadPage {
  page: NvsPage;
  entries: RawEntry[];
  problems: NvsProblem[];
}

/** Reads a page. @param offset position of the page in the partition */
function readPage(bytes: Buffer, offset: number): ReadPage {
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
      `the CRC of the page's header is ${hex(crc, 8)}, but the page states ${hex(bytes.readUInt32LE(28), 8)}`,
    );
    return read;
  }
  page.sequence = bytes.readUInt32LE(4);
  if (bytes[8] !== 0xfe && bytes[8] !== 0xff) {
    say(8, `expected a page of version 1 (ff) or 2 (fe), got ${hex(bytes[8]!, 2)}`);
    return read;
  }
  page.version = bytes[8] === 0xfe ? 2 : 1;
  if (state === 'freeing') say(0, 'the page was being moved when the power failed');
  walk(bytes, read, say);
  return read;
}

type SayAt = (at: number, reason: string) => void;

/** Visits the entries in order, according to the state map. */
function walk(bytes: Buffer, { page, entries }: ReadPage, say: SayAt): void {
  const states = Array.from({ length: nvsEntries }, (_, i) => (bytes[32 + (i >> 2)]! >> ((i & 3) * 2)) & 3);
  const count = (state: number) => states.filter((each) => each === state).length;
  page.written = count(entryStates.written);
  page.erased = count(entryStates.erased);
  page.free = count(entryStates.empty);
  if (bytes[63]! >> 4 !== 0xf) say(63, 'expected 0xff after the entry map');
  const used = states.findLastIndex((state) => state !== entryStates.empty) + 1;
  for (let i = 0; i < nvsEntries; ) {
    const at = nvsFirstEntry + i * nvsEntryBytes;
    const state = states[i];
    const step = state === entryStates.written ? readEntry(bytes, i, states, page, entries, say) : 1;
    if (state === 0b01)
      say(32 + (i >> 2), `expected the state of entry ${i} to be empty, written or erased, got 01`);
    if (state === entryStates.empty) {
      if (i < used) say(32 + (i >> 2), `entry ${i} is empty, but entries after it are in use`);
      const odd = bytes.subarray(at, at + nvsEntryBytes).findIndex((byte) => byte !== 0xff);
      if (odd >= 0) say(at + odd, `expected entry ${i}, which is empty, to be all 0xff`);
    }
    i += step;
  }
}

/** Reads an entry and returns the number of entries that it spans; 1 if the entry is damaged. */
function readEntry(
  bytes: Buffer,
  i: number,
  states: number[],
  page: NvsPage,
  entries: RawEntry[],
  say: SayAt,
): number {
  const at = nvsFirstEntry + i * nvsEntryBytes;
  const entry = bytes.subarray(at, at + nvsEntryBytes);
  const crc = entryCrc(entry);
  if (entry.readUInt32LE(4) !== crc) {
    say(
      at + 4,
      `the CRC of entry ${i} is ${hex(crc, 8)}, but the entry states ${hex(entry.readUInt32LE(4), 8)}`,
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
    say(32 + ((i + other) >> 2), `entry ${i} spans ${span} entries, but entry ${i + other} is not in use`);
    return 1;
  }
  const name = entry.subarray(8, 24);
  const zero = name.indexOf(0);
  const key = name.subarray(0, Math.max(0, zero)).toString('utf8');
  if (zero < 1 || name.subarray(zero).some((byte) => byte !== 0)) {
    say(at + 8, `expected the key of entry ${i} to be 1 to 15 bytes followed by zeros`);
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

/** The complete pages of a partition. */
export function pagesOf(bytes: Uint8Array): Buffer[] {
  const all = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  return Array.from({ length: Math.floor(all.length / nvsPageBytes) }, (_, i) =>
    all.subarray(i * nvsPageBytes, (i + 1) * nvsPageBytes),
  );
}
