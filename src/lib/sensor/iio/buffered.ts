import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import { AiotError, hasCode, systemCode } from '../../core/errors.js';
import type { Clock } from '../../core/time.js';
import { steady, WallTime } from '../host-clock.js';
import { Timeline } from '../timeline.js';
import type { SampleBatch, SampleSource, SourceFaults } from '../types.js';
import {
  type ElementType,
  elementBytes,
  elementReader,
  mountTurns,
  type ScanChannel,
  scanChannels,
  type Turn,
  turn,
} from './channels.js';
import {
  chosenChannels,
  type IioSettings,
  recordNames,
  sampleFields,
  selectChannels,
  setRange,
  setRate,
  setTrigger,
} from './configure.js';
import { attributeError, type IioDevice, readAttribute, scanFolders, writeAttribute } from './device.js';

/** Assumed samples per second if the device does not report a rate. */
const unknownRateHz = 50;

/** The data to read and how to read it, once a device is set up. */
interface Setup {
  channels: ScanChannel[];
  rateHz: number | null;
  length: number;
  watermark: number;
  stampClock: string;
}

/**
 * Reads a device through the kernel's buffer without blocking. The buffer is polled four times a second, unless `watermark` is set.
 * @throws AIOT_SENSOR_BUSY, AIOT_SENSOR_DENIED, AIOT_SENSOR_FAILED, AIOT_SENSOR_NOT_FOUND, AIOT_SENSOR_URL
 */
export async function openBuffered(
  device: IioDevice,
  settings: IioSettings,
  clock: Clock,
): Promise<SampleSource> {
  // The node is opened first. It can have only one reader, and the setup of that reader must not be disturbed.
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
    // Discards samples that an earlier reader left in the buffer.
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

/** Disables the buffer and configures the device in the order required by the kernel; the buffer stays disabled. */
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
  // The channels are read again, because setting the range changes their scales.
  const channels = (await scanChannels(folder, scan)).filter(({ name }) => names.includes(name));
  return { channels, rateHz, length, watermark, stampClock };
}

/** Writes the watermark if possible. Old kernels have none, and some drivers accept only certain values. */
async function writeWatermark(path: string, watermark: number): Promise<void> {
  if ((await readAttribute(path)) === undefined) return;
  await writeAttribute(path, `${watermark}`).catch((error: unknown) => {
    if (!hasCode(error, 'AIOT_SENSOR_FAILED')) throw error;
  });
}

/** Requests timestamps of a monotonic clock. Returns the name of the clock that is used. */
async function steadyClock(path: string): Promise<string> {
  if ((await readAttribute(path)) === undefined) return 'realtime';
  await writeAttribute(path, 'monotonic').catch(() => {});
  return (await readAttribute(path)) ?? 'realtime';
}

/** Ignores a denied write: if an administrator has set up the device, no write is needed. Rethrows other errors. */
function allowDenied(error: unknown): void {
  if (error instanceof AiotError && error.code === 'AIOT_SENSOR_DENIED') return;
  throw error;
}

/**
 * A device's character device, which is read without blocking. A blocking read would occupy one of Node's few threads, and closing would
 * wait for the next sample. A nonblocking read also empties the chip's own FIFO (Linux, iio_buffer_ready), whatever the watermark.
 */
interface IioNode {
  /** Reads into `into` and returns the number of bytes, which may be 0. @throws AIOT_SENSOR_LOST */
  read(into: Uint8Array): Promise<number>;
  close(): Promise<void>;
}

/** @throws AIOT_SENSOR_BUSY, AIOT_SENSOR_DENIED, AIOT_SENSOR_NOT_FOUND */
async function openNode(path: string): Promise<IioNode> {
  const file = await openFile(path);
  return {
    async read(into) {
      try {
        return (await file.read(into, 0, into.length, null)).bytesRead;
      } catch (error) {
        if (systemCode(error) === 'EAGAIN') return 0;
        throw attributeError(path, error);
      }
    },
    close: () => file.close(),
  };
}

