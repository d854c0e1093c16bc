import { AiotError, systemCode } from '../../core/errors.js';
import { type Clock, systemClock } from '../../core/time.js';
import { steady, WallTime } from '../host-clock.js';
import type { MachineOptions, SampleBatch, SampleSource, SourceFaults } from '../types.js';
import { parseSensorUrl } from '../url.js';
import { openBuffered } from './buffered.js';
import { directChannels, type IioChannel, mountTurns, type Turn, turn } from './channels.js';
import { chosenChannels, type IioSettings, iioSettings, setRange } from './configure.js';
import { attributeError, findIio, type IioDevice, readAttribute } from './device.js';

/**
 * Opens a sensor of Linux's Industrial I/O: `iio://NAME` or `iio://iio:deviceN`, with settings such as `?rate=104&range=4&gyro=2000`. Reads
 * from the kernel's buffer. If the device has none, or with `?mode=direct`, reads values one by one. Applies the mount matrix to the axes.
 * @throws AIOT_SENSOR_URL, AIOT_SENSOR_NOT_FOUND, AIOT_SENSOR_DENIED, AIOT_SENSOR_BUSY, AIOT_SENSOR_FAILED
 */
export async function openIio(url: string, options: MachineOptions = {}): Promise<SampleSource> {
  const parsed = parseSensorUrl(url);
  const settings = iioSettings(parsed);
  if (parsed.place === '') {
    throw new AiotError('AIOT_SENSOR_URL', 'iio: expected a device after it, got none', {
      next: 'Use iio://lsm6dsox_accel or iio://iio:device0. To list the devices, run `cat /sys/bus/iio/devices/*/name`.',
    });
  }
  const device = await findIio(parsed.place, options);
  const clock = options.clock ?? systemClock;
  if (settings.mode === 'buffer' && !device.buffered) {
    throw new AiotError('AIOT_SENSOR_FAILED', `${device.name || device.id} has no buffer`, {
      next: "Its driver needs the chip's interrupt line for a buffer. To read samples one at a time, use ?mode=direct.",
    });
  }
  const open = device.buffered && settings.mode !== 'direct' ? openBuffered : openDirect;
  return open(device, settings, clock);
}

/** Default and maximum samples per second. Each value is a separate file, and some drivers power up the chip for each. */
const [usualRateHz, mostRateHz] = [10, 100];

/** Maximum number of consecutive samples that may fail. */
const mostFailures = 10;

/**
 * Reads a device value by value, at intervals timed by this machine. That is slow, and the intervals are only as regular as this machine's
 * timing. For devices without a buffer.
 * @throws AIOT_SENSOR_URL, AIOT_SENSOR_DENIED, AIOT_SENSOR_BUSY (another program uses the buffer)
 */
async function openDirect(device: IioDevice, settings: IioSettings, clock: Clock): Promise<SampleSource> {
  const rateHz = settings.rate ?? usualRateHz;
  if (rateHz > mostRateHz) {
    throw new AiotError(
      'AIOT_SENSOR_URL',
      `without its buffer, ${device.name || device.id} delivers at most ${mostRateHz} samples per second, not ${rateHz}`,
      { next: `Add ?rate=${mostRateHz} or less. For a higher rate, connect the chip's interrupt line.` },
    );
  }
  const named = chosenChannels(device, await directChannels(device.folder), settings.channels);
  await setRange(
    device,
    named.map(({ name }) => ({ name, bits: 16 })),
    settings,
  );
  const names = new Set(named.map(({ name }) => name));
  const channels = (await directChannels(device.folder)).filter(({ name }) => names.has(name));
  const turns = await mountTurns(
    device.folder,
    channels.map(({ name }) => name),
  );
  await readRecord(channels, turns);
  const closing = new AbortController();
  const faults = { overruns: 0, retries: 0, reconnects: 0 };
  const batches = poll(channels, turns, { rateHz, faults, clock, signal: closing.signal });
  return {
    endpoint: `iio:${device.name || device.id} (one by one)`,
    fields: channels.map(({ field }) => field),
    rateHz,
    faults,
    [Symbol.asyncIterator]: () => batches,
    async close() {
      closing.abort();
    },
  };
}

type DirectChannel = IioChannel & { file: string };

async function* poll(
  channels: readonly DirectChannel[],
  turns: readonly Turn[],
  {
    rateHz,
    faults,
    clock,
    signal,
  }: { rateHz: number; faults: SourceFaults; clock: Clock; signal: AbortSignal },
): AsyncGenerator<SampleBatch> {
  const periodMs = 1000 / rateHz;
  const wall = new WallTime(clock);
  const { now } = steady(clock);
  let [failures, lost, last] = [0, 0, Number.NEGATIVE_INFINITY];
  let due = now();
  while (!signal.aborted) {
    const at = now();
    try {
      const values = await readRecord(channels, turns);
      if (signal.aborted) return;
      const { offsetMs, stepMs } = wall.follow();
      last = Math.max(at + offsetMs, last + 1e-3);
      const batch = { values, times: Float64Array.of(last), count: 1, lost };
      yield stepMs > 0 ? { ...batch, clockStepMs: stepMs } : batch;
      [failures, lost] = [0, 0];
    } catch (error) {
      // A sample is one record. If one of its values cannot be read, the whole sample is dropped.
      if (!(error instanceof AiotError) || !error.retryable || error.code === 'AIOT_SENSOR_LOST') throw error;
      if (++failures >= mostFailures) throw error;
      faults.retries++;
      lost++;
    }
    due += periodMs;
    // After a long pause, the schedule restarts at the current time.
    if (due < now() - 10 * periodMs) due = now() + periodMs;
    await clock.sleep(Math.max(0, due - now()), signal).catch(() => {});
  }
}

async function readRecord(channels: readonly DirectChannel[], turns: readonly Turn[]): Promise<Float64Array> {
  const values = new Float64Array(channels.length);
  for (const [at, { file, offset, scale }] of channels.entries()) {
    values[at] = ((await readNumber(file)) + offset) * scale;
  }
  for (const each of turns) turn(values, 0, each);
  return values;
}

async function readNumber(file: string): Promise<number> {
  const text = await readAttribute(file).catch((error: unknown) => {
    const code = error instanceof AiotError ? systemCode(error.cause) : undefined;
    // The chip was busy, or did not respond this time.
    if (code === 'EAGAIN' || code === 'EIO' || code === 'ETIMEDOUT') throw transient(file, error);
    throw error;
  });
  const value = text === undefined || text === '' ? Number.NaN : Number(text);
  if (text === undefined) throw attributeError(file, Object.assign(new Error('gone'), { code: 'ENOENT' }));
  if (!Number.isFinite(value)) throw transient(file, new Error(`expected a number, got ${text}`));
  return value;
}

function transient(file: string, cause: unknown): AiotError {
  return new AiotError('AIOT_SENSOR_FAILED', `${file} currently returns no number`, {
    endpoint: file,
    cause,
    retryable: true,
  });
}
