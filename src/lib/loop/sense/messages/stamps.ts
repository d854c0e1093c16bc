import { AiotError } from '../../../core/index.js';

const units: Record<string, number> = { s: 1000, ms: 1, us: 1e-3, ns: 1e-6 };

/** Makes milliseconds since 1970 of the stamps of messages. */
export interface Stamps {
  /** @returns NaN for what is no time */
  of(stamp: unknown, arrivalMs: number): number;
  /** Whether it names whole seconds alone. */
  coarse(stamp: unknown): boolean;
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
/** Before September 2001 nobody measured for this: it is counted from something else. */
const earliestMs = 1e12;
/** Nor does a clock go ahead by five years: one that was never set says anything. This machine's may not be set either. */
const farAheadMs = 5 * 365 * 86_400_000;
const surelyMs = 1.76e12;
/** No date lies beyond (ECMA-262, 21.4.1.1). */
const mostMs = 8.64e15;

/**
 * Times since 1970 are told by their size (s, ms, µs, ns) or are dates; others count from the start of a board, in milliseconds where
 * they are whole numbers and in seconds where not, and are laid against the time at which the first came here. A board that learns
 * the time while it runs goes from the one to the other.
 */
export function createStamps(unit: string | undefined): Stamps {
  let scale = unit === undefined ? Number.NaN : units[unit]!;
  let offset = Number.NaN;
  let last = Number.NEGATIVE_INFINITY;
  let began = false;
  let wasCounted = false;

  const msOf = (stamp: unknown): number => {
    if (typeof stamp !== 'number' && (typeof stamp !== 'string' || stamp.trim() === '')) return Number.NaN;
    const value = Number(stamp);
    if (Number.isNaN(value)) return typeof stamp === 'string' ? Date.parse(stamp) : value;
    if (Number.isNaN(scale)) scale = guessed(value);
    return value * (unit === undefined && Math.abs(value) > sinceEpoch ? guessed(value) : scale);
  };

  return {
    of(stamp, arrivalMs) {
      const ms = msOf(stamp);
      if (!(Math.abs(ms) <= mostMs)) return Number.NaN;
      const counted = ms < earliestMs || ms > Math.max(arrivalMs, surelyMs) + farAheadMs;
      if (Number.isFinite(last) && (counted !== wasCounted || (counted && ms < last - farBackMs))) {
        began = true;
        offset = Number.NaN;
      }
      if (Number.isNaN(offset)) offset = counted ? arrivalMs - ms : 0;
      wasCounted = counted;
      last = ms;
      return ms + offset;
    },
    coarse(stamp) {
      if (typeof stamp === 'string' && Number.isNaN(Number(stamp))) return !/:\d\d[.,]\d/.test(stamp);
      const value = Number(stamp);
      return Number.isInteger(value) && (unit === 's' || (unit === undefined && guessed(value) === 1000));
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

/** What is larger says by its size what it is in, whatever came before. */
const sinceEpoch = 1e11;

function guessed(value: number): number {
  const size = Math.abs(value);
  if (size > 1e17) return 1e-6;
  if (size > 1e14) return 1e-3;
  if (size > sinceEpoch) return 1;
  if (size > 1.5e9 && size < 4.2e9) return 1000;
  return Number.isInteger(value) ? 1 : 1000;
}
