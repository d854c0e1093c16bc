import { join } from 'node:path';
import type { SampleField } from '../types.js';
import { namesIn, readAttribute } from './attributes.js';
import { type ElementType, parseElementType } from './element.js';

/** One quantity of a device, and how its raw number becomes a value: `(raw + offset) × scale`, in the field's unit. */
export interface IioChannel {
  /** The kernel's, such as `accel_x`. */
  name: string;
  field: SampleField;
  offset: number;
  scale: number;
}

/** A channel as it lies in a buffer's scans. */
export interface ScanChannel extends IioChannel {
  index: number;
  type: ElementType;
}

/**
 * Units of the kernel by kind of channel (Documentation/ABI/testing/sysfs-bus-iio), and what they become here. Acceleration and
 * rotation stay m/s² and rad/s.
 */
const units: Record<string, { unit: string; factor: number }> = {
  accel: { unit: 'm/s²', factor: 1 },
  anglvel: { unit: 'rad/s', factor: 1 },
  magn: { unit: 'gauss', factor: 1 },
  temp: { unit: 'degC', factor: 1e-3 },
  pressure: { unit: 'Pa', factor: 1e3 },
  humidityrelative: { unit: '%', factor: 1e-3 },
  voltage: { unit: 'mV', factor: 1 },
  current: { unit: 'mA', factor: 1 },
  power: { unit: 'mW', factor: 1 },
  illuminance: { unit: 'lx', factor: 1 },
  distance: { unit: 'm', factor: 1 },
  incli: { unit: 'deg', factor: 1 },
};

const shortNames: Record<string, string> = {
  ...{ accel_x: 'ax', accel_y: 'ay', accel_z: 'az', anglvel_x: 'gx', anglvel_y: 'gy', anglvel_z: 'gz' },
  ...{ magn_x: 'mx', magn_y: 'my', magn_z: 'mz', temp: 'temperature', humidityrelative: 'humidity' },
};

/** Kind of a channel: `voltage` of `voltage0`, `temp` of `temp_ambient`. */
export function kindOf(name: string): string {
  return /^[a-z]+/.exec(name)?.[0] ?? name;
}

/** The channels of a buffer, by index; the timestamp too, as `timestamp`. */
export async function scanChannels(folder: string, scan: string): Promise<ScanChannel[]> {
  const names = (await namesIn(scan)).flatMap((file) => /^in_(.+)_en$/.exec(file)?.[1] ?? []);
  const channels = await Promise.all(
    names.map(async (name) => {
      const [index, type] = await Promise.all([
        readAttribute(join(scan, `in_${name}_index`)),
        readAttribute(join(scan, `in_${name}_type`)),
      ]);
      const channel = await channelOf(folder, name, false);
      return { ...channel, index: Number(index ?? 0), type: parseElementType(type ?? '') };
    }),
  );
  return channels.sort((a, b) => a.index - b.index);
}

/** What can be read one by one: `in_*_raw`, or `in_*_input` where the driver converts. */
export async function directChannels(folder: string): Promise<(IioChannel & { file: string })[]> {
  const files = (await namesIn(folder)).filter((file) => /^in_.+_(raw|input)$/.test(file));
  const bare = (file: string) => file.replace(/^in_|_(raw|input)$/g, '');
  const raw = new Set(files.filter((file) => file.endsWith('_raw')).map(bare));
  const used = files.filter((file) => file.endsWith('_raw') || !raw.has(bare(file)));
  return Promise.all(
    used.map(async (file) => {
      const channel = await channelOf(folder, bare(file), file.endsWith('_input'));
      return { ...channel, file: join(folder, file) };
    }),
  );
}

async function channelOf(folder: string, name: string, converted: boolean): Promise<IioChannel> {
  const { unit, factor } = units[kindOf(name)] ?? { unit: '', factor: 1 };
  const field = { name: shortNames[name] ?? name, unit };
  if (converted) return { name, field, offset: 0, scale: factor };
  const [offset, scale] = await Promise.all([
    channelAttribute(folder, name, 'offset'),
    channelAttribute(folder, name, 'scale'),
  ]);
  return { name, field, offset: Number(offset?.text ?? 0), scale: Number(scale?.text ?? 1) * factor };
}

/**
 * An attribute of a channel: its own, or one that it shares with its kind or with the whole device (`in_accel_x_scale`,
 * `in_accel_scale`, `in_scale`, `scale`).
 */
export async function channelAttribute(
  folder: string,
  name: string,
  what: string,
): Promise<{ path: string; text: string } | undefined> {
  const parts = name.split('_');
  const stems = parts.map((_, dropped) => parts.slice(0, parts.length - dropped).join('_'));
  const shared = stems.flatMap((stem) => [stem, stem.replace(/\d+/g, '')]);
  for (const file of [...new Set(shared)].map((stem) => `in_${stem}_${what}`).concat(`in_${what}`, what)) {
    const path = join(folder, file);
    const text = await readAttribute(path);
    if (text !== undefined) return { path, text };
  }
  return undefined;
}
