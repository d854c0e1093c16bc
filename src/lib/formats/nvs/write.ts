import { AiotError } from '../../core/index.js';
import { checkItem } from './check-item.js';
import { nvsCrc } from './crc.js';
import { NvsPages } from './pages.js';
import {
  type NvsEntry,
  type NvsItem,
  type NvsVersion,
  noChunk,
  nvsEntries,
  nvsEntryBytes,
  nvsNumbers,
  nvsPageBytes,
  typeCodes,
} from './types.js';

export interface WriteNvsOptions {
  /** Of the partition, bytes: whole pages of 4096. From 3 pages on the last stays empty, for the driver needs one. */
  size: number;
  version?: NvsVersion;
}

/** A partition table can name no more. */
const largestFlash = 0x800_0000;

/**
 * An NVS partition of these values, laid out as ESP-IDF's generator does it: in the order given, namespaces numbered as they
 * first come. Source: ESP-IDF, "Non-Volatile Storage Library" and "NVS Partition Generator Utility".
 * @throws AIOT_NVS_UNFIT for a value NVS cannot hold, a key given twice, or more than there is room for
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
    throw unfit(
      `expected a size that fits a flash (0x${largestFlash.toString(16)} bytes at most), got 0x${size.toString(16)}`,
    );
  const pages = new NvsPages(version);
  const namespaces = new Map<string, number>();
  const keys = new Set<string>();
  for (const item of items) {
    checkItem(item, version);
    const index = namespaceIndex(pages, namespaces, item.namespace);
    if (item.type === 'namespace') continue;
    const name = `${item.namespace}.${item.key}`;
    if (keys.has(name)) throw unfit(`${name} is given twice`);
    keys.add(name);
    writeEntry(pages, index, item);
  }
  return assemble(pages, size);
}

const inHex = (size: number) => (Number.isInteger(size) && size >= 0 ? `0x${size.toString(16)}` : `${size}`);

/** 6000 was meant as 0x6000, most likely; otherwise the next size with room for as much. */
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
  if (index > 254) throw unfit(`expected at most 254 namespaces, and ${name} is one more`);
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
 * A string, or a blob of version 1: on one page, of which it never takes the last entry. (Only a string that needs a whole
 * page does; the generator cannot write that one, drivers can.)
 */
function whole(pages: NvsPages, namespace: number, type: number, key: string, data: Uint8Array): void {
  const span = 1 + Math.ceil(data.length / nvsEntryBytes);
  const fits = span < pages.room || (span === nvsEntries && pages.used === 0);
  if (!fits) pages.open();
  pages.write({ namespace, type, span, chunk: noChunk, key, data: sizeAndCrc(data) }, data);
}

/** A blob of version 2: what has room on this page, the rest on the next ones, and an index behind it. */
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
      `the values take ${pages.length} pages, and 0x${size.toString(16)} bytes are ${total}${kept}: expected a size of 0x${needed.toString(16)} or more`,
    );
  }
  const image = Buffer.alloc(size, 0xff);
  for (const [i, page] of pages.entries()) page.copy(image, i * nvsPageBytes);
  return image;
}

function unfit(what: string): AiotError {
  return new AiotError('AIOT_NVS_UNFIT', what);
}
