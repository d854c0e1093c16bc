import { type Clock, seededRandom } from '../../../core/index.js';
import { steady } from '../../timing/host-clock.js';
import { chipDrivers } from '../chips/index.js';
import { busOf, type SimulatedBus } from './bus.js';
import type { Signal } from './chip.js';
import { swaying } from './signals.js';

export interface SimulatedBusSettings {
  /** Names, or names with addresses. */
  chips: readonly (string | { name: string; address?: number })[];
  clock: Clock;
  /** Default: something that hangs on a thread and sways. */
  signal?: Signal;
  /** True rate of the chips by their nominal one; default 1. */
  odrError?: number;
  seed?: number;
  /** Noise as in the data sheets; default true. */
  noise?: boolean;
  /** Most bytes of one read; default 32, as Linux's. */
  longest?: number;
  /** Lets transactions take time; default: they take none. */
  speedHz?: number;
}

/** A bus with simulated chips on it, which are where they are in the time of `clock`. @throws RangeError for a chip that is not known */
export function simulatedBus(settings: SimulatedBusSettings): SimulatedBus {
  const { signal = swaying, odrError = 1, noise = true, seed = 1 } = settings;
  // Setting the machine's clock moves no chip.
  const clock = steady(settings.clock);
  const beganMs = clock.now();
  const chips = settings.chips.map((chip, index) => {
    const { name, address } = typeof chip === 'string' ? { name: chip, address: undefined } : chip;
    const driver = chipDrivers.find((each) => each.name === name);
    if (!driver) throw new RangeError(`no chip is called ${name}`);
    const random = seededRandom(seed + index);
    const options = { signal, beganMs, odrError, random, noise };
    return driver.simulate(address === undefined ? options : { ...options, address });
  });
  const { longest, speedHz } = settings;
  return busOf({ chips, clock, ...(longest ? { longest } : {}), ...(speedHz ? { speedHz } : {}) });
}
