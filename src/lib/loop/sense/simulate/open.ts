import { resolve } from 'node:path';
import { AiotError, seededRandom, shuffled } from '../../../core/index.js';
import {
  motorFields,
  motorSamples,
  motorStates,
  openDataset,
  openTable,
  type Recording,
} from '../../../data/index.js';
import { parseAddress } from '../address.js';
import type { FieldSettings } from '../fields/map.js';
import { type MachineParts, openMachine } from '../source/machine.js';
import { type PacedOptions, paced } from '../source/paced.js';
import { createScaledClock, createVirtualClock } from '../time/clocks.js';
import type { RawSource, SensingContract, Simulation } from '../types.js';
import { axesFor, simulateImu } from './imu.js';
import { createPlaylist } from './playlist.js';

/** One simulated motor, before another takes its place. */
const motorSeconds = 60;

export interface Simulated {
  source: RawSource;
  fields: FieldSettings;
  /** In whose time it lives. */
  clock: MachineParts['clock'];
}

/**
 * A made-up sensor of what the project is about: a motion sensor by its registers, feeling the project's recordings; the motor; or
 * the recordings as they are.
 * @throws AIOT_DATA_EMPTY and what else opening the recordings throws
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
    tell('simulated', `a made-up motion sensor, ${from}: ${url}`);
    const source = await openMachine(parseAddress(url), { ...parts, clock, bus });
    return { source, clock, fields: { map, units: {} } };
  }
  const isMotor = names.every((name) => motorFields.some((field) => field === name));
  const fill = isMotor
    ? motorFill(names, rateHz, seed)
    : recordingFill(names, await recordingsOf(project, false), rateHz, seed);
  tell('simulated', isMotor ? 'a made-up motor, another each minute' : 'the recordings of the project');
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

/** The rows of a table, one after the other. */
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
