import { AiotError } from '../../core/index.js';
import type { SampleField } from '../types.js';
import type { IioChannel, ScanChannel } from './channels.js';
import type { IioDevice } from './device.js';

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
