import { join } from 'node:path';
import { AiotError } from '../../core/index.js';
import { namesIn, readAttribute, writeAttribute } from './attributes.js';
import { channelAttribute, kindOf, type ScanChannel } from './channels.js';
import { chooseAbove } from './choose.js';
import type { IioDevice } from './device.js';
import type { IioSettings } from './settings.js';

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
