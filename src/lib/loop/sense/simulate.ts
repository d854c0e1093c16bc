import { resolve } from 'node:path';
import { AiotError } from '../../core/errors.js';
import { type Random, seededRandom, shuffled } from '../../core/numbers.js';
import type { Clock } from '../../core/time.js';
import { openDataset } from '../../data/dataset/open.js';
import { motorFields, motorSamples, motorStates } from '../../data/motor.js';
import { openTable } from '../../data/tables/table.js';
import type { Recording } from '../../data/types.js';
import { conversionOf, quantityOf } from '../../data/units.js';
import type { I2cBus } from '../../sensor/i2c/bus.js';
import type { World } from '../../sensor/i2c/simulated-chip.js';
import type { SampleField } from '../../sensor/types.js';
import { parseAddress } from './address.js';
import type { FieldSettings } from './fields.js';
import { type MachineParts, openMachine } from './machine.js';
import { type PacedOptions, paced } from './replay.js';
import { createScaledClock, createVirtualClock } from './time.js';
import type { RawSource, SensingContract, Simulation } from './types.js';

/** Duration of one simulated motor before another replaces it. */
const motorSeconds = 60;

interface Simulated {
  source: RawSource;
  fields: FieldSettings;
  clock: MachineParts['clock'];
}

/**
 * Opens a simulated sensor for the project: a motion sensor, simulated down to its registers, that replays the project's recordings; the
 * simulated motor; or the recordings themselves.
 * @throws AIOT_DATA_EMPTY and the other errors of opening the recordings
 */
export async function openSimulated(
  { project, speed = 1, seed = 1 }: Simulation,
  contract: SensingContract,
  parts: MachineParts,
): Promise<Simulated> {
  const { tell } = parts;
  const rateHz = contract.rateHz ?? project.config.signal.rate;
  const names = contract.fields.map(({ name }) => name);
  const clock = clockAt(parts.clock, speed);
  const plain: FieldSettings = { map: {}, units: {} };
  const isMotion = axesFor(contract.fields) !== null;
  if (isMotion) {
    const recordings = await recordingsOf(project, true);
    const from = recordings.length > 0 ? `playing ${recordings.length} recordings` : 'swaying on a thread';
    const options = { recordings, rateHz, clock, seed, fields: contract.fields, seldom: speed === 'max' };
    const { url, bus, map } = await simulateImu(options);
    tell('simulated', `a simulated motion sensor, ${from}: ${url}`);
    const source = await openMachine(parseAddress(url), { ...parts, clock, bus });
    return { source, clock, fields: { map, units: {} } };
  }
  const isMotor = names.every((name) => motorFields.some((field) => field === name));
  const fill = isMotor
    ? motorFill(names, rateHz, seed)
    : recordingFill(names, await recordingsOf(project, false), rateHz, seed);
  tell(
    'simulated',
    isMotor ? 'a simulated motor, a different one each minute' : "from the project's recordings",
  );
  const options = { fields: names.length, rateHz, speed: speed === 'max' ? speed : 1, clock, fill };
  return { source: pacedSource(contract, { ...options, signal: parts.signal }), clock, fields: plain };
}

function clockAt(clock: MachineParts['clock'], speed: number | 'max'): MachineParts['clock'] {
  if (speed === 'max') return createVirtualClock(clock.now());
  return speed === 1 ? clock : createScaledClock(clock, speed);
}

async function recordingsOf(project: Simulation['project'], mayLack: boolean): Promise<Recording[]> {
  const { table } = project.config.model;
  if (table) return [await rowsOf(project.dir, table, project.config.signal.rate)];
  try {
    return (await openDataset(project)).recordings;
  } catch (error) {
    if (mayLack && error instanceof AiotError && error.code === 'AIOT_DATA_EMPTY') return [];
    throw error;
  }
}

/** The rows of a table, in order. */
async function rowsOf(
  folder: string,
  { file, label, inputs, columns }: NonNullable<Simulation['project']['config']['model']['table']>,
  rateHz: number,
): Promise<Recording> {
  const shape = { label, ...(inputs ? { inputs } : {}), ...(columns ? { columns } : {}) };
  const table = await openTable(resolve(folder, file), shape);
  const width = table.columns.length;
  return {
    id: file,
    label: null,
    device: null,
    rateHz,
    startedAt: null,
    fields: table.columns,
    columns: table.columns.map((_, c) =>
      Float64Array.from({ length: table.rows }, (_row, row) => table.inputs[row * width + c]!),
    ),
  };
}

