import { spawnSync } from 'node:child_process';
import { pathToFileURL } from 'node:url';
import { expect, it } from 'vitest';
import { root } from '../support/cli.js';

/** Bytes of the space for new objects when a process of its own has made 600,000 and kept them. */
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

it('keeps the young heap small while a program loads, and lets it grow afterward', () => {
  expect(youngAfter('keepYoungHeapSmall();')).toBeLessThan(16 * 1024 ** 2);
  expect(youngAfter('keepYoungHeapSmall(); letYoungHeapGrow();')).toBeGreaterThanOrEqual(16 * 1024 ** 2);
});
