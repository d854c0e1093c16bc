import { AiotError, errorMaker } from '../../core/errors.js';
import { hex } from '../../core/figures.js';
import {
  entryCrc,
  headerCrc,
  type NvsEntry,
  type NvsItem,
  type NvsVersion,
  noChunk,
  nvsCrc,
  nvsEntries,
  nvsEntryBytes,
  nvsFirstEntry,
  nvsLongest,
  nvsNumbers,
  nvsPageBytes,
  nvsPageStates,
  typeCodes,
} from './types.js';

const unfit = errorMaker('AIOT_NVS_UNFIT');

export interface WriteNvsOptions {
  /**
   * Size of the partition, bytes: whole pages of 4096. If there are 3 or more pages, the last page remains empty, because the driver needs
   * an empty page.
   */
  size: number;
  version?: NvsVersion;
}

/** Maximum flash size of the chips: 128 MiB. */
const largestFlash = 0x800_0000;

/**
 * Builds an NVS partition from these values with the layout that ESP-IDF's generator uses: in the given order, with namespaces numbered by
 * first use. Source: ESP-IDF, "Non-Volatile Storage Library" and "NVS Partition Generator Utility".
 * @throws AIOT_NVS_UNFIT for a value that NVS cannot store, a duplicate key, or too many values
 */
export function writeNvs(items: readonly NvsItem[], { size, version = 2 }: WriteNvsOptions): Uint8Array {
  if (!Number.isInteger(size) || size < nvsPageBytes || size % nvsPageBytes !== 0) {
    throw new AiotError(
      'AIOT_NVS_UNFIT',
      `expected a size of whole pages (a multiple of 0x1000), got ${inHex(size)} (${size})`,
      { next: betterSize(size) },
    );
  }
  if (size > largestFlash)
    throw unfit(`expected a size that fits a flash (${hex(largestFlash)} bytes at most), got ${hex(size)}`);
  const pages = new NvsPages(version);
  const namespaces = new Map<string, number>();
  const keys = new Set<string>();
  for (const item of items) {
    checkItem(item, version);
    const index = namespaceIndex(pages, namespaces, item.namespace);
    if (item.type === 'namespace') continue;
    const name = `${item.namespace}.${item.key}`;
    if (keys.has(name)) throw unfit(`${name} is specified twice`);
    keys.add(name);
    writeEntry(pages, index, item);
  }
  return assemble(pages, size);
}

const inHex = (size: number) => (Number.isInteger(size) && size >= 0 ? hex(size) : `${size}`);

/** Suggests a valid size: 0x6000 for 6000, which was most likely meant as hexadecimal; otherwise the next size with enough space. */
function betterSize(size: number): string {
  const asHex = Number.parseInt(`${size}`, 16);
  if (/^\d+$/.test(`${size}`) && asHex > 0 && asHex % nvsPageBytes === 0)
    return `${size} is taken as decimal; if 0x${size} is meant, write --size 0x${size}.`;
  const pages = Math.min(Math.max(Math.ceil(size / nvsPageBytes) || 3, 3), largestFlash / nvsPageBytes);
  return `Such as --size ${inHex(pages * nvsPageBytes)}.`;
}

function namespaceIndex(pages: NvsPages, namespaces: Map<string, number>, name: string): number {
  const known = namespaces.get(name);
  if (known !== undefined) return known;
  const index = namespaces.size + 1;
  if (index > 254) throw unfit(`expected at most 254 namespaces, but ${name} is the 255th`);
  namespaces.set(name, index);
  single(pages, 0, nvsNumbers.u8.code, name, Buffer.of(index));
  return index;
}

function writeEntry(pages: NvsPages, namespace: number, entry: NvsEntry): void {
  if (entry.type === 'string') {
    const text = Buffer.from(entry.raw ?? Buffer.from(entry.value));
    whole(pages, namespace, typeCodes.string, entry.key, Buffer.concat([text, Buffer.of(0)]));
  } else if (entry.type === 'blob') {
    if (pages.version === 1) whole(pages, namespace, typeCodes.blob, entry.key, entry.value);
    else chunks(pages, namespace, entry.key, entry.value);
  } else {
    const { code, bytes } = nvsNumbers[entry.type];
    const word = Buffer.alloc(8);
    word.writeBigUInt64LE(BigInt.asUintN(64, BigInt(entry.value)));
    single(pages, namespace, code, entry.key, word.subarray(0, bytes));
  }
}

function single(pages: NvsPages, namespace: number, type: number, key: string, data: Uint8Array): void {
  if (pages.room < 1) pages.open();
  pages.write({ namespace, type, span: 1, chunk: noChunk, key, data });
}

/**
 * Writes a string or a version 1 blob, which must be on one page. The page's last entry remains free, unless a string needs the whole page.
 * Drivers can write such a string, but ESP-IDF's generator cannot.
 */
function whole(pages: NvsPages, namespace: number, type: number, key: string, data: Uint8Array): void {
  const span = 1 + Math.ceil(data.length / nvsEntryBytes);
  const fits = span < pages.room || (span === nvsEntries && pages.used === 0);
  if (!fits) pages.open();
  pages.write({ namespace, type, span, chunk: noChunk, key, data: sizeAndCrc(data) }, data);
}

