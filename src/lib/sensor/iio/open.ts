import { AiotError, systemClock } from '../../core/index.js';
import type { MachineOptions } from '../options.js';
import type { SampleSource } from '../types.js';
import { parseSensorUrl } from '../url.js';
import { openBuffered } from './buffered.js';
import { findIio } from './device.js';
import { openDirect } from './direct.js';
import { iioSettings } from './settings.js';

/**
 * Opens a sensor of Linux's Industrial I/O: `iio://NAME` or `iio://iio:deviceN`, with `?rate=104&range=4&gyro=2000` and others. From
 * the kernel's buffer; one by one where the device has none, or with `?mode=direct`. Its axes are turned by the mount matrix.
 * @throws AIOT_SENSOR_URL, AIOT_SENSOR_NOT_FOUND, AIOT_SENSOR_DENIED, AIOT_SENSOR_BUSY, AIOT_SENSOR_FAILED
 */
export async function openIio(url: string, options: MachineOptions = {}): Promise<SampleSource> {
  const parsed = parseSensorUrl(url);
  const settings = iioSettings(parsed);
  if (parsed.place === '') {
    throw new AiotError('AIOT_SENSOR_URL', 'iio: expected a device after it, got none', {
      next: 'Write it as iio://lsm6dsox_accel or iio://iio:device0; cat /sys/bus/iio/devices/*/name shows what there is.',
    });
  }
  const device = await findIio(parsed.place, options);
  const clock = options.clock ?? systemClock;
  if (settings.mode === 'buffer' && !device.buffered) {
    throw new AiotError('AIOT_SENSOR_FAILED', `${device.name || device.id} has no buffer`, {
      next: "Its driver needs the chip's interrupt line for that; ?mode=direct reads it one by one.",
    });
  }
  const open = device.buffered && settings.mode !== 'direct' ? openBuffered : openDirect;
  return open(device, settings, clock);
}
