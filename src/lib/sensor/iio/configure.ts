import { join } from 'node:path';
import * as z from 'zod';
import { AiotError } from '../../core/errors.js';
import type { SampleField } from '../types.js';
import { positive, readSettings, type SensorUrl, wholePositive } from '../url.js';
import { channelAttribute, type IioChannel, kindOf, type ScanChannel } from './channels.js';
import { type IioDevice, namesIn, readAttribute, writeAttribute } from './device.js';

const gravity = 9.80665;

/**
 * Sets the sampling rate, and returns the device's actual rate; null if it has none. The attribute may belong to the device, to a kind of
 * channel or, if a timer triggers the samples, to the trigger.
 * @throws AIOT_SENSOR_FAILED if the device offers no rate that can be set, and as writeAttribute
 */
export async function setRate(
  device: IioDevice,
  names: readonly string[],
  wanted: number | undefined,
): Promise<number | null> {
  const { folder, name, id } = device;
  const rates = new Map<string, string>();
  for (const channel of names) {
    const found = await channelAttribute(folder, channel, 'sampling_frequency');
    if (found) rates.set(found.path, found.text);
  }
  if (rates.size === 0) {
    const path = await triggerRatePath(device);
    const text = path === undefined ? undefined : await readAttribute(path);
    if (path !== undefined && text !== undefined) rates.set(path, text);
  }
  if (rates.size === 0) return null;
  for (const path of wanted === undefined ? [] : rates.keys()) {
    const available = await readAttribute(`${path}_available`);
    const value = available === undefined ? `${wanted}` : chooseAbove(available, wanted!);
    if (value === undefined) {
      throw new AiotError('AIOT_SENSOR_FAILED', `${name || id} lists no valid rates: ${available}`);
    }
    await writeAttribute(path, value);
    rates.set(path, (await readAttribute(path)) ?? value);
  }
  const slowest = Math.min(...[...rates.values()].map(Number));
  return Number.isFinite(slowest) && slowest > 0 ? slowest : null;
}

/**
 * Sets the finest scale that covers the requested range.
 * @param bits number of bits of a sample, including its sign
 * @throws AIOT_SENSOR_URL if no scale covers the range
 */
export async function setRange(
  { folder, name, id }: IioDevice,
  channels: readonly { name: string; bits: number }[],
  { range, gyro }: IioSettings,
): Promise<void> {
  const wanted = [
    { kind: 'accel', most: range === undefined ? undefined : range * gravity, says: `±${range} g` },
    {
      kind: 'anglvel',
      most: gyro === undefined ? undefined : (gyro * Math.PI) / 180,
      says: `±${gyro} dps`,
    },
  ];
  for (const { kind, most, says } of wanted) {
    if (most === undefined) continue;
    const channel = channels.find((each) => kindOf(each.name) === kind);
    const scale = channel && (await channelAttribute(folder, channel.name, 'scale'));
    if (!channel || !scale) {
      throw new AiotError(
        'AIOT_SENSOR_URL',
        `the range of ${name || id} cannot be set to ${says}: it is not configurable`,
      );
    }
    const steps = 2 ** (channel.bits - 1);
    const available = await readAttribute(`${scale.path}_available`);
    const value = available === undefined ? scale.text : chooseAbove(available, most / steps);
    if (value === undefined || Number(value) * steps < most * 0.98) {
      throw new AiotError('AIOT_SENSOR_URL', `${name || id} cannot reach ${says}`, {
        next: `Its scales are ${available ?? scale.text}; each reaches ${steps} times that value.`,
      });
    }
    await writeAttribute(scale.path, value);
  }
}

/** Enables these channels, and no others. */
export async function selectChannels(
  scan: string,
  all: readonly ScanChannel[],
  wanted: readonly ScanChannel[],
): Promise<void> {
  for (const channel of all) {
    await writeAttribute(join(scan, `in_${channel.name}_en`), wanted.includes(channel) ? '1' : '0');
  }
}

/** Sets the trigger of a device that needs one: the requested trigger or, if the device has none yet, its own (`mpu6050-dev0`). */
export async function setTrigger(device: IioDevice, wanted: string | undefined): Promise<void> {
  const path = join(device.folder, 'trigger', 'current_trigger');
  const current = await readAttribute(path);
  if (current === undefined || (wanted === undefined && current !== '')) return;
  const name = wanted ?? (await ownTrigger(device));
  if (name === undefined) {
    throw new AiotError('AIOT_SENSOR_FAILED', `${device.name || device.id} needs a trigger, but has none`, {
      next: 'Create one (modprobe iio-trig-hrtimer; mkdir /sys/kernel/config/iio/triggers/hrtimer/aiot) and add ?trigger=aiot, or use ?mode=direct.',
    });
  }
  await writeAttribute(path, name);
}

/** Path of the sampling rate of a device's timer trigger. */
async function triggerRatePath({ folder }: IioDevice): Promise<string | undefined> {
  const name = await readAttribute(join(folder, 'trigger', 'current_trigger'));
  const devices = join(folder, '..');
  for (const entry of await namesIn(devices)) {
    if (!/^trigger\d+$/.test(entry) || !name) continue;
    if ((await readAttribute(join(devices, entry, 'name'))) === name) {
      return join(devices, entry, 'sampling_frequency');
    }
  }
  return undefined;
}

