import { AiotError } from '../../core/errors.js';
import type { SensorAddress } from './address.js';
import { createDecoder, isRows, type Rows } from './decode.js';
import type { Incoming, SensingContract, Tell, Timing } from './types.js';

/** Turns messages into batches of samples with times. */
interface Batcher {
  /** @returns a reason if the message is not a sample, else null */
  add(payload: Uint8Array, arrivalMs: number): string | null;
  /** Reports messages that were dropped before they arrived here. */
  dropped(messages: number): void;
  /** Marks a break: the next sample does not follow the last one. */
  cut(): void;
  take(): Incoming[];
  /** Known after the first message that contains a sample. */
  readonly timing: Timing;
  readonly rateHz: number | null;
}

/** @throws AIOT_SENSOR_URL (an unknown unit of time) */
export function createBatcher(
  { fields, rateHz: contractHz }: SensingContract,
  address: SensorAddress,
  tell: Tell,
): Batcher {
  // If each sample is a window of its own, samples of several devices may alternate.
  const mixed = contractHz === null;
  const { name, unit } = timeSetting(address.time);
  const decode = createDecoder({
    fields,
    map: address.fields.map,
    time: name,
    seq: address.seq,
    columns: address.columns,
  });
  const clock = createStamps(unit);
  const order = createSequence();
  let timing: Timing | null = null;
  let rateHz = address.rateHz ?? null;
  let take: string | null = null;
  let device = address.device ?? null;
  let lastT = Number.NEGATIVE_INFINITY;
  let lastCount = 1;
  let lastFirst = Number.NaN;
  let lastPayload: Uint8Array | null = null;
  let lost = 0;
  let apart = false;
  let done: Incoming[] = [];

  /** Interval between the samples of a batch that has only one timestamp, from the batch's rate or the time since the previous batch. */
  const stepFrom = (first: number, period: number): number => {
    if (!Number.isNaN(period)) return period;
    const passed = (first - lastFirst) / lastCount;
    return passed > 0 && Number.isFinite(passed) ? passed : 1000 / (contractHz ?? 1000);
  };

  /**
   * Whether times in whole seconds are too coarse to order the samples. `1795000000.0` is not coarse, although it parses as a whole second.
   */
  const coarse = ({ count, stamps }: Rows, payload: Uint8Array): boolean => {
    if (contractHz === null || contractHz <= 1 || stamps.length < count || !clock.coarse(stamps[0]))
      return false;
    if (Buffer.from(payload).includes(`${stamps[0]}.`)) return false;
    tell('caution', 'the timestamps of the messages are whole seconds, so samples are timed by arrival');
    return true;
  };

  /** Times of a message's samples, ms. */
  const timesOf = (rows: Rows, arrivalMs: number, payload: Uint8Array): Float64Array => {
    const { count, stamps } = rows;
    const first = stamps.length > 0 ? clock.of(stamps[0], arrivalMs) : Number.NaN;
    if (timing === null) timing = Number.isNaN(first) || coarse(rows, payload) ? 'arrival' : 'own';
    const times = new Float64Array(count);
    const rate = rows.rateHz ?? rateHz;
    const period = rate === null ? Number.NaN : 1000 / rate;
    if (timing === 'own' && !Number.isNaN(first)) {
      const step = count === 1 || stamps.length === count ? 0 : stepFrom(first, period);
      for (let i = 0; i < count; i++) {
        times[i] = stamps.length === count ? clock.of(stamps[i], arrivalMs) : first + i * step;
      }
      lastFirst = first;
      return times;
    }
    // Assumes that the last sample of a message was taken just now, and distributes the others over the time since the previous message.
    const end = Math.max(arrivalMs, lastT);
    const begin = Number.isFinite(lastT) ? lastT : end - (Number.isNaN(period) ? 0 : period * count);
    for (let i = 0; i < count; i++) times[i] = begin + ((end - begin) * (i + 1)) / count;
    return times;
  };

  const otherDevice = (rows: Rows): boolean => {
    if (rows.device === null || (device === null && mixed)) return false;
    device ??= rows.device;
    return rows.device !== device;
  };

  return {
    add(payload, arrivalMs) {
      // A broker may redeliver the last message. New messages that contain a time are never identical to it.
      if (timing === 'own' && lastPayload !== null && Buffer.compare(payload, lastPayload) === 0) return null;
      const rows = decode(payload);
      if (!isRows(rows)) {
        if (rows.broken && timing !== 'own' && !mixed) lost++;
        return rows.why === '' ? null : rows.why;
      }
      if (otherDevice(rows)) {
        const which = `samples of ${rows.device} are ignored; samples of ${device} are used`;
        tell('skipped', `${which}: a loop has one sensor; choose it with ?device=NAME`);
        return null;
      }
      rateHz ??= rows.rateHz;
      const times = timesOf(rows, arrivalMs, payload);
      if (clock.restarted()) apart = true;
      const newer = timing === 'own' && times[0]! > lastT;
      let sure = false;
      if (rows.seq !== null) {
        const told =
          rows.take === take || take === null ? order(rows.seq, newer) : ({ kind: 'restarted' } as const);
        if (rows.take !== take && take !== null) order(rows.seq, true);
        if (told.kind === 'again') return null;
        if (told.kind === 'restarted') apart = true;
        if (told.kind === 'lost') lost += told.messages * lastCount;
        sure = told.kind !== 'first';
      }
      if (rows.take !== take && take !== null) apart = true;
      take = rows.take;
      done.push({ values: rows.values, times, count: rows.count, lost, sure, apart });
      lost = 0;
      apart = false;
      lastT = times[rows.count - 1]!;
      lastCount = rows.count;
      lastPayload = timing === 'own' ? payload : null;
      return null;
    },
    dropped(messages) {
      lost += messages * lastCount;
    },
    cut() {
      apart = true;
      clock.anew();
    },
    take() {
      const out = done;
      done = [];
      return out;
    },
    get timing() {
      return timing ?? 'arrival';
    },
    get rateHz() {
      return rateHz;
    },
  };
}

