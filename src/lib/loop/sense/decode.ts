import { parsedJson } from '../../core/text.js';
import type { SampleField } from '../../sensor/types.js';
import { commonName, namesFor } from './fields.js';

interface DecodeSettings extends ObjectSettings {
  /** Names of the cells of a line, or of the numbers of an array; absent = the contract's fields. */
  columns: readonly string[] | undefined;
}

/** Result for a message that contains no sample, such as an empty message or a header. */
const nothing: NoRows = { why: '', broken: false };

/**
 * Parses a message: a JSON object, an array of numbers, an array of arrays or objects (one sample each), or a line of cells. An array of
 * numbers is one sample; if the contract has a single field, each number is a sample. Removes a trailing NUL, which some boards send.
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
      const value = parsedJson(text);
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

/** Samples of one message, in the contract's fields. */
export interface Rows {
  count: number;
  /** `count × fields`. */
  values: Float64Array;
  /** Timestamps as in the message: one for each sample, or only one for the first sample; empty = none. */
  stamps: unknown[];
  /** Sample rate given in the message. */
  rateHz: number | null;
  /** Sequence number of the message. */
  seq: number | null;
  /** Name of the recording to which the message belongs. */
  take: string | null;
  /** Device that measured the samples. */
  device: string | null;
}

/** Reason why a message is not a sample. */
interface NoRows {
  why: string;
  /** Whether the message is an incomplete sample, rather than another kind of message. */
  broken: boolean;
}

export const isRows = (of: Rows | NoRows): of is Rows => 'values' in of;

interface ObjectSettings {
  fields: readonly SampleField[];
  /** Paths of members, keyed by the contract's field names. */
  map: Readonly<Record<string, string>>;
  /** Path of the member with the time; `none` = there is none. */
  time: string | undefined;
  seq: string | undefined;
}

const timeNames = ['t', 'timestamp', 'time', 'ts', 'datetime', 'time_ms', 'time_us', 'time_s', 'millis'];

/** Range of plausible sample rates in a message, Hz. Others are errors of the sender. */
const [slowest, fastest] = [1e-4, 1e6];

const deviceNames = ['deviceid', 'device', 'device_id'];

/**
 * Reads JSON objects. A number per field is one sample; an array per field is a batch in columns, as in telemetry of device protocol v1
 * (docs/reference/protocol.md). The location of each field is determined from the first object and reused.
 */
function createObjectReader(settings: ObjectSettings): (object: Record<string, unknown>) => Rows | NoRows {
  const { fields } = settings;
  const at: (string | undefined)[] = fields.map(({ name }) => settings.map[name]);

  const find = (object: Record<string, unknown>, f: number): unknown => {
    const path = at[f];
    if (path !== undefined) {
      const value = memberAt(object, path);
      if (value !== undefined) return value;
    }
    const field = fields[f]!;
    if (settings.map[field.name] !== undefined) return undefined;
    const common = namesFor(field).map(commonName);
    const name =
      namesFor(field).find((each) => memberAt(object, each) !== undefined) ??
      Object.keys(object).find((each) => common.includes(commonName(each)));
    if (name === undefined) return undefined;
    at[f] = name;
    return memberAt(object, name);
  };

  return (object) => {
    const found = fields.map((_, f) => find(object, f));
    const missing = found.indexOf(undefined);
    if (missing >= 0) {
      const members = Object.keys(object).slice(0, 12).join(', ');
      return {
        why: `expected ${settings.map[fields[missing]!.name] ?? fields[missing]!.name} in the message, got ${members || 'an empty object'}`,
        broken: found.some((value) => value !== undefined),
      };
    }
    const batch = found.some(Array.isArray);
    const count = batch ? (Array.isArray(found[0]) ? found[0].length : 0) : 1;
    const values = new Float64Array(count * fields.length);
    for (let f = 0; f < fields.length; f++) {
      const column = Array.isArray(found[f]) ? (found[f] as unknown[]) : [found[f]];
      const { name } = fields[f]!;
      if (column.length !== count || count === 0 || batch !== Array.isArray(found[f])) {
        return { why: `expected ${count} samples of ${name}, got ${shown(found[f])}`, broken: true };
      }
      for (let i = 0; i < count; i++) {
        const value = numberIn(column[i]);
        if (Number.isNaN(value)) {
          return { why: `expected a number for ${name}, got ${shown(column[i])}`, broken: true };
        }
        values[i * fields.length + f] = value;
      }
    }
    const rate = numberIn(object.rate);
    return {
      count,
      values,
      stamps: stampsOf(object, settings),
      rateHz: batch && rate >= slowest && rate <= fastest ? rate : null,
      seq: sequenceOf(object, settings.seq),
      take: typeof object.recording === 'string' ? object.recording : null,
      device: textOf(object, deviceNames),
    };
  };
}

