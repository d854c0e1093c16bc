import { AiotError } from '../../../core/index.js';

const units: Record<string, number> = { s: 1000, ms: 1, us: 1e-3, ns: 1e-6 };

/**
 * Makes milliseconds of the stamps of messages.
 * @returns a function of a stamp and when it came here; NaN for what is no time
 */
export type Stamps = (stamp: unknown, arrivalMs: number) => number;

/** `FIELD` or `FIELD:UNIT` → the field's name, and the unit where it is named. @throws AIOT_SENSOR_URL */
export function timeSetting(text: string | undefined): {
  name: string | undefined;
  unit: string | undefined;
} {
  const [, name = text, unit] = /^(.+):([^:]*)$/.exec(text ?? '') ?? [];
  if (unit !== undefined && !Object.hasOwn(units, unit)) {
    throw new AiotError('AIOT_SENSOR_URL', `?time=: expected one of the units s, ms, us, ns, got "${unit}"`);
  }
  return { name, unit };
}

/**
 * Times since 1970 are told by their size (s, ms, µs, ns) or are dates; others count from the start of a board, in milliseconds where
 * they are whole numbers and in seconds where not, and are laid against the time at which the first came here.
 */
export function createStamps(unit: string | undefined): Stamps {
  let scale = unit === undefined ? Number.NaN : units[unit]!;
  let offset = Number.NaN;
  return (stamp, arrivalMs) => {
    const value =
      typeof stamp === 'string' && !/^[-+.\deE]+$/.test(stamp) ? Date.parse(stamp) : Number(stamp);
    if (!Number.isFinite(value) || stamp === null || stamp === '') return Number.NaN;
    if (typeof stamp === 'string' && Number.isNaN(Number(stamp))) return value;
    if (Number.isNaN(scale)) scale = guessed(value);
    const ms = value * scale;
    // Before September 2001: counted from something else.
    if (Number.isNaN(offset)) offset = ms < 1e12 ? arrivalMs - ms : 0;
    return ms + offset;
  };
}

function guessed(value: number): number {
  const size = Math.abs(value);
  if (size > 1e17) return 1e-6;
  if (size > 1e14) return 1e-3;
  if (size > 1e11) return 1;
  if (size > 1.5e9 && size < 4.2e9) return 1000;
  return Number.isInteger(value) ? 1 : 1000;
}
