import type { SampleField } from '../../../sensor/index.js';
import { commonName, namesFor } from '../fields/names.js';
import { memberAt, numberIn, shown } from './members.js';
import type { NoRows, Rows } from './types.js';

export interface ObjectSettings {
  fields: readonly SampleField[];
  /** Contract's name → path of a member. */
  map: Readonly<Record<string, string>>;
  /** Path of the member that says when; `none` = none does. */
  time: string | undefined;
  seq: string | undefined;
}

const timeNames = ['t', 'timestamp', 'time', 'ts', 'datetime', 'time_ms', 'time_us', 'time_s', 'millis'];
/** Samples a second that a message may say it has; anything else is a mistake of its sender. */
const [slowest, fastest] = [1e-4, 1e6];
const deviceNames = ['deviceid', 'device', 'device_id'];

/**
 * Reads JSON objects: a number a field is one sample, an array a field a batch in columns, as in telemetry of device protocol v1
 * (docs/protocol.md). Where a field stands is found in the first object and kept.
 */
export function createObjectReader(
  settings: ObjectSettings,
): (object: Record<string, unknown>) => Rows | NoRows {
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
        why: `expected ${settings.map[fields[missing]!.name] ?? fields[missing]!.name} in it, got ${members || 'an empty object'}`,
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

/** The stamp, or an array of stamps, of an object. */
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
