import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { fitTable } from '../../scripts/golden/fit.js';
import { seededRandom } from '../../src/lib/core/numbers.js';
import { fitPicture } from '../../src/lib/vision/fit.js';
import { root } from '../support/cli.js';

it('the firmware’s pictures and pixels match those freshly fitted in TypeScript (npm run golden)', () => {
  const text = fitTable({ fitPicture, random: seededRandom(12) });
  expect(readFileSync(join(root, 'firmware', 'test', 'fit.inc'), 'utf8') === text).toBe(true);
});