/** The timestamp of an object, or its array of timestamps. */
function stampsOf(object: Record<string, unknown>, { time, fields }: ObjectSettings): unknown[] {
  if (time === 'none') return [];
  const name =
    time ??
    Object.keys(object).find(
      (each) => timeNames.includes(each.toLowerCase()) && fields.every((field) => field.name !== each),
    );
  const stamp = name === undefined ? undefined : memberAt(object, name);
  return stamp === undefined || stamp === null ? [] : Array.isArray(stamp) ? stamp : [stamp];
}

function sequenceOf(object: Record<string, unknown>, name: string | undefined): number | null {
  if (name === 'none') return null;
  const value = numberIn(memberAt(object, name ?? 'seq'));
  return Number.isSafeInteger(value) ? value : null;
}

function textOf(object: Record<string, unknown>, names: readonly string[]): string | null {
  const name = Object.keys(object).find((each) => names.includes(each.toLowerCase()));
  const value = name === undefined ? undefined : object[name];
  return typeof value === 'string' || typeof value === 'number' ? String(value) : null;
}

/** The member at a path such as `acc.x`; a member with exactly that name takes precedence. */
function memberAt(value: Record<string, unknown>, path: string): unknown {
  if (Object.hasOwn(value, path)) return value[path];
  let at: unknown = value;
  for (const name of path.split('.')) {
    if (at === null || typeof at !== 'object' || !Object.hasOwn(at, name)) return undefined;
    at = (at as Record<string, unknown>)[name];
  }
  return at;
}

/** Serializes a value. That can fail, because JSON can be parsed at a nesting depth at which it can no longer be serialized. */
function jsonOf(value: unknown): string | undefined {
  try {
    return JSON.stringify(value);
  } catch {
    return Array.isArray(value) ? '[…' : '{…';
  }
}

const decimal = /^[-+]?(\d+(\.\d*)?|\.\d+)(e[-+]?\d+)?$/i;

/** A finite number, or a text that contains one; NaN for anything else. */
function numberIn(value: unknown): number {
  if (typeof value === 'number') return Number.isFinite(value) ? value : Number.NaN;
  return typeof value === 'string' && decimal.test(value.trim()) ? Number(value) : Number.NaN;
}

/** A short text of a value for messages. */
function shown(value: unknown): string {
  const text = jsonOf(value) ?? 'nothing';
  return text.length > 40 ? `${text.slice(0, 40)}…` : text;
}

/**
 * Converts a line of cells to an object by column name. Cells are separated by commas, semicolons, tabs or spaces (`0.98,-0.19,0.09`), or
 * have names (`x=0.98 y:-0.19`). A line of names that includes the required ones is a header, which applies to the lines below it.
 * @param isHeader absent = the column names are fixed
 */
function createCellReader(
  columns: readonly string[],
  isHeader?: (names: readonly string[]) => boolean,
): (line: string) => Record<string, unknown> | 'header' | string[] {
  let names = columns;
  return (line) => {
    const separator = /[,;\t]/.exec(line)?.[0];
    const cells = (separator ? line.split(separator) : line.split(/\s+/)).map((cell) =>
      cell.trim().replace(/^"(.*)"$/, '$1'),
    );
    const pairs = cells.map((cell) => /^([A-Za-z_][\w.]*)\s*[=:]\s*(.+)$/.exec(cell));
    if (pairs.every((pair) => pair !== null)) {
      return Object.fromEntries(pairs.map((pair) => [pair![1]!, pair![2]!]));
    }
    if (isHeader?.(cells)) {
      names = cells;
      return 'header';
    }
    if (cells.length !== names.length) return cells;
    return Object.fromEntries(cells.map((cell, c) => [names[c]!, cell]));
  };
}
