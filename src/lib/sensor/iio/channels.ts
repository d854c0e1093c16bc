import { join } from 'node:path';
import { AiotError } from '../../core/errors.js';
import type { SampleField } from '../types.js';
import { namesIn, readAttribute } from './device.js';

/** One quantity of a device. A raw number is converted to the field's unit by `(raw + offset) × scale`. */
export interface IioChannel {
  /** The kernel's name, such as `accel_x`. */
  name: string;
  field: SampleField;
  offset: number;
  scale: number;
}

/** A channel in the scans of a buffer. */
export interface ScanChannel extends IioChannel {
  index: number;
  type: ElementType;
}

/**
 * The kernel's units by kind of channel (Documentation/ABI/testing/sysfs-bus-iio), and the units to which they are converted. Acceleration
 * and rotation stay in m/s² and rad/s.
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

/** Kind of a channel, such as `voltage` for `voltage0` and `temp` for `temp_ambient`. */
export function kindOf(name: string): string {
  return /^[a-z]+/.exec(name)?.[0] ?? name;
}

/** The channels of a buffer, ordered by index. They include the timestamp, as `timestamp`. */
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

/** Channels that can be read one by one: `in_*_raw`, or `in_*_input` if the driver converts the values. */
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
 * Reads an attribute of a channel: its own, or one that its kind or the whole device has in common (`in_accel_x_scale`, `in_accel_scale`,
 * `in_scale`, `scale`).
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

/** The layout of a scan element in memory, from the kernel's `*_type` attribute. */
export interface ElementType {
  bigEndian: boolean;
  /** s = two's complement, u = unsigned, f = IEEE 754. */
  kind: 's' | 'u' | 'f';
  /** Number of valid bits, after the shift. */
  bits: number;
  storageBits: number;
  /** Number of consecutive values, such as four for a quaternion. */
  repeat: number;
  shift: number;
}

const pattern = /^(be|le):([suf])(\d+)\/(\d+)(?:X(\d+))?(?:>>(\d+))?$/;

/**
 * Parses `[be|le]:[s|u|f]bits/storagebits[Xrepeat][>>shift]` (Linux, Documentation/ABI/testing/sysfs-bus-iio, `*_type`).
 * @throws AIOT_SENSOR_FAILED if it is malformed or impossible
 */
export function parseElementType(text: string): ElementType {
  const [whole, order, kind, bits, storageBits, repeat, shift] = pattern.exec(text.trim()) ?? [];
  const type = {
    bigEndian: order === 'be',
    kind: kind as ElementType['kind'],
    bits: Number(bits),
    storageBits: Number(storageBits),
    repeat: Number(repeat ?? 1),
    shift: Number(shift ?? 0),
  };
  const fits =
    whole !== undefined &&
    (type.kind === 'f' ? [32, 64] : [8, 16, 32, 64]).includes(type.storageBits) &&
    type.bits >= 1 &&
    type.bits + type.shift <= type.storageBits &&
    type.repeat >= 1 &&
    type.repeat <= 64 &&
    (type.kind !== 'f' || (type.bits === type.storageBits && type.shift === 0));
  if (fits) return type;
  throw new AiotError(
    'AIOT_SENSOR_FAILED',
    `expected the layout of a scan element such as le:s16/16>>0, got ${text.trim()}`,
  );
}

/** Number of bytes that the element occupies in a scan. */
export function elementBytes({ storageBits, repeat }: ElementType): number {
  return (storageBits / 8) * repeat;
}

/** Returns a function that reads one value at a byte offset. Values are exact up to 2⁵³. */
export function elementReader(type: ElementType): (view: DataView, offset: number) => number {
  const { bigEndian, kind, bits, storageBits, shift } = type;
  const little = !bigEndian;
  if (kind === 'f') {
    if (storageBits === 32) return (view, offset) => view.getFloat32(offset, little);
    return (view, offset) => view.getFloat64(offset, little);
  }
  if (storageBits === 64) {
    const cut = kind === 's' ? BigInt.asIntN : BigInt.asUintN;
    const down = BigInt(shift);
    return (view, offset) => Number(cut(bits, view.getBigUint64(offset, little) >> down));
  }
  const up = 32 - bits - shift;
  const down = 32 - bits;
  const stored = {
    8: (view: DataView, offset: number) => view.getUint8(offset),
    16: (view: DataView, offset: number) => view.getUint16(offset, little),
    32: (view: DataView, offset: number) => view.getUint32(offset, little),
  }[storageBits as 8 | 16 | 32];
  if (kind === 's') return (view, offset) => (stored(view, offset) << up) >> down;
  return (view, offset) => (stored(view, offset) << up) >>> down;
}

/** A rotation of the x, y and z axes of one kind in a record. `matrix` is stored row by row. */
export interface Turn {
  /** Positions of x, y and z in a record. */
  axes: readonly [number, number, number];
  matrix: readonly number[];
}

const identity = [1, 0, 0, 0, 1, 0, 0, 0, 1];

/**
 * Parses `in_mount_matrix`: `1, 0, 0; 0, 1, 0; 0, 0, 1`, from the chip's axes to the machine's (Linux,
 * Documentation/ABI/testing/sysfs-bus-iio).
 * @throws AIOT_SENSOR_FAILED
 */
export function parseMountMatrix(text: string): number[] {
  const rows = text.split(';').map((row) => row.split(',').map((cell) => cell.trim()));
  const cells = rows.flat().map(Number);
  const whole = rows.length === 3 && rows.every((row) => row.length === 3 && !row.includes(''));
  if (whole && cells.every(Number.isFinite)) return cells;
  throw new AiotError('AIOT_SENSOR_FAILED', `expected a mount matrix of three rows of three, got ${text}`);
}

/** The rotations for records of these channels: one for each kind with all of x, y and z, unless its matrix is the identity. */
export async function mountTurns(folder: string, names: readonly string[]): Promise<Turn[]> {
  const turns: Turn[] = [];
  for (const kind of new Set(names.map(kindOf))) {
    const axes = ['x', 'y', 'z'].map((axis) => names.indexOf(`${kind}_${axis}`)) as [number, number, number];
    if (axes.includes(-1)) continue;
    const found = await channelAttribute(folder, kind, 'mount_matrix');
    if (!found) continue;
    const matrix = parseMountMatrix(found.text);
    if (matrix.some((cell, at) => cell !== identity[at])) turns.push({ axes, matrix });
  }
  return turns;
}

/** Rotates the record that starts at `from`, in place. */
export function turn(values: Float64Array, from: number, { axes, matrix }: Turn): void {
  const [x, y, z] = axes.map((axis) => values[from + axis]!) as [number, number, number];
  for (const [row, axis] of axes.entries()) {
    values[from + axis] = matrix[row * 3]! * x + matrix[row * 3 + 1]! * y + matrix[row * 3 + 2]! * z;
  }
}
