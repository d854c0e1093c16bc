import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { jsonTables } from '../../scripts/golden/json.js';
import { seededRandom } from '../../src/lib/core/numbers.js';
import { root } from '../support/cli.js';

it('the firmware’s JSON rows match those freshly parsed in TypeScript (npm run golden)', () => {
  const made = jsonTables(seededRandom(9));
  expect(readFileSync(join(root, 'firmware', 'test', 'json.inc'), 'utf8') === made).toBe(true);
});
