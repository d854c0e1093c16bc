import type { PageOf } from '../../app/pages.js';
import { Device } from '../device/device.js';
import { Devices } from './devices.js';

/** The pages `#/devices` and `#/devices/NAME`. */
export function Fleet({ parts }: PageOf) {
  return parts.length === 0 ? <Devices parts={parts} /> : <Device parts={parts} />;
}
