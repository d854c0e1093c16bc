import { AiotError } from '../../core/errors.js';
import { type Clock, systemClock } from '../../core/time.js';
import { isSound } from '../../data/dataset/sound.js';
import type { SampleField, SourceFaults } from '../../sensor/types.js';
import { requireScheme } from '../../stream/open.js';
import { parseStreamUrl } from '../../stream/url.js';
import type { Rates, Sensing } from '../types.js';
import { parseAddress, type SensorAddress } from './address.js';
import { openCamera, pictureSchemes } from './camera.js';
import type { FieldSettings } from './fields.js';
import { machineSchemes, openMachine } from './machine.js';
import { openListener, openMessages } from './messages.js';
import { openReplay } from './replay.js';
import { type SensingPorts, sensingOf } from './sensing.js';
import {
  createTeller,
  type Incoming,
  type RawSource,
  type SensingEvent,
  type SensingOptions,
  type Tell,
} from './types.js';

/**
 * Opens any sensor as samples in the contract's fields, units and rate.
 *
 * `i2c:`, `iio:`, `alsa:` and `w1:` are local sensors. `file:` replays a CSV file, a sound file or a picture. `camera:` and `pictures:`
 * send pictures. `tcp://:PORT` listens. All other addresses are those of `aiot stream`, whose messages are samples. Reading continues after outages: a sensor
 * that was unplugged is reopened when it is available again.
 * @throws AIOT_SENSOR_MISSING, AIOT_SENSOR_URL, AIOT_SENSOR_UNFIT, and the errors of opening; while reading, permanent errors
 */
export async function openSensing(options: SensingOptions): Promise<Sensing> {
  const { sensor, contract, clock = systemClock } = options;
  const monotonicMs = () => clock.monotonic?.() ?? clock.now();
  const ports: SensingPorts = { clock, monotonicMs, tell: createTeller(clock, monotonicMs, options.onEvent) };
  if (sensor === undefined) return openMadeUp(options, ports);
  const address = parseAddress(sensor);
  const { source, fields } = await openRaw(address, options, ports);
  return closedUnless(source, () => sensingOf(source, { ...address, fields }, contract, ports));
}

async function openMadeUp(options: SensingOptions, ports: SensingPorts): Promise<Sensing> {
  const { simulate, contract } = options;
  if (!simulate) throw new AiotError('AIOT_SENSOR_MISSING', 'no sensor is specified');
  const { openSimulated } = await import('./simulate.js');
  const { source, fields, clock } = await openSimulated(simulate, contract, {
    ...ports,
    signal: stopOf(options),
  });
  const own = { ...ports, clock, monotonicMs: () => clock.monotonic?.() ?? clock.now() };
  return sensingOf(source, { ...parseAddress('i2c:'), fields }, contract, own);
}

/** Closes the source if setting up the sensing fails. */
async function closedUnless<T>(source: RawSource, use: () => T): Promise<T> {
  try {
    return use();
  } catch (error) {
    await source.close();
    throw error;
  }
}

function stopOf({ signal }: SensingOptions): AbortSignal {
  return signal ?? new AbortController().signal;
}

/** Opens the source, and determines how its fields are named. Fields of messages are already read by the contract's names. */
async function openRaw(
  address: SensorAddress,
  options: SensingOptions,
  { clock, monotonicMs, tell }: SensingPorts,
): Promise<{ source: RawSource; fields: FieldSettings }> {
  const { contract, baseFolder, stream } = options;
  const signal = stopOf(options);
  if (address.scheme === 'file' && isRecording(address)) {
    const source = await openReplay({ address, contract, clock, folder: baseFolder, signal });
    return { source, fields: address.fields };
  }
  const again = { clock, signal, tell, patient: options.patient ?? false };
  if (machineSchemes.some((scheme) => scheme === address.scheme)) {
    const source = await openAgain(() => openMachine(address, { clock, signal, tell }), again);
    return { source, fields: address.fields };
  }
  const messages = { address, contract, stream, signal, monotonicMs, wallMs: () => clock.now(), tell };
  if (address.scheme === 'tcp') {
    return { source: await openListener(messages), fields: { map: {}, units: {} } };
  }
  requireReadable(address.url);
  if (pictureSchemes.some((scheme) => scheme === address.scheme)) {
    const open = () => openCamera({ ...messages, folder: baseFolder });
    const source = await (address.scheme === 'camera' ? openAgain(open, again) : open());
    return { source, fields: { map: {}, units: {} } };
  }
  const open = () => openMessages(messages);
  // Files and pipes are not reopened, because corrupt data would still be corrupt.
  const source = await (['file', 'stdin'].includes(address.scheme) ? open() : openAgain(open, again));
  return { source, fields: { map: {}, units: {} } };
}

/** @throws AIOT_SENSOR_URL */
function requireReadable(url: string): void {
  try {
    requireScheme(parseStreamUrl(url), 'source');
  } catch (cause) {
    if (!(cause instanceof AiotError) || cause.code !== 'AIOT_STREAM_SCHEME') throw cause;
    throw new AiotError('AIOT_SENSOR_URL', cause.message, {
      cause,
      next: `${cause.next} For a sensor of this machine, use i2c:, iio:, w1: or alsa:. To listen, use tcp:.`,
    });
  }
}

function isRecording({ url }: SensorAddress): boolean {
  const path = url.replace(/\?.*$/, '');
  return isSound(path) || /\.(csv|png|jpe?g)$/i.test(path);
}

