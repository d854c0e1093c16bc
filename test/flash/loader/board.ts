import {
  type Loader,
  type LoaderOptions,
  openLoader,
  SimulatedChip,
  type SimulatedChipOptions,
  simulatedLine,
} from '../../../src/lib/flash/index.js';

const loaders: Loader[] = [];
/** Ends what `board` opened. */
export async function endLoaders(): Promise<void> {
  for (const loader of loaders.splice(0)) await loader.end();
}

export const defaults: LoaderOptions = {
  chip: 'auto',
  baud: 921_600,
  stub: true,
  before: 'default-reset',
  after: 'hard-reset',
};

/** A simulated chip, and a loader connected to it in this process. */
export async function board(options: SimulatedChipOptions, asked: Partial<LoaderOptions> = {}) {
  const chip = new SimulatedChip(options);
  const loader = await openLoader(simulatedLine(chip), { ...defaults, ...asked });
  loaders.push(loader);
  return { chip, loader };
}

/** Bytes that do not compress, the same in every run. */
export function noise(length: number, seed = 1): Uint8Array {
  let state = seed;
  return Uint8Array.from({ length }, () => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return state >>> 16;
  });
}
export const text = (length: number) => Uint8Array.from({ length }, (_, i) => 32 + ((i * i) % 7));
