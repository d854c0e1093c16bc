import { AiotError, type Clock } from '../../core/index.js';
import { steady } from '../timing/host-clock.js';
import type { SampleBatch, SourceFaults } from '../types.js';
import { readAttribute } from './attributes.js';
import type { IioDevice } from './device.js';
import type { IioNode } from './node.js';
import type { ScanDecoder } from './scans.js';
import type { Stamper } from './stamps.js';

export interface ScanReading {
  node: IioNode;
  decoder: ScanDecoder;
  stamper: Stamper;
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
  const { node, decoder, stamper, bytes, faults, everyMs, clock, signal } = reading;
  let [held, silent, full] = [0, 0, false];
  const steadyClock = steady(clock);
  const patience = Math.max(silentLooks, Math.ceil(silentMs / everyMs));
  while (!signal.aborted) {
    const before = steadyClock.now();
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
      const stamped = stamper.place(ns, count, [before, steadyClock.now()], full);
      const { times, lost, stepMs } = stamped;
      full = held === bytes.length;
      if (full) faults.overruns++;
      bytes.copyWithin(0, count * decoder.scanBytes, held);
      held -= count * decoder.scanBytes;
      yield { values, times, count, lost, ...(stepMs > 0 && { clockStepMs: stepMs }) };
      if (full) continue;
    }
    await clock.sleep(everyMs, signal).catch(() => {});
  }
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
