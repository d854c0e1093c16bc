import { openLoader } from '../../../src/lib/flash/loader/open-loader.js';
import type { Loader, LoaderOptions } from '../../../src/lib/flash/loader/types.js';
import { SimulatedChip, type SimulatedChipOptions } from '../../../src/lib/flash/rom/chip.js';
import { simulatedLine } from '../../../src/lib/flash/rom/serve.js';
import { SimulatedTime } from '../../support/simulated-time.js';

const opened: { loader: Loader; stopTime(): void }[] = [];
/** Ends all loaders that `board` opened. */
export async function endLoaders(): Promise<void> {
  for (const { loader, stopTime } of opened.splice(0)) await loader.end().finally(stopTime);
}

export const defaults: LoaderOptions = {
  chip: 'auto',
  baud: 921_600,
  stub: true,
  before: 'default-reset',
  after: 'hard-reset',
};

/** A simulated chip, and the clock that it shares with the code under test. */
export interface TimedChip {
  chip: SimulatedChip;
  time: SimulatedTime;
}

export function timedChip(options: SimulatedChipOptions): TimedChip {
  const time: SimulatedTime = new SimulatedTime(() => chip.working);
  const chip: SimulatedChip = new SimulatedChip({ ...options, clock: time });
  return { chip, time };
}

/**
 * Creates a simulated chip, and a loader connected to it in this process. The time advances until
 * `endLoaders`.
 */
export async function board(options: SimulatedChipOptions, asked: Partial<LoaderOptions> = {}) {
  const { chip, time } = timedChip(options);
  const stopTime = time.start();
  try {
    const loader = await openLoader(simulatedLine(chip), { ...defaults, ...asked, clock: time });
    opened.push({ loader, stopTime });
    return { chip, loader };
  } catch (error) {
    stopTime();
    throw error;
  }
}

/** Incompressible bytes that are the same in every run. */
export function noise(length: number, seed = 1): Uint8Array {
  let state = seed;
  return Uint8Array.from({ length }, () => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return state >>> 16;
  });
}
export const text = (length: number) => Uint8Array.from({ length }, (_, i) => 32 + ((i * i) % 7));
