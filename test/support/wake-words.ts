import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Random } from '../../src/lib/core/numbers.js';
import { pythonPackages } from './real.js';

/** Number of consecutive runs of a model in a comparison. */
export const steps = 300;

export interface WakeWord {
  name: string;
  file: Uint8Array;
  settings: {
    word: string;
    /** The word is detected where the mean of the last `window` probabilities exceeds this. */
    threshold: number;
    window: number;
  };
}

/**
 * The streaming models in the wheel pymicro-wakeword, which are int8 and have six variables each and one step of
 * three spectra per run.
 */
export function wakeWords(): WakeWord[] {
  const folder = join(pythonPackages('wakeword'), 'pymicro_wakeword', 'models');
  return readdirSync(folder)
    .filter((name) => name.endsWith('.tflite'))
    .map((name) => {
      const about = JSON.parse(readFileSync(join(folder, name.replace('.tflite', '.json')), 'utf8'));
      const { probability_cutoff: threshold, sliding_window_size: window } = about.micro;
      return {
        name,
        file: readFileSync(join(folder, name)),
        settings: { word: about.wake_word, threshold, window },
      };
    });
}

/** Steps of three spectra of 40 bands that change slowly, like those of speech, as int8, row-major. */
export function spectra(random: Random): Int8Array {
  const bands = new Float64Array(40).fill(-100);
  return Int8Array.from({ length: 120 * steps }, (_, at) => {
    const band = at % 40;
    // A sound occasionally begins or ends.
    const target = Math.floor(at / 1600) % 2 === 0 ? -110 : 60 * Math.sin(band / 6 + at / 1600);
    bands[band]! += 0.15 * (target - bands[band]!) + 24 * (random() - 0.5);
    return Math.max(-128, Math.min(127, Math.round(bands[band]!)));
  });
}
