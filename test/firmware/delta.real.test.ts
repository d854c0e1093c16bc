import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { seededRandom } from '../../src/lib/core/numbers.js';
import { DeltaDecoder } from '../../src/lib/formats/delta/apply.js';
import { createDelta } from '../../src/lib/formats/delta/patch.js';
import { describeReal, python } from '../support/real.js';
import { buildUpdateTool, type UpdateTool } from '../support/update-tool.js';

const folder = mkdtempSync(join(tmpdir(), 'aiot-delta-'));
const path = (name: string, bytes?: Uint8Array) => {
  const file = join(folder, name);
  if (bytes) writeFileSync(file, bytes);
  return file;
};

const random = seededRandom(5);
const base = Uint8Array.from({ length: 30_000 }, (_, i) => (i % 97 < 60 ? i * i * 7 : random() * 256));
const next = Buffer.concat([
  base.subarray(0, 9000),
  Buffer.from('a function of its own'),
  base.subarray(12_000).map((byte, i) => (i % 40 === 0 ? byte + 4 : byte)),
  base.subarray(9000, 12_000),
]);

/** The verdict of the TypeScript decoder on a patch. */
function verdict(patch: Uint8Array, total: number): { said: string; made: Buffer } {
  const decoder = new DeltaDecoder((at, count) => base.subarray(at, at + count), base.length, total);
  const made: Uint8Array[] = [];
  try {
    for (const byte of patch) made.push(decoder.push(Uint8Array.of(byte)));
  } catch {
    return { said: 'broken', made: Buffer.concat(made) };
  }
  return { said: decoder.done ? 'done' : 'short', made: Buffer.concat(made) };
}

describeReal('native', 'patches applied by the core', () => {
  let tool: UpdateTool;
  beforeAll(async () => {
    tool = await buildUpdateTool('delta_tool');
    path('base', base);
  }, 300_000);
  afterAll(() => {
    tool?.remove();
    rmSync(folder, { recursive: true });
  });

  /** Applies all patches in one run of the tool; returns its verdicts and outputs. */
  function onTheCore(patches: { patch: Uint8Array; total: number }[]) {
    const lines = patches.map(({ patch, total }, i) =>
      [path('base'), path(`patch-${i}`, patch), total, path(`made-${i}`)].join(' '),
    );
    const said = tool.run([], lines.join('\n'));
    return patches.map((_, i) => ({ said: said[i], made: readFileSync(path(`made-${i}`)) }));
  }

  it('produce the release, and are rejected as in TypeScript if bits are wrong or missing', () => {
    const patch = createDelta(base, next);
    expect(patch.length).toBeLessThan(next.length / 4);
    const cases = [{ patch, total: next.length }];
    for (let i = 0; i < 400; i++) {
      const harmed = Buffer.from(patch.subarray(0, random() < 0.2 ? random() * patch.length : patch.length));
      const bit = Math.floor(random() * 8 * harmed.length);
      if (harmed.length > 0) harmed[bit >> 3]! ^= 1 << (bit & 7);
      cases.push({ patch: harmed, total: next.length - (i % 50 === 0 ? 1 : 0) });
    }
    const core = onTheCore(cases);
    expect(core[0]).toEqual({ said: 'done', made: next });
    const said = new Map<string, number>();
    for (const [i, { patch, total }] of cases.entries()) {
      const here = verdict(patch, total);
      expect(core[i]?.said, `case ${i}`).toBe(here.said);
      // Both sides discard the partial output of a rejected patch.
      if (here.said !== 'broken') expect(core[i]?.made.equals(here.made), `case ${i}`).toBe(true);
      said.set(here.said, (said.get(here.said) ?? 0) + 1);
    }
    expect(said.get('done')).toBeGreaterThan(20);
    expect(said.get('broken')).toBeGreaterThan(20);
    expect(said.get('short')).toBeGreaterThan(20);
  });

  describeReal('delta', 'created by detools', () => {
    it.each([
      ['8', '7'],
      ['11', '5'],
      ['4', '3'],
    ])('with a window of %s bits are applied', (window, lookahead) => {
      const shape = ['--heatshrink-window-sz2', window, '--heatshrink-lookahead-sz2', lookahead];
      const files = [path('base'), path('next', next), path('theirs')];
      const args = ['-m', 'detools', 'create_patch', '-c', 'heatshrink', ...shape, ...files];
      expect(spawnSync(python('delta'), args).status).toBe(0);
      const [core] = onTheCore([{ patch: readFileSync(path('theirs')), total: next.length }]);
      expect(core).toEqual({ said: 'done', made: next });
    });
  });
});
