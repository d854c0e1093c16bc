import { join } from 'node:path';
import type { ProjectConfig } from '../core/index.js';
import { motorDecimals, motorRecordings, saveRecordings } from '../data/index.js';
import { drawFaces } from '../vision/index.js';

/** What some templates make instead of carrying it: called with the new folder before the project is opened. */
export const generators: Record<string, (dir: string, config: ProjectConfig) => Promise<void>> = {
  'face-camera': (dir) => drawFaces(join(dir, 'pictures')),
  'motor-watch': async (dir, config) => {
    const recordings = motorRecordings(config.signal.rate);
    await saveRecordings({ folder: join(dir, 'data'), config, recordings, decimals: motorDecimals });
  },
};
