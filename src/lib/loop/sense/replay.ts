import { isAbsolute, join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { AiotError } from '../../core/errors.js';
import { readBytes } from '../../core/files.js';
import type { Clock } from '../../core/time.js';
import { isPicture, pictureColumns, soundColumns } from '../../data/dataset/read.js';
import { isSound, readSound } from '../../data/dataset/sound.js';
import { csvColumns, parseLabelledCsv } from '../../formats/csv/parse.js';
import type { SampleBatch } from '../../sensor/types.js';
import type { SensorAddress } from './address.js';
import { mapFields } from './fields.js';
import type { RawSource, SensingContract } from './types.js';

interface ReplayOptions {
  address: SensorAddress;
  contract: SensingContract;
  clock: Clock;
  /** Base folder for a relative path; absent = the current folder. */
  folder?: string | undefined;
  signal: AbortSignal;
}

/**
 * Replays a CSV or sound recording, or a picture, as a sensor. Columns are selected by name; other columns may contain anything. Every cell
 * is read before the first sample is returned. The rate is `?rate=`, otherwise the sound's or, for CSV, the contract's: a recording is
 * replayed sample by sample, regardless of the times that it contains.
 * @throws AIOT_FILE_NOT_FOUND, AIOT_CSV_COLUMNS, AIOT_CSV_EMPTY, AIOT_FILE_MALFORMED (file:line:column), AIOT_PROGRAM_NOT_FOUND,
 * AIOT_SENSOR_UNFIT, AIOT_SENSOR_URL
 */
export async function openReplay(replay: ReplayOptions): Promise<RawSource> {
  const { address, contract, clock, signal } = replay;
  const path = pathOf(address, replay.folder);
  const bytes = await readBytes(path);
  const {
    names: wanted,
    columns: chosen,
    ...read
  } = await (isPicture(path) ? pictureIn : isSound(path) ? soundIn : rowsIn)(bytes, path, replay);
  const rows = chosen[0]!.length;
  const rateHz = address.rateHz ?? read.rateHz ?? contract.rateHz ?? 1;
  const ended = new AbortController();
  let row = 0;
  let round = 0;
  const fill = (values: Float64Array, count: number): number => {
    if (row === rows) {
      round++;
      row = 0;
    }
    if (round >= address.repeat) return 0;
    const given = Math.min(count, rows - row);
    chosen.forEach((column, f) => {
      for (let i = 0; i < given; i++) values[i * chosen.length + f] = column[row + i]!;
    });
    row += given;
    return given;
  };
  const stop = AbortSignal.any([signal, ended.signal]);
  const options = { fields: chosen.length, rateHz, speed: address.speed ?? 1, clock, signal: stop, fill };
  return {
    endpoint: `file:${path}`,
    fields: wanted.map((name) => ({ name, unit: '' })),
    rateHz,
    timing: 'exact',
    faults: { overruns: 0, retries: 0, reconnects: 0 },
    [Symbol.asyncIterator]: () => paced(options),
    async close() {
      ended.abort();
    },
  };
}

/** A recording's columns from which the contract's fields are read, and their names. */
interface Replayed {
  names: string[];
  columns: Float64Array[];
  /** Hz; null = the file does not state it. */
  rateHz: number | null;
}

function rowsIn(bytes: Uint8Array, path: string, { address, contract }: ReplayOptions): Replayed {
  const names = csvColumns(bytes, path);
  if (names.every((name) => name === ''))
    throw new AiotError('AIOT_CSV_EMPTY', `${path}: the file contains no samples`);
  // Only the selected columns have to be numeric.
  const has = names.map((name) => ({ name, unit: '' }));
  const wanted = mapFields(has, contract.fields, address.fields, path).map(({ from }) => names[from]!);
  const { columns, data } = parseLabelledCsv(bytes, path, (name) => !wanted.includes(name));
  return { names: wanted, columns: wanted.map((name) => data[columns.indexOf(name)]!), rateHz: null };
}

/**
 * Reads sound as in training, unless `?map=` names channels. Channels have the same names as a microphone's: `sound`, or `sound0`
 * and so on.
 */
async function soundIn(
  bytes: Uint8Array,
  path: string,
  { address, contract }: ReplayOptions,
): Promise<Replayed> {
  if (Object.keys(address.fields.map).length === 0) {
    const names = contract.fields.map(({ name }) => name);
    const { columns, originalHz } = await soundColumns(bytes, path, { fields: names, rateHz: null });
    return { names, columns, rateHz: originalHz };
  }
  const { channels, rateHz } = await readSound(bytes, path);
  const names = channels.length === 1 ? ['sound'] : channels.map((_, i) => `sound${i}`);
  const has = names.map((name) => ({ name, unit: '' }));
  const from = mapFields(has, contract.fields, address.fields, path).map((mapped) => mapped.from);
  return { names: from.map((i) => names[i]!), columns: from.map((i) => channels[i]!), rateHz };
}

/**
 * Fitted to the model's size, as in training. The replay of a picture takes as long as that of one of the model's own pictures.
 */
async function pictureIn(bytes: Uint8Array, path: string, { contract }: ReplayOptions): Promise<Replayed> {
  const names = contract.fields.map(({ name }) => name);
  const { image } = contract;
  const channels = names.length === 3 ? 3 : 1;
  const expected = { fields: names, image: image ? ({ ...image, channels } as const) : null };
  const { columns } = await pictureColumns(bytes, path, expected);
  return { names, columns, rateHz: contract.rateHz };
}

function pathOf({ url }: SensorAddress, folder: string | undefined): string {
  const path = decodeURIComponent(url.replace(/^file:(\/\/)?/, '').replace(/\?.*$/, ''));
  if (path === '') {
    throw new AiotError('AIOT_SENSOR_URL', 'file: expected a path after it, got none', {
      next: 'Use the form file:recording.csv?rate=100&speed=max',
    });
  }
  return folder === undefined || isAbsolute(path) ? path : join(folder, path);
}

/** Maximum samples per batch. Large batches are fast, but would delay their last samples for too long. */
const mostSamples = 256;

/** Assumed resolution of timers, ms. */
const tickMs = 20;

export interface PacedOptions {
  fields: number;
  rateHz: number;
  /** 1 = in real time; `max` = as fast as they are read. */
  speed: number | 'max';
  clock: Clock;
  signal: AbortSignal;
  /** Writes up to `count` samples, and returns their number; 0 = there are no more. */
  fill(values: Float64Array, count: number): number;
}

/** Returns existing samples at the right times, beginning now. The times in the batches are 1000/rate ms apart, regardless of the speed. */
export async function* paced(options: PacedOptions): AsyncGenerator<SampleBatch> {
  const { fields, rateHz, speed, clock, signal, fill } = options;
  const monotonicMs = () => clock.monotonic?.() ?? clock.now();
  const began = clock.now();
  const started = monotonicMs();
  let sent = 0;
  for (;;) {
    let room = mostSamples;
    if (speed === 'max') await nextTurn();
    else {
      const elapsed = (monotonicMs() - started) * speed;
      const due = Math.floor((elapsed * rateHz) / 1000) + 1 - sent;
      if (due <= 0) {
        const aheadMs = ((sent * 1000) / rateHz - elapsed) / speed;
        await clock.sleep(Math.max(tickMs, aheadMs), signal).catch(() => {});
        if (signal.aborted) return;
        continue;
      }
      room = Math.min(room, due);
    }
    if (signal.aborted) return;
    const values = new Float64Array(room * fields);
    const count = fill(values, room);
    if (count === 0) return;
    const times = new Float64Array(count);
    for (let i = 0; i < count; i++) times[i] = began + ((sent + i) * 1000) / rateHz;
    sent += count;
    yield { values: count === room ? values : values.slice(0, count * fields), times, count, lost: 0 };
  }
}