async function openFile(path: string): Promise<FileHandle> {
  try {
    return await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (cause) {
    if (systemCode(cause) !== 'ENOENT') throw attributeError(path, cause);
    throw new AiotError('AIOT_SENSOR_NOT_FOUND', `${path} does not exist`, { endpoint: path, cause });
  }
}

interface ScanReading {
  node: IioNode;
  decoder: ScanDecoder;
  stamper: Stamper;
  /** Buffer of the same size as the kernel's buffer. If a read fills it, the kernel's buffer has probably overrun. */
  bytes: Uint8Array;
  faults: SourceFaults;
  /** Polling interval of the buffer, ms. */
  everyMs: number;
  clock: Clock;
  signal: AbortSignal;
}

/** Number of polls without a sample after which the device counts as lost, and minimum time for that, ms. */
const [silentLooks, silentMs] = [20, 3_000];

/**
 * Yields batches of samples until `signal` is aborted.
 * @throws AIOT_SENSOR_LOST if the device disappeared, or has not returned samples for a long time
 */
async function* readScans(device: IioDevice, reading: ScanReading): AsyncGenerator<SampleBatch> {
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

/** Checks whether the device still exists. On some kernels, a removed device causes no error, but its folder disappears. */
async function requireThere(device: IioDevice, silentForMs: number | undefined): Promise<void> {
  const endpoint = `iio:${device.name || device.id}`;
  const details = { endpoint, retryable: true };
  if ((await readAttribute(`${device.folder}/name`)) === undefined) {
    throw new AiotError('AIOT_SENSOR_LOST', `${endpoint} was disconnected`, details);
  }
  if (silentForMs === undefined) return;
  const seconds = Math.round(silentForMs / 1000);
  throw new AiotError('AIOT_SENSOR_LOST', `${endpoint} has sent no sample for ${seconds} s`, details);
}

/** Converts the bytes of whole scans to records. */
interface ScanDecoder {
  scanBytes: number;
  /** Number of values per record. Channels with a repeat have several. */
  width: number;
  /** `times` are in ns by the device's clock; undefined if the scans contain no timestamps. */
  decode(bytes: Uint8Array, count: number): { values: Float64Array; times: BigInt64Array | undefined };
}

/** @param channels the enabled channels, which may include `timestamp` */
export function createScanDecoder(channels: readonly ScanChannel[], turns: readonly Turn[]): ScanDecoder {
  const { offsets, scanBytes } = scanLayout(channels);
  const stamp = channels.findIndex(({ name }) => name === 'timestamp');
  const stampType = channels[stamp]?.type;
  const readers = channels.flatMap((channel, at) => {
    if (at === stamp) return [];
    const { type, offset, scale } = channel;
    const read = elementReader(type);
    const step = type.storageBits / 8;
    return Array.from({ length: type.repeat }, (_, part) => ({
      read,
      at: offsets[at]! + part * step,
      offset,
      scale,
    }));
  });
  const width = readers.length;
  return {
    scanBytes,
    width,
    decode(bytes, count) {
      const view = new DataView(bytes.buffer, bytes.byteOffset, count * scanBytes);
      const values = new Float64Array(count * width);
      const times = stampType ? new BigInt64Array(count) : undefined;
      for (let scan = 0; scan < count; scan++) {
        const from = scan * scanBytes;
        for (let i = 0; i < width; i++) {
          const { read, at, offset, scale } = readers[i]!;
          values[scan * width + i] = (read(view, from + at) + offset) * scale;
        }
        for (const each of turns) turn(values, scan * width, each);
        if (times) times[scan] = view.getBigInt64(from + offsets[stamp]!, !stampType!.bigEndian);
      }
      return { values, times };
    },
  };
}

/** Positions of the elements within a scan. */
interface ScanLayout {
  /** Byte offset of each element, in the given order. */
  offsets: number[];
  scanBytes: number;
}

/**
 * Determines the kernel's layout of a scan. Elements are in the order of their index, each aligned to its own size, and the whole is padded
 * to a multiple of the largest (Linux, drivers/iio/industrialio-buffer.c, iio_compute_scan_bytes). Elements with the same index have the
 * same bytes. The padding's contents are undefined.
 */
export function scanLayout(elements: readonly { index: number; type: ElementType }[]): ScanLayout {
  const order = elements.map((_, at) => at).sort((a, b) => elements[a]!.index - elements[b]!.index);
  const offsets = new Array<number>(elements.length).fill(0);
  let [end, largest] = [0, 1];
  let last: { index: number; offset: number } | undefined;
  for (const at of order) {
    const { index, type } = elements[at]!;
    if (last?.index === index) {
      offsets[at] = last.offset;
      continue;
    }
    const bytes = elementBytes(type);
    const offset = aligned(end, bytes);
    offsets[at] = offset;
    end = offset + bytes;
    largest = Math.max(largest, bytes);
    last = { index, offset };
  }
  return { offsets, scanBytes: aligned(end, largest) };
}

function aligned(offset: number, bytes: number): number {
  return Math.ceil(offset / bytes) * bytes;
}

/** Times of samples that were read together. */
interface Stamped {
  /** ms since 1970, increasing. */
  times: Float64Array;
  /** Number of samples that are missing before the first, if the times reveal it. */
  lost: number;
  /** Amount by which this machine's clock was set ahead, ms. */
  stepMs: number;
}

/** Assigns times to samples. */
interface Stamper {
  /**
   * @param ns the kernel's timestamps; undefined if there are none
   * @param asked times by the steady clock just before and just after the samples were read, ms
   * @param full whether the buffer overran before these samples
   */
  place(
    ns: BigInt64Array | undefined,
    count: number,
    asked: readonly [number, number],
    full: boolean,
  ): Stamped;
}

/** Maximum lead of the kernel's clock over the monotonic one, ms. A larger lead means that the clock was set. */
const mostAheadMs = 2_000;

/**
 * Assigns times by the kernel's timestamps, which are aligned with this machine's steady clock at the first samples.
 * @param settable whether the kernel uses a settable clock (realtime). If that clock is set, times continue as if it had not been
 */
export function createKernelStamper(nominalMs: number, settable: boolean, clock: Clock): Stamper {
  const wall = new WallTime(clock);
  let base: { ns: bigint; ms: number } | undefined;
  let periodMs = nominalMs;
  /** Time of the last sample by the steady clock, and in ms since 1970. */
  let [last, lastWall] = [Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY];
  let before = steady(clock).now();
  return {
    place(ns, count, asked, full) {
      const times = new Float64Array(count);
      if (!ns || count === 0) return { times, lost: 0, stepMs: 0 };
      base ??= { ns: ns[count - 1]!, ms: asked[0] };
      const furthest = asked[1] - before + mostAheadMs;
      before = asked[1];
      const { offsetMs, stepMs } = wall.follow();
      let [first, lost] = [0, 0];
      for (let i = 0; i < count; i++) {
        let at = base.ms + Number(ns[i]! - base.ns) / 1e6;
        if (settable && last > 0 && (at < last || at - last > furthest)) {
          base = { ns: ns[i]!, ms: last + periodMs };
          at = base.ms;
        }
        if (i === 0) {
          first = at;
          if (full) lost = Math.max(0, Math.round((at - last) / periodMs) - 1);
        }
        last = at;
        // Keeps times increasing while the wall time is being corrected backward, and for equal timestamps.
        lastWall = Math.max(at + offsetMs, lastWall + 1e-3);
        times[i] = lastWall;
      }
      if (count > 1 && last > first) periodMs = (last - first) / (count - 1);
      return { times, lost, stepMs };
    },
  };
}

/** Assigns times to samples without timestamps: evenly spaced, at their measured rate. */
function createArrivalStamper(nominalMs: number, clock: Clock): Stamper {
  const timeline = new Timeline(1000 / nominalMs, clock);
  return {
    place(_ns, count, askedMs, broken) {
      return timeline.place({ count, left: 0, askedMs, broken: broken && count > 0 });
    },
  };
}
