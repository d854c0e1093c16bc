import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { DeltaDecoder } from '../../src/lib/formats/delta/apply.js';
import { createDelta } from '../../src/lib/formats/delta/patch.js';
import { root } from '../support/cli.js';
import { describeReal, python } from '../support/real.js';

const folder = mkdtempSync(join(tmpdir(), 'aiot-delta-'));

function detools(...args: string[]): void {
  const { status, stderr } = spawnSync(python('delta'), ['-m', 'detools', ...args], { encoding: 'utf8' });
  expect(stderr).toBe('');
  expect(status).toBe(0);
}

/**
 * A realistic file and its next version: this package's lock file, which is repetitive, with one part removed
 * and another moved.
 */
function pair() {
  const base = readFileSync(join(root, 'package-lock.json')).subarray(0, 200_000);
  const next = Buffer.concat([
    base.subarray(0, 50_000),
    Buffer.from('a function of its own'.repeat(3)),
    base.subarray(120_000, 180_000).map((byte, i) => (i % 100 === 0 ? byte + 4 : byte)),
    base.subarray(50_000, 110_000),
  ]);
  const at = { base: join(folder, 'base'), next: join(folder, 'next'), patch: join(folder, 'patch') };
  writeFileSync(at.base, base);
  writeFileSync(at.next, next);
  return { base, next, at };
}

describeReal('delta', 'detools', () => {
  afterAll(() => rmSync(folder, { recursive: true }));

  it('applies an aiot patch correctly', () => {
    const { base, next, at } = pair();
    writeFileSync(at.patch, createDelta(base, next));
    detools('apply_patch', at.base, at.patch, join(folder, 'made'));
    expect(readFileSync(join(folder, 'made')).equals(next)).toBe(true);
  });

  it.each([
    ['8', '7'],
    ['11', '4'],
    ['4', '3'],
  ])('writes patches that aiot applies, with a window of %s bits', (window, lookahead) => {
    const { base, next, at } = pair();
    const shape = ['--heatshrink-window-sz2', window, '--heatshrink-lookahead-sz2', lookahead];
    detools('create_patch', '-c', 'heatshrink', ...shape, at.base, at.next, at.patch);
    const theirs = readFileSync(at.patch);
    const decoder = new DeltaDecoder(
      (from, count) => base.subarray(from, from + count),
      base.length,
      next.length,
    );
    expect(Buffer.from(decoder.push(theirs)).equals(next)).toBe(true);
    expect(decoder.done).toBe(true);
    // Our patch is at most a tenth larger than theirs.
    expect(createDelta(base, next).length).toBeLessThan(theirs.length * 1.1);
  });
});
