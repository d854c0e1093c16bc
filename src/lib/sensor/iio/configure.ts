import { join } from 'node:path';
import * as z from 'zod';
import { AiotError } from '../../core/errors.js';
import type { SampleField } from '../types.js';
import { positive, readSettings, type SensorUrl, wholePositive } from '../url.js';
import { channelAttribute, type IioChannel, kindOf, type ScanChannel } from './channels.js';
import { type IioDevice, namesIn, readAttribute, writeAttribute } from './device.js';

const gravity = 9.80665;

/**
 * Sets the sampling rate, and gives that of the device; null where it has none. The attribute may be the device's, a kind's or, where
 * a timer makes the samples, the trigger's.
 * @throws AIOT_SENSOR_FAILED where it names none that could be set, and as writeAttribute
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
      throw new AiotError('AIOT_SENSOR_FAILED', `${name || id} names no rate: ${available}`);
    }
    await writeAttribute(path, value);
    rates.set(path, (await readAttribute(path)) ?? value);
  }
  const slowest = Math.min(...[...rates.values()].map(Number));
  return Number.isFinite(slowest) && slowest > 0 ? slowest : null;
}

/**
 * Sets the finest scale that reaches what is wanted.
 * @param bits of a sample, with its sign
 * @throws AIOT_SENSOR_URL where the device does not reach it
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
      throw new AiotError('AIOT_SENSOR_URL', `${name || id} has no range for ${says} to be set`);
    }
    const steps = 2 ** (channel.bits - 1);
    const available = await readAttribute(`${scale.path}_available`);
    const value = available === undefined ? scale.text : chooseAbove(available, most / steps);
    if (value === undefined || Number(value) * steps < most * 0.98) {
      throw new AiotError('AIOT_SENSOR_URL', `${name || id} does not reach ${says}`, {
        next: `Its scales are ${available ?? scale.text}; each reaches ${steps} times that.`,
      });
    }
    await writeAttribute(scale.path, value);
  }
}

/** Switches on these channels, and no others. */
export async function selectChannels(
  scan: string,
  all: readonly ScanChannel[],
  wanted: readonly ScanChannel[],
): Promise<void> {
  for (const channel of all) {
    await writeAttribute(join(scan, `in_${channel.name}_en`), wanted.includes(channel) ? '1' : '0');
  }
}

/**
 * Gives the device its trigger where it wants one and has none: the one that is asked for, or that carries its name
 * (`mpu6050-dev0`).
 */
export async function setTrigger(device: IioDevice, wanted: string | undefined): Promise<void> {
  const path = join(device.folder, 'trigger', 'current_trigger');
  const current = await readAttribute(path);
  if (current === undefined || (wanted === undefined && current !== '')) return;
  const name = wanted ?? (await ownTrigger(device));
  if (name === undefined) {
    throw new AiotError('AIOT_SENSOR_FAILED', `${device.name || device.id} needs a trigger and has none`, {
      next: 'Make one (modprobe iio-trig-hrtimer; mkdir /sys/kernel/config/iio/triggers/hrtimer/aiot) and add ?trigger=aiot, or ?mode=direct.',
    });
  }
  await writeAttribute(path, name);
}

/** Of a trigger that is a timer. */
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
 * The value of an `*_available` attribute that is nearest above what is wanted, or the largest: a list (`12.5 26 52`), or
 * `[smallest step largest]`. As the attribute writes it.
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
  // What is called 4 g may be 3.996 g, and 104 Hz 103.9.
  return choices.find((text) => Number(text) >= wanted * 0.99) ?? choices.at(-1);
}

/**
 * Those that are asked for, or all; always with the timestamp where there is one.
 * @throws AIOT_SENSOR_URL with those that there are
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
      next: names.length > 0 ? `It has ${names.join(', ')}.` : 'Name another device: iio://NAME',
    });
  }
  return all.filter(({ name }) => name === 'timestamp' || !wanted || wanted.includes(name));
}

/** The kernel's name of each value of a record; a channel with several has them numbered. */
export function recordNames(channels: readonly ScanChannel[]): string[] {
  return spread(channels, ({ name }) => name);
}

/** Fields of a record, in the order of the scan. */
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
  /** Samples a second: the device's next rate that is not below. Default = as the device is set; read one by one, 10. */
  rate: positive.optional(),
  /** ± g that acceleration must reach; default = as the device is set. */
  range: positive.optional(),
  /** ± degrees a second that rotation must reach; default = as the device is set. */
  gyro: positive.optional(),
  /** The kernel's names without in_, such as accel_x,accel_y,accel_z; default = all. */
  channels: z
    .string()
    .regex(/^[a-z0-9_-]+(,[a-z0-9_-]+)*$/, 'expected names such as accel_x,accel_y')
    .transform((text) => text.split(','))
    .optional(),
  /** Samples that come at a time; default = a quarter of a second of them. */
  watermark: wholePositive.optional(),
  /** Samples that the kernel keeps for a reader who is late; default = four seconds of them. */
  length: wholePositive.optional(),
  /** For devices that need one; default = the device's own. */
  trigger: z.string().min(1).optional(),
  /** buffer = from the kernel's buffer; direct = one by one, slow. Default = from the buffer where there is one. */
  mode: z.enum(['buffer', 'direct']).optional(),
};

/** What `iio://DEVICE?…` says. */
export type IioSettings = z.output<z.ZodObject<typeof shape>>;

/** @throws AIOT_SENSOR_URL */
export function iioSettings(url: SensorUrl): IioSettings {
  return readSettings(url, shape);
}