/** Pauses between attempts, ms; doubled each time. */
const pause = { first: 500, longest: 30_000 };

interface AgainOptions {
  clock: Clock;
  signal: AbortSignal;
  tell: Tell;
  /** Whether to retry the first attempt, too, if its error may be temporary. */
  patient: boolean;
}

/**
 * Opens a source, and reopens it without limit when reading fails, for example because the sensor was unplugged. Samples after a
 * failure form a new series.
 * @throws the errors of opening it the first time; while reading, only bugs
 */
export async function openAgain(open: () => Promise<RawSource>, options: AgainOptions): Promise<RawSource> {
  const { clock, signal, tell } = options;
  let source = await firstOf(open, options);
  let closed = false;
  let connected = true;
  const before: SourceFaults = { overruns: 0, retries: 0, reconnects: 0 };
  const ended = new AbortController();
  const stop = AbortSignal.any([signal, ended.signal]);

  /** Reopens the source after a failure. Returns false if it is closed in the meantime. */
  const reopen = async (error: AiotError): Promise<boolean> => {
    connected = false;
    tell('lost', `${source.endpoint} was disconnected: ${error.message}`);
    addTo(before, source.faults);
    await source.close().catch(() => {});
    for (let waitMs = pause.first; !stop.aborted; waitMs = Math.min(2 * waitMs, pause.longest)) {
      await clock.sleep(waitMs, stop).catch(() => {});
      if (stop.aborted) break;
      const again = await open().catch((failure: unknown) => {
        if (!(failure instanceof AiotError)) throw failure;
        return null;
      });
      if (again === null) continue;
      source = again;
      if (closed) await source.close();
      before.reconnects++;
      connected = true;
      tell('found', `${source.endpoint} is available again`);
      return true;
    }
    return false;
  };

  async function* batches(): AsyncGenerator<Incoming> {
    let apart = false;
    while (!closed) {
      try {
        for await (const batch of source) {
          yield apart ? { ...batch, apart } : batch;
          apart = false;
        }
        return;
      } catch (error) {
        if (closed) return;
        if (!(error instanceof AiotError) || error.family === 'bug') throw error;
        if (!(await reopen(error))) return;
        apart = true;
      }
    }
  }

  return {
    get endpoint() {
      return source.endpoint;
    },
    fields: source.fields,
    get rateHz() {
      return source.rateHz;
    },
    get timing() {
      return source.timing;
    },
    get kept() {
      return source.kept ?? false;
    },
    get connected() {
      return connected && (source.connected ?? true);
    },
    get faults() {
      return addTo({ ...before }, source.faults);
    },
    [Symbol.asyncIterator]: () => batches(),
    async close() {
      closed = true;
      ended.abort();
      await source.close();
    },
  };
}

async function firstOf(open: () => Promise<RawSource>, options: AgainOptions): Promise<RawSource> {
  const { clock, signal, tell, patient } = options;
  for (let waitMs = pause.first; ; waitMs = Math.min(2 * waitMs, pause.longest)) {
    try {
      return await open();
    } catch (error) {
      // Errors in the address or the settings are permanent.
      const mayCome = error instanceof AiotError && (error.family === 'outside' || error.exit === 4);
      if (!patient || !mayCome) throw error;
      if (waitMs === pause.first)
        tell('lost', `the sensor is not available yet, waiting for it: ${error.message}`);
      await clock.sleep(waitMs, signal);
    }
  }
}

function addTo(sum: SourceFaults, more: Readonly<SourceFaults>): SourceFaults {
  sum.overruns += more.overruns;
  sum.retries += more.retries;
  sum.reconnects += more.reconnects;
  return sum;
}

/** A summary of a sensor, observed for a while. */
export interface MeasuredSensor extends Rates {
  endpoint: string;
  fields: readonly SampleField[];
  /** Rate in Hz that the model requires; 1 if the model accepts any rate. */
  contractHz: number;
  /** Duration of the measurement, s. */
  seconds: number;
  /** The newest sample, in the contract's fields and units; null if there were no samples. */
  newest: number[] | null;
  faults: Readonly<SourceFaults>;
  /** Events during the measurement. */
  events: SensingEvent[];
}

/**
 * Opens a sensor, listens for some seconds or until the sensor ends, and closes it.
 * @throws as `openSensing`
 */
export async function measureSensor(options: SensingOptions, seconds: number): Promise<MeasuredSensor> {
  const { clock = systemClock, onEvent } = options;
  const events: SensingEvent[] = [];
  const sensing = await openSensing({
    ...options,
    onEvent(event) {
      events.push(event);
      onEvent?.(event);
    },
  });
  const began = clock.monotonic?.() ?? clock.now();
  const over = new AbortController();
  const end = options.signal ? AbortSignal.any([options.signal, over.signal]) : over.signal;
  const timer = clock.sleep(seconds * 1000, end).then(
    () => sensing.close(),
    () => sensing.close(),
  );
  let newest: number[] | null = null;
  try {
    for await (const { values, count } of sensing) {
      const width = sensing.fields.length;
      newest = Array.from(values.subarray((count - 1) * width, count * width));
    }
  } finally {
    over.abort();
    await timer;
  }
  return {
    endpoint: sensing.endpoint,
    fields: sensing.fields,
    contractHz: sensing.rateHz,
    seconds: ((clock.monotonic?.() ?? clock.now()) - began) / 1000,
    ...sensing.rates(),
    newest,
    faults: { ...sensing.faults },
    events,
  };
}