const units: Record<string, number> = { s: 1000, ms: 1, us: 1e-3, ns: 1e-6 };

/** Converts the timestamps of messages to milliseconds since 1970. */
interface Stamps {
  /** Converts a timestamp to ms since 1970; NaN if it is not a time. */
  of(stamp: unknown, arrivalMs: number): number;
  /** Whether a timestamp has only whole seconds. */
  coarse(stamp: unknown): boolean;
  /** Forgets the origin of times that count from a board's start. The next timestamp sets a new origin. */
  anew(): void;
  /** Whether a restart was seen since the last call. */
  restarted(): boolean;
}

/** Parses `FIELD` or `FIELD:UNIT` into the field's name and the unit, if given. @throws AIOT_SENSOR_URL */
function timeSetting(text: string | undefined): {
  name: string | undefined;
  unit: string | undefined;
} {
  const [, name = text, unit] = /^(.+):([^:]*)$/.exec(text ?? '') ?? [];
  if (unit !== undefined && !Object.hasOwn(units, unit)) {
    throw new AiotError('AIOT_SENSOR_URL', `?time=: expected one of the units s, ms, us, ns, got "${unit}"`);
  }
  return { name, unit };
}

/** If a board's time jumps back by more than this, ms, the board has restarted. Smaller jumps come from late messages. */
const farBackMs = 2000;

/** Times before September 2001 (ms since 1970) must have another origin, because no data is that old. */
const earliestMs = 1e12;

/**
 * Maximum lead over this machine's clock, five years in ms. A clock that was never set can show any time. This machine's clock may not be
 * set either.
 */
const farAheadMs = 5 * 365 * 86_400_000;

const surelyMs = 1.76e12;

/** The latest date that JavaScript supports, ms since 1970 (ECMA-262, 21.4.1.1). */
const mostMs = 8.64e15;

/**
 * Times since 1970 are dates, or numbers whose magnitude reveals their unit (s, ms, µs, ns). Other numbers count from the start of a board,
 * in milliseconds if they are integers and in seconds otherwise, and are aligned with the arrival of the first message. If a board's clock
 * is set while it runs, its times change from the second kind to the first.
 */
function createStamps(unit: string | undefined): Stamps {
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

/** Larger values are times since 1970. Their unit follows from their magnitude alone, even if earlier timestamps had another unit. */
const sinceEpoch = 1e11;

function guessed(value: number): number {
  const size = Math.abs(value);
  if (size > 1e17) return 1e-6;
  if (size > 1e14) return 1e-3;
  if (size > sinceEpoch) return 1;
  if (size > 1.5e9 && size < 4.2e9) return 1000;
  return Number.isInteger(value) ? 1 : 1000;
}

/** How the sequence number of a message relates to the previous ones. */
type Order = { kind: 'first' | 'next' | 'again' | 'restarted' } | { kind: 'lost'; messages: number };

/** If the number is lower by at least this much, the board has restarted. Smaller differences come from late messages. */
const farBack = 1000;

/** Number of missing messages from which a gap is implausible: eleven days' worth at a hundred per second. */
const farAhead = 1e8;

/** Tracks sequence numbers, which increase by one per message and start over after a restart. */
function createSequence(): (seq: number, newer: boolean) => Order {
  let last: number | null = null;
  return (seq, newer) => {
    const before = last;
    if (before !== null && seq <= before && !newer && seq !== 0 && before - seq < farBack)
      return { kind: 'again' };
    if (before === 0 && seq === 0 && !newer) return { kind: 'again' };
    last = seq;
    if (before === null) return { kind: 'first' };
    if (seq <= before || seq - before > farAhead) return { kind: 'restarted' };
    return seq === before + 1 ? { kind: 'next' } : { kind: 'lost', messages: seq - before - 1 };
  };
}
