import { AiotError } from '../../core/errors.js';
import type { SensorAddress } from './address.js';
import { createDecoder, isRows, type Rows } from './decode.js';
import type { Incoming, SensingContract, Tell, Timing } from './types.js';

/** Messages → batches of samples with times. */
interface Batcher {
  /** @returns a sentence when the message is no sample, null when it is */
  add(payload: Uint8Array, arrivalMs: number): string | null;
  /** So many messages were thrown away on their way here. */
  dropped(messages: number): void;
  /** What comes follows nothing. */
  cut(): void;
  take(): Incoming[];
  /** By the first message that said something. */
  readonly timing: Timing;
  readonly rateHz: number | null;
}

/**
 * @throws AIOT_SENSOR_URL (a unit of time that is none)
 */
export function createBatcher(
  { fields, rateHz: contractHz }: SensingContract,
  address: SensorAddress,
  tell: Tell,
): Batcher {
  // Where a sample is a window of its own, it does not matter who measured the one before.
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

  /** From sample to sample of a batch that has one time: by its rate, or by the time since the batch before. */
  const stepFrom = (first: number, period: number): number => {
    if (!Number.isNaN(period)) return period;
    const passed = (first - lastFirst) / lastCount;
    return passed > 0 && Number.isFinite(passed) ? passed : 1000 / (contractHz ?? 1000);
  };

  /** Times in whole seconds do not part the samples of one. `1795000000.0` is none, though it reads as one. */
  const coarse = ({ count, stamps }: Rows, payload: Uint8Array): boolean => {
    if (contractHz === null || contractHz <= 1 || stamps.length < count || !clock.coarse(stamps[0]))
      return false;
    if (Buffer.from(payload).includes(`${stamps[0]}.`)) return false;
    tell('caution', 'the times of the messages are whole seconds: samples count as they come');
    return true;
  };

  /** ms of each sample of a message. */
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
    // The last sample of a message has just been taken; those before it since the message before.
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
      // A broker that is not sure sends a message again; one with a time in it is never the same twice.
      if (timing === 'own' && lastPayload !== null && Buffer.compare(payload, lastPayload) === 0) return null;
      const rows = decode(payload);
      if (!isRows(rows)) {
        if (rows.broken && timing !== 'own' && !mixed) lost++;
        return rows.why === '' ? null : rows.why;
      }
      if (otherDevice(rows)) {
        const which = `samples of ${rows.device} are left out, those of ${device} are taken`;
        tell('skipped', `${which}: a loop has one sensor, and ?device=NAME chooses`);
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

/** Makes milliseconds since 1970 of the stamps of messages. */
interface Stamps {
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

/** What the number of a message says about those before it. */
type Order = { kind: 'first' | 'next' | 'again' | 'restarted' } | { kind: 'lost'; messages: number };

/** A number this much lower is no message that comes late, but a board that began anew. */
const farBack = 1000;

/** Nor are so many missing: at a hundred a second that is eleven days. */
const farAhead = 1e8;

/** Follows numbers that rise by one a message; after a restart they begin anew. */
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
