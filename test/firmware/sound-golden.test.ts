import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { soundTable } from '../../scripts/golden/sound.js';
import { writeWav } from '../../src/lib/formats/wav.js';
import { createPredictor } from '../../src/lib/model/bundle/predictor.js';
import { root } from '../support/cli.js';
import { firmwareBundles } from '../support/firmware-bundles.js';

it('the firmware’s recording and its messages match those freshly made in TypeScript (npm run golden)', () => {
  const { wav, text } = soundTable({ bundles: firmwareBundles(), createPredictor, writeWav });
  const folder = join(root, 'firmware', 'test');
  expect(readFileSync(join(folder, 'fixtures', 'sound.wav')).equals(wav)).toBe(true);
  expect(readFileSync(join(folder, 'sound.inc'), 'utf8') === text).toBe(true);
});
