import type { SensorAddress } from '../address.js';
import type { Tell } from '../events.js';
import type { Incoming, SensingContract, Timing } from '../types.js';
import { createDecoder } from './decode.js';
import { createSequence } from './sequence.js';
import { createStamps, timeSetting } from './stamps.js';
import { isRows, type Rows } from './types.js';

/** Messages → batches of samples with times. */
export interface Batcher {
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
