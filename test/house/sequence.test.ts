import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import type { TestSpecification, Vitest } from 'vitest/node';
import { root } from '../support/cli.js';
import { LongestFirst, longest } from '../support/longest-first.js';

it('the list of longest test files contains only existing files', () => {
  expect(longest.filter((name) => !existsSync(join(root, 'test', name)))).toEqual([]);
});

it('the test sequence runs the longest files first, then all others', async () => {
  const file = (name: string) =>
    ({ moduleId: `${root}/test/${name}`, project: { name: '' } }) as TestSpecification;
  const others = ['core/a.test.ts', 'core/b.test.ts'];
  const vitest = { cache: { getFileTestResults: () => {}, getFileStats: () => {} }, config: { root } };
  const sorted = await new LongestFirst(vitest as unknown as Vitest).sort(
    [others[0]!, ...longest.toReversed(), others[1]!].map(file),
  );
  const names = sorted.map(({ moduleId }) => moduleId.slice(`${root}/test/`.length));
  expect(names).toEqual([...longest, ...others]);
});
