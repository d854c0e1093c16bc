import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { objectsTable } from '../../scripts/golden/objects.js';
import { seededRandom } from '../../src/lib/core/numbers.js';
import { detectionsIn } from '../../src/lib/model/bundle/detections.js';
import { namedDetections } from '../../src/lib/model/bundle/predictor.js';
import { root } from '../support/cli.js';

it('the firmware’s grids and objects match those freshly computed in TypeScript (npm run golden)', () => {
  const text = objectsTable({ detectionsIn, namedDetections, random: seededRandom(11) });
  expect(readFileSync(join(root, 'firmware', 'test', 'objects.inc'), 'utf8') === text).toBe(true);
});
