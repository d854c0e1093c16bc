import { isAbsolute, join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { AiotError, type Clock, readBytes } from '../../../core/index.js';
import { csvColumns, parseLabelledCsv } from '../../../formats/index.js';
import type { SampleBatch } from '../../../sensor/index.js';
import type { SensorAddress } from '../address.js';
import { mapFields } from '../fields/map.js';
import type { RawSource, SensingContract } from '../types.js';

/** Rows in one batch at most: enough to be quick, and few enough for others to have their turn. */
const batchRows = 2048;
/** Timers are no finer. */
const tickMs = 20;

interface ReplayOptions {
  address: SensorAddress;
  contract: SensingContract;
  clock: Clock;
  /** Where a relative path begins; absent = here. */
  folder?: string | undefined;
  signal: AbortSignal;
}

/**
 * A CSV recording as a sensor: columns by name, other columns may hold anything. Every cell is read before the first sample is given.
 * Its rate is what `?rate=` says, else the contract's: a recording is played sample for sample, whatever times stand in it.
 * @throws AIOT_FILE_NOT_FOUND, AIOT_CSV_COLUMNS, AIOT_CSV_EMPTY, AIOT_CSV_MALFORMED (file:line:column), AIOT_SENSOR_UNFIT
 */
export async function openReplay(options: ReplayOptions): Promise<RawSource> {
  const { address, contract, clock, signal } = options;
  const path = pathOf(address, options.folder);
  const bytes = await readBytes(path);
  const names = csvColumns(bytes, path);
  // Only the columns that are wanted have to be numbers.
  const has = names.map((name) => ({ name, unit: '' }));
  const wanted = mapFields(has, contract.fields, address.fields, path).map(({ from }) => names[from]!);
  const { columns, data, rows } = parseLabelledCsv(bytes, path, (name) => !wanted.includes(name));
  const chosen = wanted.map((name) => data[columns.indexOf(name)]!);
  const rateHz = address.rateHz ?? contract.rateHz ?? 1;
  const speed = address.speed ?? 1;
  const started = clock.now();
  let closed = false;

  async function* batches(): AsyncGenerator<SampleBatch> {
    let sent = 0;
    for (let round = 0; round < address.repeat; round++) {
      for (let row = 0; row < rows; ) {
        let count = Math.min(rows - row, batchRows);
        if (speed !== 'max') {
          const elapsed = (clock.now() - started) * speed;
          const due = Math.floor((elapsed * rateHz) / 1000) + 1 - sent;
          if (due <= 0) {
            const ahead = (sent * 1000) / rateHz - elapsed;
            await clock.sleep(Math.max(tickMs, ahead / speed), signal).catch(() => {});
            if (closed || signal.aborted) return;
            continue;
          }
          count = Math.min(count, due);
        } else await turn();
        if (closed || signal.aborted) return;
        yield batchOf(chosen, row, count, started + (sent * 1000) / rateHz, rateHz);
        row += count;
        sent += count;
      }
    }
  }

  return {
    endpoint: `file:${path}`,
    fields: wanted.map((name) => ({ name, unit: '' })),
    rateHz,
    timing: 'exact',
    faults: { overruns: 0, retries: 0, reconnects: 0 },
    [Symbol.asyncIterator]: () => batches(),
    async close() {
      closed = true;
    },
  };
}

function batchOf(
  columns: readonly Float64Array[],
  row: number,
  count: number,
  start: number,
  rateHz: number,
): SampleBatch {
  const values = new Float64Array(count * columns.length);
  columns.forEach((column, f) => {
    for (let i = 0; i < count; i++) values[i * columns.length + f] = column[row + i]!;
  });
  const times = new Float64Array(count);
  for (let i = 0; i < count; i++) times[i] = start + (i * 1000) / rateHz;
  return { values, times, count, lost: 0 };
}

function pathOf({ url }: SensorAddress, folder: string | undefined): string {
  const path = decodeURIComponent(url.replace(/^file:(\/\/)?/, '').replace(/\?.*$/, ''));
  if (path === '') {
    throw new AiotError('AIOT_SENSOR_URL', 'file: expected a path after it, got none', {
      next: 'Write it as file:recording.csv?rate=100&speed=max',
    });
  }
  return folder === undefined || isAbsolute(path) ? path : join(folder, path);
}
