import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Random } from '../../src/lib/core/numbers.js';
import { root } from './cli.js';

/** Number of consecutive runs of a model in a comparison. */
export const steps = 300;

/**
 * The streaming models in the wheel pymicro-wakeword, which are int8 and have six variables each and one step of
 * three spectra per run.
 */
export function wakeWords(): { name: string; file: Uint8Array }[] {
  const [version = ''] = readdirSync(join(root, '.venv', 'wakeword', 'lib'));
  const folder = join(
    root,
    '.venv',
    'wakeword',
    'lib',
    version,
    'site-packages',
    'pymicro_wakeword',
    'models',
  );
  return readdirSync(folder)
    .filter((name) => name.endsWith('.tflite'))
    .map((name) => ({ name, file: readFileSync(join(folder, name)) }));
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