type Fill = PacedOptions['fill'];

function motorFill(names: readonly string[], rateHz: number, seed: number): Fill {
  const random = seededRandom(seed);
  const places = names.map((name) => (motorFields as readonly string[]).indexOf(name));
  let states: (typeof motorStates)[number][] = [];
  let motor: ReturnType<typeof motorSamples>;
  let left = 0;
  return (values, count) => {
    for (let i = 0; i < count; i++) {
      if (left-- === 0) {
        if (states.length === 0) states = shuffled(motorStates, random);
        motor = motorSamples({ state: states.pop()!, rateHz, random });
        left = Math.round(motorSeconds * rateHz) - 1;
      }
      const { value } = motor.next();
      for (let f = 0; f < places.length; f++) values[i * places.length + f] = value[places[f]!]!;
    }
    return count;
  };
}

function recordingFill(
  names: readonly string[],
  recordings: readonly Recording[],
  rateHz: number,
  seed: number,
): Fill {
  const playlist = createPlaylist(recordings, seededRandom(seed));
  let taken = 0;
  return (values, count) => {
    for (let i = 0; i < count; i++) {
      const { recording, place } = playlist.at((taken++ + 0.5) / rateHz);
      const row = Math.floor(place);
      names.forEach((name, f) => {
        values[i * names.length + f] = recording.columns[recording.fields.indexOf(name)]![row]!;
      });
    }
    return count;
  };
}

function pacedSource(contract: SensingContract, options: PacedOptions): RawSource {
  const ended = new AbortController();
  const signal = AbortSignal.any([options.signal, ended.signal]);
  return {
    endpoint: 'simulated',
    fields: contract.fields,
    rateHz: options.rateHz,
    timing: 'exact',
    faults: { overruns: 0, retries: 0, reconnects: 0 },
    [Symbol.asyncIterator]: () => paced({ ...options, signal }),
    async close() {
      ended.abort();
    },
  };
}

/** Quantities that the chips measure, with the names of their axes in order, and their units. */
const axes: Record<string, { names: readonly (keyof World)[]; unit: string }> = {
  acceleration: { names: ['ax', 'ay', 'az'], unit: 'g' },
  'angular rate': { names: ['gx', 'gy', 'gz'], unit: 'dps' },
  'magnetic flux density': { names: ['mx', 'my', 'mz'], unit: 'gauss' },
};

/** Sample rates of the LSM6DS3TR-C, Hz. */
const rates = [12.5, 26, 52, 104, 208, 416, 833, 1666, 3332, 6664];

const ranges = [2, 4, 8, 16];

interface SimulatedImu {
  /** URL for `openI2c`. */
  url: string;
  bus: I2cBus;
  /** The chip's field names, keyed by the contract's. */
  map: Record<string, string>;
}

/** The chips' axes for a contract's fields, in order; null if the chips do not measure a field, or have too few axes. */
function axesFor(fields: readonly SampleField[]): (keyof World)[] | null {
  const used = new Map<string, number>();
  const found = fields.map(({ unit }) => {
    const quantity = quantityOf(unit) ?? '';
    const place = used.get(quantity) ?? 0;
    used.set(quantity, place + 1);
    return axes[quantity]?.names[place];
  });
  return found.length > 0 && found.every((name) => name !== undefined) ? found : null;
}

/**
 * Simulates an LSM6DS3TR-C (with an LIS3MDL if there is a magnetic field) on the simulated bus. Its registers contain the values of the
 * recordings, and its rate is off by up to two percent, as in real chips. @param recordings if there are none, the sensor hangs on a thread
 * and sways
 */
