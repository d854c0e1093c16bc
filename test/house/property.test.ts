import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { root } from '../support/cli.js';

it('every test imports fast-check and the run count of properties only from test/support/property.ts', () => {
  const tests = readdirSync(join(root, 'test'), { recursive: true, encoding: 'utf8' });
  const wrong = tests
    .filter(
      (name) => name.endsWith('.ts') && !['support/property.ts', 'house/property.test.ts'].includes(name),
    )
    .filter((name) => {
      const text = readFileSync(join(root, 'test', name), 'utf8');
      const assertsItsOwn = /assert\([^;]*numRuns: (?!runs\()/.test(text) && !text.includes('.sample(');
      return text.includes("'fast-check'") || assertsItsOwn;
    });
  expect(wrong).toEqual([]);
});
