import { AiotError, type Clock } from '../../core/index.js';
import type { Stamps } from '../stamps.js';
import type { SampleBatch, SourceFaults } from '../types.js';
import { readAttribute } from './attributes.js';
import type { IioDevice } from './device.js';
import type { IioNode } from './node.js';
import type { ScanDecoder } from './scans.js';

export interface ScanReading {
  node: IioNode;
  decoder: ScanDecoder;
  stamps: Stamps;
  /** As long as the kernel's buffer: filled at once, it has run over. */
  bytes: Uint8Array;
  faults: SourceFaults;
  /** Time between looks into the buffer. */
  everyMs: number;
  clock: Clock;
  signal: AbortSignal;
}

/** Looks without any sample before the device counts as gone, and the least time, ms. */
const [silentLooks, silentMs] = [20, 3_000];

/**
 * Batches of samples until `signal` is aborted.
 * @throws AIOT_SENSOR_LOST when the device is gone, or has long given nothing
 */
export async function* readScans(device: IioDevice, reading: ScanReading): AsyncGenerator<SampleBatch> {
  const { node, decoder, stamps, bytes, faults, everyMs, clock, signal } = reading;
  let [held, silent, full] = [0, 0, false];
  let last: number | undefined;
  const patience = Math.max(silentLooks, Math.ceil(silentMs / everyMs));
  while (!signal.aborted) {
    const got = await node.read(bytes.subarray(held)).catch((error: unknown) => {
      if (signal.aborted) return 0;
      throw error;
    });
    if (signal.aborted) return;
    held += got;
    const count = Math.floor(held / decoder.scanBytes);
    if (count === 0) {
      silent++;
      if (got === 0) await requireThere(device, silent > patience ? silent * everyMs : undefined);
    } else {
      silent = 0;
      const { values, times: ns } = decoder.decode(bytes, count);
      const { periodMs } = stamps;
      const times = stamps.times(ns, count, clock.now());
      const lost = full && ns && last !== undefined && periodMs ? between(last, times[0]!, periodMs) : 0;
      last = times[count - 1]!;
      full = held === bytes.length;
      if (full) faults.overruns++;
      bytes.copyWithin(0, count * decoder.scanBytes, held);
      held -= count * decoder.scanBytes;
      yield { values, times, count, lost };
      if (full) continue;
    }
    await clock.sleep(everyMs, signal).catch(() => {});
  }
}

/** Samples that would have had room between two times. */
function between(last: number, next: number, periodMs: number): number {
  return Math.max(0, Math.round((next - last) / periodMs) - 1);
}

/** A device that was taken away says nothing on some kernels: its folder is gone. */
async function requireThere(device: IioDevice, silentForMs: number | undefined): Promise<void> {
  const endpoint = `iio:${device.name || device.id}`;
  const details = { endpoint, retryable: true };
  if ((await readAttribute(`${device.folder}/name`)) === undefined) {
    throw new AiotError('AIOT_SENSOR_LOST', `${endpoint} is gone`, details);
  }
  if (silentForMs === undefined) return;
  const seconds = Math.round(silentForMs / 1000);
  throw new AiotError('AIOT_SENSOR_LOST', `${endpoint} has given no sample for ${seconds} s`, details);
}