/** Writes a version 2 blob: as much as fits on this page, the rest on the next pages, and then an index. */
function chunks(pages: NvsPages, namespace: number, key: string, data: Uint8Array): void {
  if (pages.room < 1) pages.open();
  let count = 0;
  let at = 0;
  do {
    const room = (pages.room - 1) * nvsEntryBytes;
    const part = data.subarray(at, at + room);
    const span = 1 + Math.ceil(part.length / nvsEntryBytes);
    pages.write(
      { namespace, type: typeCodes.blobData, span, chunk: count, key, data: sizeAndCrc(part) },
      part,
    );
    count++;
    at += part.length;
    if (at < data.length || room - part.length < nvsEntryBytes) pages.open();
  } while (at < data.length);
  const index = Buffer.alloc(8, 0xff);
  index.writeUInt32LE(data.length, 0);
  index[4] = count;
  index[5] = 0;
  pages.write({ namespace, type: typeCodes.blobIndex, span: 1, chunk: noChunk, key, data: index });
}

function sizeAndCrc(data: Uint8Array): Uint8Array {
  const head = Buffer.alloc(8, 0xff);
  head.writeUInt16LE(data.length, 0);
  head.writeUInt32LE(nvsCrc(data), 4);
  return head;
}

function assemble({ pages }: NvsPages, size: number): Uint8Array {
  const total = size / nvsPageBytes;
  const room = total >= 3 ? total - 1 : total;
  if (pages.length > room) {
    const needed = Math.max(3, pages.length + 1) * nvsPageBytes;
    const kept = total >= 3 ? ', one of which stays empty' : '';
    throw unfit(
      `the values need ${pages.length} pages, but ${hex(size)} bytes provide only ${total}${kept}: expected a size of at least ${hex(needed)}`,
    );
  }
  const image = Buffer.alloc(size, 0xff);
  for (const [i, page] of pages.entries()) page.copy(image, i * nvsPageBytes);
  return image;
}

/** The first 32 bytes of an entry. CRC and missing values are filled in. */
interface EntryHead {
  namespace: number;
  type: number;
  span: number;
  chunk: number;
  key: string;
  /** At most 8 bytes; the rest is 0xff. */
  data: Uint8Array;
}

/** Pages, filled in order. */
class NvsPages {
  readonly pages: Buffer[] = [];
  /** Number of entries used in the last page. */
  used = 0;

  constructor(readonly version: NvsVersion) {
    this.open();
  }

  /** Closes the current page and starts the next one. */
  open(): void {
    this.pages.at(-1)?.writeUInt32LE(nvsPageStates.full, 0);
    const page = Buffer.alloc(nvsPageBytes, 0xff);
    page.writeUInt32LE(nvsPageStates.active, 0);
    page.writeUInt32LE(this.pages.length, 4);
    page[8] = this.version === 2 ? 0xfe : 0xff;
    page.writeUInt32LE(headerCrc(page), 28);
    this.pages.push(page);
    this.used = 0;
  }

  /** Number of free entries in the page. */
  get room(): number {
    return nvsEntries - this.used;
  }

  /** Writes the head and the data (whole entries, padded with 0xff). The caller must have checked that head and data fit. */
  write(head: EntryHead, data: Uint8Array = new Uint8Array()): void {
    const entry = Buffer.alloc(nvsEntryBytes, 0xff);
    entry.set([head.namespace, head.type, head.span, head.chunk]);
    entry.fill(0, 8, 24);
    entry.write(head.key, 8, 16, 'utf8');
    entry.set(head.data, 24);
    entry.writeUInt32LE(entryCrc(entry), 4);
    this.put(entry);
    for (let at = 0; at < data.length; at += nvsEntryBytes) this.put(data.subarray(at, at + nvsEntryBytes));
  }

  private put(bytes: Uint8Array): void {
    const page = this.pages.at(-1)!;
    if (this.used >= nvsEntries) throw new RangeError('data extends past the end of an NVS page');
    page.set(bytes, nvsFirstEntry + this.used * nvsEntryBytes);
    // Clearing the lower of the entry's two state bits changes its state from empty (11) to written (10).
    const bit = this.used * 2;
    page[32 + (bit >> 3)]! &= ~(1 << (bit & 7));
    this.used++;
  }
}

/**
 * Rejects values that NVS cannot store: names of more than 15 bytes, numbers out of range, values too long for the version.
 * @throws AIOT_NVS_UNFIT; messages never show a string or a blob, which may be secret
 */
export function checkItem(item: NvsItem, version: NvsVersion): void {
  requireName('namespace', item.namespace);
  if (item.type === 'namespace') return;
  requireName('key', item.key);
  const name = `${item.namespace}.${item.key}`;
  if (item.type === 'string') {
    const text = item.raw ?? Buffer.from(item.value);
    if (text.includes(0)) throw unfit(`${name}: expected a string without NUL characters`);
    requireLength(name, text.length + 1, nvsLongest[version].string, 'a string with its NUL', version);
  } else if (item.type === 'blob') {
    requireLength(name, item.value.length, nvsLongest[version].blob, 'a blob', version);
  } else {
    const { min, max } = nvsNumbers[item.type];
    const whole = typeof item.value === 'bigint' || Number.isInteger(item.value);
    if (whole && BigInt(item.value) >= min && BigInt(item.value) <= max) return;
    throw unfit(`${name}: expected a whole number from ${min} to ${max} for ${item.type}, got ${item.value}`);
  }
}

function requireName(what: string, name: string): void {
  const bytes = Buffer.byteLength(name);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these characters are rejected
  const odd = /[\u0000-\u001f\u007f]/.test(name) || name.trim() !== name;
  if (bytes >= 1 && bytes <= 15 && !odd) return;
  const got = odd ? 'a leading or trailing space, or a control character' : `${bytes} bytes`;
  throw unfit(`expected the ${what} ${JSON.stringify(name)} to be 1 to 15 bytes of text, got ${got}`);
}

function requireLength(name: string, bytes: number, max: number, what: string, version: NvsVersion): void {
  if (bytes <= max) return;
  throw unfit(`${name}: expected at most ${max} bytes for ${what} (version ${version}), got ${bytes}`);
}
