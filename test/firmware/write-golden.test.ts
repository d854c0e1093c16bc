import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { writeTable } from '../../scripts/golden/write.js';
import { seededRandom } from '../../src/lib/core/numbers.js';
import { root } from '../support/cli.js';

it('the firmware’s rows of numbers match those freshly written in TypeScript (npm run golden)', () => {
  const made = writeTable(seededRandom(10));
  expect(readFileSync(join(root, 'firmware', 'test', 'write.inc'), 'utf8') === made).toBe(true);
});
