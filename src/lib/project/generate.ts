import { join } from 'node:path';
import type { ProjectConfig } from '../core/index.js';
import { motorStates, saveRecordings, simulateMotor } from '../data/index.js';
import { drawFaces } from '../vision/index.js';

/** Takes of each state, and seconds of each take: enough that each side of a split has motors that the others have not. */
const takes = 10;
const seconds = 16;

/** What some templates make instead of carrying it: called with the new folder before the project is opened. */
export const generators: Record<string, (dir: string, config: ProjectConfig) => Promise<void>> = {
  'face-camera': (dir) => drawFaces(join(dir, 'pictures')),
  'motor-watch': async (dir, config) => {
    const rateHz = config.signal.rate;
    const recordings = motorStates.flatMap((state) =>
      Array.from({ length: takes }, (_, i) => simulateMotor({ state, seconds, rateHz, seed: i + 1 })),
    );
    await saveRecordings({ folder: join(dir, 'data'), config, recordings, decimals: 4 });
  },
};
