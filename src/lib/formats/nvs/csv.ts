import { isUtf8 } from 'node:buffer';
import { AiotError, hasCode } from '../../core/errors.js';
import { showCell } from '../csv/cells.js';
import { csvRecords } from '../csv/records.js';
import {
  type NvsContents,
  type NvsEntry,
  type NvsItem,
  type NvsNumberType,
  type NvsVersion,
  nvsNumbers,
} from './types.js';
import { checkItem } from './write.js';

const columns = ['key', 'type', 'encoding', 'value'] as const;

type Row = Record<(typeof columns)[number], string>;

export interface NvsCsvOptions {
  /** Name of the file, for messages. */
  file?: string;
  /** Format version. Values that are too long for this version are rejected, with their line. */
  version?: NvsVersion;
}

/**
 * Parses the CSV format of ESP-IDF's generator: `key,type,encoding,value`, with the types `namespace`, `data` and `file`. If a namespace
 * occurs again, the rows that follow are added to it; ESP-IDF's generator adds them to the newest namespace instead. Wi-Fi's namespaces get
 * no extra entries.
 * @param readFile reads the file for a row of type `file`; the path is passed as written
 * @throws AIOT_FILE_MALFORMED, AIOT_NVS_UNFIT (file:line), and the errors of `readFile`
 */
export async function parseNvsCsv(
  text: string,
  readFile: (path: string) => Promise<Uint8Array>,
  { file = 'nvs.csv', version = 2 }: NvsCsvOptions = {},
): Promise<NvsItem[]> {
  const [head, ...records] = csvRecords(text, file);
  const places = columns.map((column) => head?.cells.indexOf(column) ?? -1);
  if (places.includes(-1)) {
    const got = head ? showCell(head.cells.join(',')) : 'an empty file';
    throw malformed(`${file}:${head?.line ?? 1}`, `expected the header key,type,encoding,value, got ${got}`);
  }
  const items: NvsItem[] = [];
  const seen = new Map<string, number>();
  let namespace: string | null = null;
  for (const { line, cells } of records) {
    const place = `${file}:${line}`;
    const [key = '', type = '', encoding = '', value = ''] = places.map((at) => cells[at] ?? '');
    const row: Row = { key, type, encoding, value };
    if (cells.length > head!.cells.length) {
      throw malformed(
        place,
        `expected ${head!.cells.length} cells, got ${cells.length} (put values that contain commas in quotes)`,
      );
    }
    if (type === 'namespace') namespace = key;
    if (namespace === null) throw malformed(place, 'expected a namespace before the first key');
    const item = await itemOf(row, namespace, cells.length, readFile, place);
    placed(place, () => checkItem(item, version));
    if (item.type !== 'namespace') {
      const name = `${namespace}.${key}`;
      const before = seen.get(name);
      if (before !== undefined) throw malformed(place, `${name} is already defined in line ${before}`);
      seen.set(name, line);
    }
    items.push(item);
  }
  return items;
}

async function itemOf(
  { key, type, encoding, value }: Row,
  namespace: string,
  cells: number,
  readFile: (path: string) => Promise<Uint8Array>,
  place: string,
): Promise<NvsItem> {
  if (type === 'namespace') return { type, namespace };
  if (type !== 'data' && type !== 'file') {
    throw malformed(place, `expected a type of namespace, data or file, got ${showCell(type)}`);
  }
  if (cells < columns.length) throw malformed(place, `expected ${columns.length} cells, got ${cells}`);
  const bytes = type === 'file' ? await readNamed(value, readFile, place) : Buffer.from(value);
  return placed(place, () => nvsValue({ namespace, key }, encoding, bytes));
}

/** Reads a file. Errors contain the line that refers to the file. */
async function readNamed(path: string, readFile: (path: string) => Promise<Uint8Array>, place: string) {
  try {
    return await readFile(path);
  } catch (error) {
    if (!(error instanceof AiotError)) throw error;
    throw error.reworded(`${place}: ${error.message}`, { cause: error });
  }
}

/** Writes values as CSV for `parseNvsCsv`, with blobs in base64. When the CSV is read, `\r\n` and `\r` in strings become `\n`. */
export function writeNvsCsv({ namespaces, entries }: Pick<NvsContents, 'namespaces' | 'entries'>): string {
  const rows = namespaces.flatMap((namespace) => [
    [namespace, 'namespace', '', ''],
    ...entries
      .filter((entry) => entry.namespace === namespace)
      .map((entry) => {
        if (entry.type === 'blob')
          return [entry.key, 'data', 'base64', Buffer.from(entry.value).toString('base64')];
        return [entry.key, 'data', entry.type, String(entry.value)];
      }),
  ]);
  return `${[[...columns], ...rows].map((row) => row.map(quoted).join(',')).join('\n')}\n`;
}

