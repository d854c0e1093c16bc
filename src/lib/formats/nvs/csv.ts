import { AiotError, hasCode } from '../../core/index.js';
import { showCell } from '../csv/place.js';
import { csvRecords } from '../csv/records.js';
import { checkItem } from './check-item.js';
import type { NvsContents, NvsItem, NvsVersion } from './types.js';
import { nvsValue } from './value.js';

const columns = ['key', 'type', 'encoding', 'value'] as const;
type Row = Record<(typeof columns)[number], string>;

export interface NvsCsvOptions {
  /** Name for messages. */
  file?: string;
  /** Values too long for it are refused with their line. */
  version?: NvsVersion;
}

/**
 * The CSV of ESP-IDF's generator: `key,type,encoding,value`, type `namespace`, `data` or `file`. A namespace may be opened
 * again; what follows goes there (ESP-IDF's generator puts it into the newest). No entries are added to Wi-Fi's own names.
 * @param readFile for rows of type `file`, by the path as written
 * @throws AIOT_CSV_MALFORMED, AIOT_NVS_UNFIT (file:line), and what `readFile` throws
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
        `expected ${head!.cells.length} cells, got ${cells.length} (quote a value that has commas)`,
      );
    }
    if (type === 'namespace') namespace = key;
    if (namespace === null) throw malformed(place, 'expected a namespace before the first key');
    const item = await itemOf(row, namespace, cells.length, readFile, place);
    placed(place, () => checkItem(item, version));
    if (item.type !== 'namespace') {
      const name = `${namespace}.${key}`;
      const before = seen.get(name);
      if (before !== undefined) throw malformed(place, `${name} is there already, in line ${before}`);
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

/** With the line that names the file. */
async function readNamed(path: string, readFile: (path: string) => Promise<Uint8Array>, place: string) {
  try {
    return await readFile(path);
  } catch (error) {
    if (!(error instanceof AiotError)) throw error;
    throw new AiotError(error.code, `${place}: ${error.message}`, { cause: error });
  }
}

/** Values as the same CSV, which `parseNvsCsv` reads; blobs in base64. Of a string's line ends `\r\n`, `\n` is left. */
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

/** The same error with the place in front. */
function placed<T>(place: string, run: () => T): T {
  try {
    return run();
  } catch (error) {
    if (!(error instanceof AiotError) || !hasCode(error, 'AIOT_NVS_UNFIT')) throw error;
    throw new AiotError(error.code, `${place}: ${error.message}`, { next: mendLine });
  }
}

const mendLine = 'Mend the line named.';

function malformed(place: string, what: string): AiotError {
  return new AiotError('AIOT_CSV_MALFORMED', `${place}: ${what}`, { next: mendLine });
}
