import type { PageOf } from '../../app/pages.js';
import { route } from '../../app/route.js';
import { Device } from '../device/device.js';
import { Compare } from './compare.js';
import { Devices } from './devices.js';

/** The pages `#/devices`, `#/devices?compare=NAME,NAME` and `#/devices/NAME`. */
export function Fleet({ parts }: PageOf) {
  if (parts.length > 0) return <Device parts={parts} />;
  return route.value.query.has('compare') ? <Compare /> : <Devices parts={parts} />;
}
