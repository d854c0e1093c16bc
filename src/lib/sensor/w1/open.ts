import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { AiotError, type Clock, systemClock, systemCode } from '../../core/index.js';
import type { MachineOptions } from '../options.js';
import { steady, WallTime } from '../timing/host-clock.js';
import type { SampleBatch, SampleSource, SourceFaults } from '../types.js';
import { parseSensorUrl, positive, readSettings } from '../url.js';
import { findThermometer, parseReading } from './thermometer.js';

/** A conversion takes 0.75 s. */
const mostRateHz = 1;
/** Readings in a row that may be disturbed. */
const mostFailures = 10;

/**
 * Opens a DS18B20 or one of its kind on Linux's 1-wire: `w1://28-0316a4f9d2ff?rate=0.1`, or `w1://` where there is just one. Each
 * reading measures anew, which takes three quarters of a second in the kernel.
 * @throws AIOT_SENSOR_URL, AIOT_SENSOR_NOT_FOUND
 */
export async function openThermometer(url: string, options: MachineOptions = {}): Promise<SampleSource> {
  const parsed = parseSensorUrl(url);
  const { rate } = readSettings(parsed, {
    /** Samples a second; default 1. */
    rate: positive.pipe(z.number().max(mostRateHz, 'expected at most 1')).prefault('1'),
  });
  const folder = await findThermometer(parsed.place, options.sysfs);
  const closing = new AbortController();
  const faults = { overruns: 0, retries: 0, reconnects: 0 };
  const batches = poll(join(folder, 'w1_slave'), rate, faults, options.clock ?? systemClock, closing.signal);
  return {
    endpoint: parsed.endpoint,
    fields: [{ name: 'temperature', unit: 'degC' }],
    rateHz: rate,
    faults,
    [Symbol.asyncIterator]: () => batches,
    async close() {
      closing.abort();
    },
  };
}

async function* poll(
  file: string,
  rateHz: number,
  faults: SourceFaults,
  clock: Clock,
  signal: AbortSignal,
): AsyncGenerator<SampleBatch> {
  const wall = new WallTime(clock);
  const { now } = steady(clock);
  let [failures, lost, last] = [0, 0, Number.NEGATIVE_INFINITY];
  for (let due = now(); !signal.aborted; ) {
    const value = parseReading(await readSlave(file));
    if (signal.aborted) return;
    if (value === undefined) {
      if (++failures >= mostFailures) throw lostError(file, `${failures} readings in a row were disturbed`);
      faults.retries++;
      lost++;
    } else {
      const { offsetMs, stepMs } = wall.follow();
      last = Math.max(now() + offsetMs, last + 1e-3);
      const batch = { values: Float64Array.of(value), times: Float64Array.of(last), count: 1, lost };
      yield stepMs > 0 ? { ...batch, clockStepMs: stepMs } : batch;
      [failures, lost] = [0, 0];
    }
    due = Math.max(due + 1000 / rateHz, now());
    await clock.sleep(due - now(), signal).catch(() => {});
  }
}

async function readSlave(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    // A bus that does not answer this time; one that is gone has no file.
    if (systemCode(error) === 'EIO' || systemCode(error) === 'EAGAIN') return '';
    throw lostError(file, 'it is gone', error);
  }
}

function lostError(file: string, why: string, cause?: unknown): AiotError {
  const details = { endpoint: file, retryable: true };
  return new AiotError(
    'AIOT_SENSOR_LOST',
    `${file}: ${why}`,
    cause === undefined ? details : { ...details, cause },
  );
}