async function ownTrigger({ folder, name, id }: IioDevice): Promise<string | undefined> {
  const devices = join(folder, '..');
  const triggers = (await namesIn(devices)).filter((entry) => /^trigger\d+$/.test(entry));
  const names = await Promise.all(triggers.map((entry) => readAttribute(join(devices, entry, 'name'))));
  const own = `${name}-dev${id.slice('iio:device'.length)}`;
  return names.find((each) => each === own);
}

/**
 * Chooses the smallest value of an `*_available` attribute that is not below the requested one, or else the largest. The attribute contains
 * a list (`12.5 26 52`) or a range (`[smallest step largest]`). Returns the value in the attribute's notation.
 */
export function chooseAbove(available: string, wanted: number): string | undefined {
  const range = /^\[\s*(\S+)\s+(\S+)\s+(\S+)\s*\]$/.exec(available.trim());
  if (range) {
    const [least, step, most] = range.slice(1).map(Number) as [number, number, number];
    if (![least, step, most].every(Number.isFinite) || step <= 0) return undefined;
    const steps = Math.ceil((wanted - least) / step - 1e-9);
    return `${Math.min(most, least + Math.max(0, steps) * step)}`;
  }
  const choices = available
    .trim()
    .split(/\s+/)
    .filter((text) => text !== '' && Number.isFinite(Number(text)))
    .sort((a, b) => Number(a) - Number(b));
  // A nominal 4 g may be 3.996 g, and 104 Hz may be 103.9.
  return choices.find((text) => Number(text) >= wanted * 0.99) ?? choices.at(-1);
}

/**
 * The requested channels, or all of them. The timestamp is always included if there is one.
 * @throws AIOT_SENSOR_URL listing the available channels
 */
export function chosenChannels<Channel extends IioChannel>(
  device: IioDevice,
  all: readonly Channel[],
  wanted: readonly string[] | undefined,
): Channel[] {
  const names = all.map(({ name }) => name).filter((name) => name !== 'timestamp');
  const unknown = wanted?.find((name) => !names.includes(name));
  if (unknown !== undefined || names.length === 0) {
    const what = unknown === undefined ? 'no channel to read' : `no channel ${unknown}`;
    throw new AiotError('AIOT_SENSOR_URL', `${device.name || device.id} has ${what}`, {
      next: names.length > 0 ? `Its channels are ${names.join(', ')}.` : 'Choose another device: iio://NAME',
    });
  }
  return all.filter(({ name }) => name === 'timestamp' || !wanted || wanted.includes(name));
}

/** The kernel's names for the values of a record. Several values of one channel are numbered. */
export function recordNames(channels: readonly ScanChannel[]): string[] {
  return spread(channels, ({ name }) => name);
}

/** Fields of a record, in scan order. */
export function sampleFields(channels: readonly ScanChannel[]): SampleField[] {
  const names = spread(channels, ({ field }) => field.name);
  const units = spread(channels, ({ field }) => field.unit, false);
  return names.map((name, at) => ({ name, unit: units[at]! }));
}

function spread(
  channels: readonly ScanChannel[],
  textOf: (channel: ScanChannel) => string,
  numbered = true,
): string[] {
  return channels
    .filter(({ name }) => name !== 'timestamp')
    .flatMap((channel) => {
      const { repeat } = channel.type;
      if (repeat === 1) return [textOf(channel)];
      return Array.from({ length: repeat }, (_, i) => textOf(channel) + (numbered ? `_${i}` : ''));
    });
}

const shape = {
  /** Samples per second. The device uses its next higher rate. Default = the device's current rate; 10 if samples are read one by one. */
  rate: positive.optional(),
  /** Acceleration in ± g that the range must cover; default = the device's current range. */
  range: positive.optional(),
  /** Rotation in ± degrees per second that the range must cover; default = the device's current range. */
  gyro: positive.optional(),
  /** The kernel's names of the channels without in_, such as accel_x,accel_y,accel_z; default = all. */
  channels: z
    .string()
    .regex(/^[a-z0-9_-]+(,[a-z0-9_-]+)*$/, 'expected names such as accel_x,accel_y')
    .transform((text) => text.split(','))
    .optional(),
  /** Samples per batch; default = the number in a quarter of a second. */
  watermark: wholePositive.optional(),
  /** Length of the kernel's buffer in samples; default = the number in four seconds. */
  length: wholePositive.optional(),
  /** Trigger, for devices that need one; default = the device's own. */
  trigger: z.string().min(1).optional(),
  /** buffer = read the kernel's buffer; direct = read values one by one, which is slow. Default = buffer, if there is one. */
  mode: z.enum(['buffer', 'direct']).optional(),
};

/** A parsed `iio://DEVICE?…` URL. */
export type IioSettings = z.output<z.ZodObject<typeof shape>>;

/** @throws AIOT_SENSOR_URL */
export function iioSettings(url: SensorUrl): IioSettings {
  return readSettings(url, shape);
}