async function simulateImu(options: {
  fields: readonly SampleField[];
  recordings: readonly Recording[];
  rateHz: number;
  clock: Clock;
  seed: number;
  /** Whether to read the chip as rarely as its FIFO allows. Suitable if no reader waits for single samples. */
  seldom: boolean;
}): Promise<SimulatedImu> {
  const { fields, recordings, rateHz, clock, seed, seldom } = options;
  const { simulatedBus, swaying } = await import('../../sensor/index.js');
  const names = axesFor(fields)!;
  const random = seededRandom(seed);
  const magnetic = names.some((name) => name.startsWith('m'));
  const turning = names.some((name) => name.startsWith('g'));
  const chips = magnetic ? ['lsm6ds3tr-c', 'lis3mdl'] : ['lsm6ds3tr-c'];
  const signal = recordings.length === 0 ? swaying : signalOf(fields, names, recordings, random);
  const rate = rates.find((each) => each >= rateHz) ?? rates.at(-1)!;
  const settings = {
    rate,
    range: rangeFor(fields, names, recordings),
    gyro: turning ? 2000 : 'off',
    selftest: 'off',
    ...(seldom ? { watermark: 512 } : {}),
  };
  const query = Object.entries(settings).map(([name, value]) => `${name}=${value}`);
  return {
    url: `i2c://sim/${chips.join(',')}?${query.join('&')}`,
    bus: simulatedBus({ chips, clock, signal, odrError: 0.98 + 0.04 * random(), seed }),
    map: Object.fromEntries(fields.map(({ name }, f) => [name, names[f]!])),
  };
}

function signalOf(
  fields: readonly SampleField[],
  names: readonly (keyof World)[],
  recordings: readonly Recording[],
  random: Random,
): (seconds: number, world: World) => void {
  const playlist = createPlaylist(recordings, random);
  const conversions = fields.map(({ unit }) => conversionOf(unit, axes[quantityOf(unit)!]!.unit)!);
  const places = new Map(
    recordings.map((recording) => [recording, fields.map(({ name }) => recording.fields.indexOf(name))]),
  );
  return (seconds, world) => {
    const { recording, place } = playlist.at(seconds);
    const columns = places.get(recording)!;
    for (let f = 0; f < names.length; f++) {
      const { scale, offset } = conversions[f]!;
      world[names[f]!] = valueAt(recording.columns[columns[f]!]!, place) * scale + offset;
    }
  };
}

/** The smallest measuring range of the chip that covers the recordings, ± g. */
function rangeFor(
  fields: readonly SampleField[],
  names: readonly (keyof World)[],
  recordings: readonly Recording[],
): number {
  let most = 0;
  names.forEach((name, f) => {
    if (!name.startsWith('a')) return;
    const { scale } = conversionOf(fields[f]!.unit, 'g')!;
    for (const { fields: of, columns } of recordings) {
      for (const value of columns[of.indexOf(fields[f]!.name)] ?? []) {
        most = Math.max(most, Math.abs(value * scale));
      }
    }
  });
  return ranges.find((range) => range >= most) ?? 16;
}

/** An endless sequence of the recordings in random order, in which all are equally frequent. */
interface Playlist {
  /**
   * Moves to the recording that plays at a given time, which must not decrease. @returns the recording, and the position in it, in samples
   * with fractions
   */
  at(seconds: number): { recording: Recording; place: number };
}

/** @param recordings at least one must have two samples; shorter ones are skipped */
function createPlaylist(recordings: readonly Recording[], random: Random): Playlist {
  const playable = recordings.filter(({ columns }) => (columns[0]?.length ?? 0) > 1);
  let order: Recording[] = [];
  let current: Recording | undefined;
  let began = 0;
  const now = { recording: playable[0]!, place: 0 };
  return {
    at(seconds) {
      for (;;) {
        if (current) {
          const place = (seconds - began) * current.rateHz;
          const length = current.columns[0]!.length;
          if (place < length) {
            now.recording = current;
            now.place = Math.max(0, place);
            return now;
          }
          began += length / current.rateHz;
        }
        if (order.length === 0) order = shuffled(playable, random);
        current = order.pop()!;
      }
    },
  };
}

/** The value at a position between samples, by a cubic through the four samples around it (Catmull and Rom). */
function valueAt(column: Float64Array, place: number): number {
  const last = column.length - 1;
  const i = Math.min(Math.floor(place), last);
  const share = place - i;
  const b = column[i]!;
  if (share === 0 || i === last) return b;
  const c = column[i + 1]!;
  const a = i > 0 ? column[i - 1]! : b;
  const d = i + 2 <= last ? column[i + 2]! : c;
  return b + 0.5 * share * (c - a + share * (2 * a - 5 * b + 4 * c - d + share * (3 * (b - c) + d - a)));
}
