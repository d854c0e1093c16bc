import type { Clock } from '../core/index.js';
import type { SystemRoots } from './iio/device.js';

/** What the openers of this machine's own sensors take beside a URL. */
export interface MachineOptions extends SystemRoots {
  /** Default = the system's. */
  clock?: Clock;
}
