import { join } from 'node:path';
import { AiotError, type Clock, hasCode } from '../../core/index.js';
import type { SampleBatch, SampleSource } from '../types.js';
import { readAttribute, writeAttribute } from './attributes.js';
import { type ScanChannel, scanChannels } from './channels.js';
import { chosenChannels, recordNames, sampleFields } from './chosen.js';
import { selectChannels, setRange, setRate, setTrigger } from './configure.js';
import { type IioDevice, scanFolders } from './device.js';
import { mountTurns } from './mount.js';
import { openNode } from './node.js';
import { readScans } from './read.js';
import { createScanDecoder } from './scans.js';
import type { IioSettings } from './settings.js';
import { createArrivalStamper, createKernelStamper } from './stamps.js';

/** Samples a second where the device names no rate. */
const unknownRateHz = 50;

/** What is read and how, once a device is set up. */
interface Setup {
  channels: ScanChannel[];
  rateHz: number | null;
  length: number;
  watermark: number;
  stampClock: string;
}

/**
 * Reads a device through the kernel's buffer. Nothing of this machine's waits for it: the buffer is asked again and again, four
 * times a second unless `watermark` says otherwise.
 * @throws AIOT_SENSOR_BUSY, AIOT_SENSOR_DENIED, AIOT_SENSOR_FAILED, AIOT_SENSOR_NOT_FOUND, AIOT_SENSOR_URL
 */
export async function openBuffered(
  device: IioDevice,
  settings: IioSettings,
  clock: Clock,
): Promise<SampleSource> {
  // First, so that another's reading is not disturbed: there can be one reader only.
  const node = await openNode(device.node);
  const enable = join((await scanFolders(device.folder))!.buffer, 'enable');
  const faults = { overruns: 0, retries: 0, reconnects: 0 };
  const closing = new AbortController();
  try {
    const setup = await setUp(device, settings);
    const names = recordNames(setup.channels);
    const decoder = createScanDecoder(setup.channels, await mountTurns(device.folder, names));
    const periodMs = 1000 / (setup.rateHz ?? unknownRateHz);
    const stamped = setup.channels.some(({ name }) => name === 'timestamp');
    const stamper = stamped
      ? createKernelStamper(periodMs, /^(realtime|tai)/.test(setup.stampClock), clock)
      : createArrivalStamper(periodMs, clock);
    const bytes = new Uint8Array(2 ** Math.ceil(Math.log2(setup.length)) * decoder.scanBytes);
    // What an earlier reader has left behind.
    while ((await node.read(bytes)) > 0);
    const before = await readAttribute(enable);
    await writeAttribute(enable, '1');
    const everyMs = Math.min(1000, Math.max(5, setup.watermark * periodMs));
    const reading = { node, decoder, stamper, bytes, faults, everyMs, clock, signal: closing.signal };
    const iterator = readScans(device, reading);
    return source(device, setup, faults, iterator, async () => {
      closing.abort();
      await node.close();
      if (before !== '1') await writeAttribute(enable, '0').catch(() => {});
    });
  } catch (error) {
    await node.close();
    throw error;
  }
}

function source(
  device: IioDevice,
  { channels, rateHz }: Setup,
  faults: SampleSource['faults'],
  batches: AsyncGenerator<SampleBatch>,
  release: () => Promise<void>,
): SampleSource {
  let closed: Promise<void> | undefined;
  return {
    endpoint: `iio:${device.name || device.id}`,
    fields: sampleFields(channels),
    rateHz,
    faults,
    [Symbol.asyncIterator]: () => batches,
    close() {
      closed ??= release();
      return closed;
    },
  };
}

/** Everything up to switching the buffer on, in the order that the kernel wants; it is off meanwhile. */
async function setUp(device: IioDevice, settings: IioSettings): Promise<Setup> {
  const { folder } = device;
  const { buffer, scan } = (await scanFolders(folder))!;
  await writeAttribute(join(buffer, 'enable'), '0').catch(allowDenied);
  const all = await scanChannels(folder, scan);
  const chosen = chosenChannels(device, all, settings.channels);
  const names = chosen.map(({ name }) => name);
  await selectChannels(scan, all, chosen);
  await setTrigger(device, settings.trigger);
  const rateHz = await setRate(device, names, settings.rate);
  await setRange(
    device,
    chosen.map(({ name, type }) => ({ name, bits: type.bits })),
    settings,
  );
  const rate = rateHz ?? unknownRateHz;
  const length = settings.length ?? 2 ** Math.ceil(Math.log2(Math.max(64, 4 * rate)));
  const watermark = Math.min(settings.watermark ?? Math.max(1, Math.round(rate / 4)), length);
  await writeAttribute(join(buffer, 'length'), `${length}`);
  await writeWatermark(join(buffer, 'watermark'), watermark);
  const stampClock = await steadyClock(join(folder, 'current_timestamp_clock'));
  // Their scales are known now.
  const channels = (await scanChannels(folder, scan)).filter(({ name }) => names.includes(name));
  return { channels, rateHz, length, watermark, stampClock };
}

/** Old kernels have none, and some drivers take only some values: it is a wish. */
async function writeWatermark(path: string, watermark: number): Promise<void> {
  if ((await readAttribute(path)) === undefined) return;
  await writeAttribute(path, `${watermark}`).catch((error: unknown) => {
    if (!hasCode(error, 'AIOT_SENSOR_FAILED')) throw error;
  });
}

/** Asks for stamps of a clock that is never set; says which clock it is. */
async function steadyClock(path: string): Promise<string> {
  if ((await readAttribute(path)) === undefined) return 'realtime';
  await writeAttribute(path, 'monotonic').catch(() => {});
  return (await readAttribute(path)) ?? 'realtime';
}

/** An administrator may have set up everything: then nothing is written, and no right is needed. */
function allowDenied(error: unknown): void {
  if (error instanceof AiotError && error.code === 'AIOT_SENSOR_DENIED') return;
  throw error;
}