function quoted(cell: string): string {
  return /[",\r\n]|^#/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell;
}

/** Adds the position to an error. */
function placed<T>(place: string, run: () => T): T {
  try {
    return run();
  } catch (error) {
    if (!(error instanceof AiotError) || !hasCode(error, 'AIOT_NVS_UNFIT')) throw error;
    throw error.reworded(`${place}: ${error.message}`, { next: mendLine });
  }
}

const mendLine = 'Correct the line given.';

function malformed(place: string, what: string): AiotError {
  return new AiotError('AIOT_FILE_MALFORMED', `${place}: ${what}`, { subject: 'csv', next: mendLine });
}

/**
 * A value from the text or file of a CSV row. Encodings: numbers, `string`, `binary` (raw bytes), `hex2bin`,
 * `base64`, `blob_fill(LENGTH;0xBYTE)` and `blob_sz_fill(…)`. Both fill encodings are padded to the length; the second starts with its
 * size, u32.
 * @throws AIOT_NVS_UNFIT; the message never shows a string or a blob, which may be secret
 */
function nvsValue(place: { namespace: string; key: string }, encoding: string, bytes: Uint8Array): NvsEntry {
  const name = `${place.namespace}.${place.key}`;
  const text = () => Buffer.from(bytes).toString('utf8').trim();
  if (Object.hasOwn(nvsNumbers, encoding)) return numberOf(place, encoding as NvsNumberType, text(), name);
  if (encoding === 'string') {
    if (!isUtf8(bytes)) throw unfit(name, 'expected a string in UTF-8');
    return { ...place, type: 'string', value: Buffer.from(bytes).toString('utf8') };
  }
  if (encoding === 'binary') return { ...place, type: 'blob', value: bytes };
  if (encoding === 'hex2bin') return { ...place, type: 'blob', value: hexOf(text(), name) };
  if (encoding === 'base64') return { ...place, type: 'blob', value: base64Of(text(), name) };
  const [, sized, length, fill] = /^blob_(sz_)?fill\((\d{1,6});0x([0-9a-f]{2})\)$/i.exec(encoding) ?? [];
  if (length === undefined || fill === undefined) {
    throw unfit(name, `expected an encoding such as u32, string or base64, got ${JSON.stringify(encoding)}`);
  }
  return { ...place, type: 'blob', value: filled(bytes, Number(length), Number(`0x${fill}`), !!sized, name) };
}

function numberOf(
  place: { namespace: string; key: string },
  type: NvsNumberType,
  text: string,
  name: string,
): NvsEntry {
  const [, sign, digits] = /^([+-]?)(0x[0-9a-f]+|\d+)$/i.exec(text) ?? [];
  if (digits === undefined)
    throw unfit(name, `expected a whole number for ${type}, got ${JSON.stringify(text.slice(0, 40))}`);
  const value = sign === '-' ? -BigInt(digits) : BigInt(digits);
  const { min, max } = nvsNumbers[type];
  if (value < min || value > max)
    throw unfit(name, `expected ${type} to be from ${min} to ${max}, got ${value}`);
  return type === 'u64' || type === 'i64'
    ? { ...place, type, value }
    : { ...place, type, value: Number(value) };
}

function hexOf(text: string, name: string): Uint8Array {
  if (/^([0-9a-f]{2})*$/i.test(text)) return Buffer.from(text, 'hex');
  throw unfit(name, 'expected pairs of hexadecimal digits for hex2bin');
}

function base64Of(text: string, name: string): Uint8Array {
  const packed = text.replace(/\s+/g, '');
  const whole = packed.length % 4 === 0 && /^[A-Za-z0-9+/]*={0,2}$/.test(packed);
  if (whole) return Buffer.from(packed, 'base64');
  throw unfit(name, 'expected base64 with its padding');
}

function filled(bytes: Uint8Array, length: number, fill: number, sized: boolean, name: string): Uint8Array {
  if (bytes.length > length)
    throw unfit(name, `expected at most ${length} bytes of padding, got ${bytes.length}`);
  const whole = Buffer.alloc(length, fill);
  whole.set(bytes);
  if (!sized) return whole;
  const head = Buffer.alloc(4);
  head.writeUInt32LE(bytes.length);
  return Buffer.concat([head, whole]);
}

function unfit(name: string, what: string): AiotError {
  return new AiotError('AIOT_NVS_UNFIT', `${name}: ${what}`);
}
