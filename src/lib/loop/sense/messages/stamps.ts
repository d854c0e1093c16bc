import { AiotError } from '../../../core/index.js';

const units: Record<string, number> = { s: 1000, ms: 1, us: 1e-3, ns: 1e-6 };

/** Makes milliseconds since 1970 of the stamps of messages. */
export interface Stamps {
  /** @returns NaN for what is no time */
  of(stamp: unknown, arrivalMs: number): number;
  /** What counts from a start begins with the next one. */
  anew(): void;
  /** Whether a start was seen since this was last asked. */
  restarted(): boolean;
}

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

/** A board whose count goes back by more than this has begun anew; by less, a message was late. */
const farBackMs = 2000;

/**
 * Times since 1970 are told by their size (s, ms, µs, ns) or are dates; others count from the start of a board, in milliseconds where
 * they are whole numbers and in seconds where not, and are laid against the time at which the first came here.
 */
export function createStamps(unit: string | undefined): Stamps {
  let scale = unit === undefined ? Number.NaN : units[unit]!;
  let offset = Number.NaN;
  let last = Number.NEGATIVE_INFINITY;
  let began = false;
  return {
    of(stamp, arrivalMs) {
      if (stamp === null || stamp === '') return Number.NaN;
      const value = Number(stamp);
      if (Number.isNaN(value)) return typeof stamp === 'string' ? Date.parse(stamp) : value;
      if (!Number.isFinite(value)) return Number.NaN;
      if (Number.isNaN(scale)) scale = guessed(value);
      const ms = value * scale;
      // Before September 2001: counted from something else.
      const counted = ms < 1e12;
      if (counted && ms < last - farBackMs) {
        began = true;
        offset = Number.NaN;
      }
      if (Number.isNaN(offset)) offset = counted ? arrivalMs - ms : 0;
      last = ms;
      return ms + offset;
    },
    anew() {
      if (offset === 0) return;
      offset = Number.NaN;
      last = Number.NEGATIVE_INFINITY;
    },
    restarted() {
      const was = began;
      began = false;
      return was;
    },
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
