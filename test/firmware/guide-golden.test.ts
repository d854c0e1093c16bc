import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { guideTables } from '../../scripts/golden/guide.js';
import { root } from '../support/cli.js';

it('the firmware’s messages and models for the guide match freshly generated ones (npm run golden)', async () => {
  const kept = readFileSync(join(root, 'firmware', 'test', 'guide.inc'), 'utf8');
  expect(kept === (await guideTables())).toBe(true);
});
