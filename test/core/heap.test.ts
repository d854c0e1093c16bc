import { spawnSync } from 'node:child_process';
import { pathToFileURL } from 'node:url';
import { expect, it } from 'vitest';
import { root } from '../support/cli.js';

/** Bytes of the young heap of a separate process that has created and kept 600,000 objects. */
function youngAfter(call: string): number {
  const core = pathToFileURL(`${root}/dist/lib/core/index.js`).href;
  const program = `
    const { keepYoungHeapSmall, letYoungHeapGrow } = await import('${core}');
    const { getHeapSpaceStatistics } = await import('node:v8');
    ${call}
    const kept = [];
    for (let index = 0; index < 600_000; index++) kept.push({ index });
    const young = getHeapSpaceStatistics().find(({ space_name }) => space_name === 'new_space');
    console.log(young.space_size);`;
  const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', program], {
    encoding: 'utf8',
    timeout: 30_000,
  });
  expect(stderr).toBe('');
  return Number(stdout);
}

it('the young heap stays small while a program loads, and may grow afterward', () => {
  expect(youngAfter('keepYoungHeapSmall();')).toBeLessThan(16 * 1024 ** 2);
  expect(youngAfter('keepYoungHeapSmall(); letYoungHeapGrow();')).toBeGreaterThanOrEqual(16 * 1024 ** 2);
});
