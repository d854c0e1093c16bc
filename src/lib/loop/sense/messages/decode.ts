import { commonName, namesFor } from '../fields/names.js';
import { createCellReader } from './cells.js';
import { numberIn, shown } from './members.js';
import { createObjectReader, type ObjectSettings } from './object.js';
import { isRows, type NoRows, type Rows } from './types.js';

export interface DecodeSettings extends ObjectSettings {
  /** Names of the cells of a line, or of an array of numbers; absent = the contract's fields. */
  columns: readonly string[] | undefined;
}

/** A message of another kind that says nothing of a sample: an empty one, a header. */
export const nothing: NoRows = { why: '', broken: false };

/**
 * Reads what a message holds: a JSON object, an array of numbers (one sample), of arrays or objects (a sample each), or a line of
 * cells. A NUL at the end, as some boards send, is taken off.
 */
export function createDecoder(settings: DecodeSettings): (payload: Uint8Array) => Rows | NoRows {
  const { fields } = settings;
  const columns = settings.columns ?? fields.map(({ name }) => settings.map[name] ?? name);
  const readObject = createObjectReader(settings);
  const isHeader = (names: readonly string[]) => {
    const common = names.map(commonName);
    return fields.every((field) => {
      const path = settings.map[field.name];
      return path === undefined
        ? namesFor(field).some((name) => common.includes(commonName(name)))
        : names.includes(path);
    });
  };
  const readCells = createCellReader(columns, settings.columns ? undefined : isHeader);

  const readNumbers = (numbers: readonly unknown[]): Rows | NoRows => {
    if (numbers.length !== columns.length) {
      return {
        why: `expected ${columns.length} numbers (${columns.join(', ')}), got ${shown(numbers)}`,
        broken: numbers.length > 0 && numbers.every((value) => !Number.isNaN(numberIn(value))),
      };
    }
    return readObject(Object.fromEntries(numbers.map((value, c) => [columns[c]!, value])));
  };

  const readArray = (items: readonly unknown[]): Rows | NoRows => {
    if (items.length === 0) return nothing;
    const nested = items.some((item) => item !== null && typeof item === 'object');
    if (!nested && (columns.length > 1 || items.length === 1)) return readNumbers(items);
    const all: Rows[] = [];
    for (const item of items) {
      const rows = isObject(item) ? readObject(item) : readNumbers(Array.isArray(item) ? item : [item]);
      if (!isRows(rows)) return rows;
      all.push(rows);
    }
    return joined(all, fields.length);
  };

  return (payload) => {
    const text = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength)
      .toString('utf8')
      .replace(/\0+$/, '')
      .trim();
    if (text === '') return nothing;
    if (text.startsWith('{') || text.startsWith('[')) {
      const value = parsed(text);
      if (Array.isArray(value)) return readArray(value);
      if (isObject(value)) return readObject(value);
      return { why: `expected JSON, got ${shown(text)}`, broken: false };
    }
    const cells = readCells(text);
    if (cells === 'header') return nothing;
    return Array.isArray(cells) ? readNumbers(cells) : readObject(cells);
  };
}

function joined(all: readonly Rows[], width: number): Rows {
  const count = all.reduce((sum, rows) => sum + rows.count, 0);
  const values = new Float64Array(count * width);
  let at = 0;
  for (const rows of all) {
    values.set(rows.values, at);
    at += rows.values.length;
  }
  const stamps = all.flatMap((rows) => rows.stamps);
  const { seq, take, device } = all[0]!;
  return {
    count,
    values,
    stamps: stamps.length === count ? stamps : [],
    rateHz: null,
    seq: all.length > 1 ? null : seq,
    take,
    device,
  };
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  value !== null && typeof value === 'object' && !Array.isArray(value);

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
