import { mkdtemp, readdir, rm, utimes } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { digestOf } from '../../src/lib/core/crypto.js';
import { pruneEntries, writeEntry } from '../../src/lib/pipeline/store.js';

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'aiot-steps-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const digest = (n: number) => digestOf(Buffer.from(`output ${n}`));

/** Creates steps with a one-byte output each; the last one was used most recently. */
async function steps(count: number): Promise<void> {
  for (let n = 0; n < count; n++) {
    const files = [{ path: '', digest: digest(n), bytes: 1, program: false }];
    const outputs = { out: { digest: digest(n), bytes: 1, folder: false, files } };
    const how = { run: 'run_1', result: null, skipped: null, ended: n };
    await writeEntry(folder, `${n}`, { spec: 'aiot-step/1', step: 'one', outputs, ...how });
    await utimes(join(folder, `${n}.json`), n, n);
  }
}

it('pruning keeps the most recently used entries, counting at least a disk block for each file', async () => {
  await steps(5);
  // Each step occupies two blocks, one for its entry and one for its output.
  const kept = await pruneEntries(folder, 3 * 8192, new Map());
  expect([...kept].sort()).toEqual([2, 3, 4].map(digest).sort());
  expect((await readdir(folder)).sort()).toEqual(['2.json', '3.json', '4.json']);
});

it('pruning keeps a limited number of steps, and always the protected ones', async () => {
  await steps(5);
  const kept = await pruneEntries(folder, 2 ** 30, new Map([[digest(0), 1]]), 2);
  expect([...kept].sort()).toEqual([0, 3, 4].map(digest).sort());
});
