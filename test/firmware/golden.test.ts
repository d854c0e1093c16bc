import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { goldenTables } from '../../scripts/firmware-golden.js';
import { seededRandom } from '../../src/lib/core/numbers.js';
import * as fixed from '../../src/lib/runtime/interpreter/fixed-point.js';
import { quantizeInput } from '../../src/lib/signal/spec.js';
import { root } from '../support/cli.js';

it('the firmware’s golden values match freshly computed ones (npm run golden)', () => {
  const text = goldenTables({ fixed, quantizeInput, random: seededRandom(7) });
  expect(readFileSync(join(root, 'firmware', 'test', 'golden.inc'), 'utf8') === text).toBe(true);
});
