import { spawnSync } from 'node:child_process';
import { pathToFileURL } from 'node:url';
import { expect, it } from 'vitest';
import { root } from '../support/cli.js';

/** Returns the maximum size of the young heap, bytes, while a separate process creates and keeps 1.5 million objects. */
function youngAfter(call: string): number {
  const core = pathToFileURL(`${root}/dist/lib/core/index.js`).href;
  const program = `
    const { fitHeap, keepYoungHeapSmall, letYoungHeapGrow, withYoungHeapKept } = await import('${core}');
    const { once } = await import('node:events');
    const { setTimeout: delay } = await import('node:timers/promises');
    const { getHeapSpaceStatistics } = await import('node:v8');
    const { Worker } = await import('node:worker_threads');
    ${call}
    const kept = [];
    let most = 0;
    for (let index = 0; index < 1_500_000; index++) {
      kept.push({ index });
      if (index % 10_000 > 0) continue;
      // V8 may halve the young heap after it has collected the old one, so the size at the end says little.
      const young = getHeapSpaceStatistics().find(({ space_name }) => space_name === 'new_space');
      most = Math.max(most, young.space_size);
    }
    console.log(most);`;
  const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', program], {
    encoding: 'utf8',
    timeout: 30_000,
  });
  expect(stderr).toBe('');
  return Number(stdout);
}

// V8 chooses the sizes. On Node 20, the young heap stays at 8 to 16 MB or grows to 32 MB; on Node 24, it stays at 8 to 20 MB or grows to
// 128 MB.
const keptSmall = () => youngAfter('keepYoungHeapSmall();');

it('the young heap stays small while a program loads, and may grow afterward', () => {
  expect(youngAfter('keepYoungHeapSmall(); letYoungHeapGrow();')).toBeGreaterThan(1.5 * keptSmall());
});

it('the young heap stays small even if a thread starts', () => {
  const thread = "new Worker('', { eval: true })";
  const kept = `keepYoungHeapSmall(); await once(withYoungHeapKept(${thread}), 'exit');`;
  const grown = `${kept} letYoungHeapGrow(); await once(withYoungHeapKept(${thread}), 'exit');`;
  const small = youngAfter(kept);
  const large = youngAfter(grown);
  expect(large).toBeGreaterThan(1.5 * small);
  const plain = youngAfter(`keepYoungHeapSmall(); await once(${thread}, 'exit');`);
  // V8 in Node 20 resets the growth factor to 2. If it did not, withYoungHeapKept would not be needed.
  if (process.versions.node.startsWith('20.')) expect(plain).toBeGreaterThan(1.5 * small);
  else expect(plain).toBeLessThan(large / 1.5);
});

it('the heap stays small while few messages arrive, and may grow while many do', () => {
  const atRate = (rate: number) =>
    `const end = fitHeap(() => (performance.now() / 1000) * ${rate}); await delay(1200);`;
  expect(youngAfter(`${atRate(20_000)} end();`)).toBeGreaterThan(1.5 * youngAfter(`${atRate(50)} end();`));
});
