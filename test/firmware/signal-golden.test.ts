import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { signalTables } from '../../scripts/golden/signal.js';
import { seededRandom } from '../../src/lib/core/numbers.js';
import * as signal from '../../src/lib/signal/index.js';
import { turn } from '../../src/lib/signal/turn.js';
import { root } from '../support/cli.js';

it('the firmware’s golden features match freshly computed ones (npm run golden)', () => {
  const made = signalTables({ signal, turn, random: seededRandom(9) });
  expect(readFileSync(join(root, 'firmware', 'test', 'signal.inc'), 'utf8') === made).toBe(true);
});
