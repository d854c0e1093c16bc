import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { root } from '../support/cli.js';
import { runProgram } from '../support/programs.js';

const fuzz = async (...args: string[]) => {
  const ran = await runProgram(process.execPath, ['--import', 'tsx', join(root, 'fuzz/run.ts'), ...args], {
    cwd: root,
  });
  return { ...ran, told: ran.stdout === '' ? null : JSON.parse(ran.stdout) };
};

describe('npm run fuzz', () => {
  it('detects an error without a code, a hang, excessive memory use and a changed prototype, and replays a finding', {
    timeout: 180_000,
  }, async () => {
    const out = mkdtempSync(join(tmpdir(), 'aiot-fuzz-test-'));
    const { code, told, stderr } = await fuzz('--only', 'planted/', '--seconds', '12', '--out', out);
    expect(code, stderr).toBe(1);
    const found = told.findings as { target: string; kind: string; input: string }[];
    expect(found.map(({ target, kind }) => `${target} ${kind}`)).toEqual([
      'planted/error error',
      'planted/hang hang',
      'planted/slow hang',
      'planted/memory memory',
      'planted/peak memory',
      'planted/prototype prototype',
    ]);
    // The shortest input that triggers it has 13 bytes, whereas its example has six.
    expect(Buffer.from(found[0]!.input, 'base64').toString()).toBe('0'.repeat(13));
    const file = join(out, 'planted-prototype-6');
    expect(readFileSync(file).toString('base64')).toBe(found[5]!.input);
    const again = await fuzz('--only', 'planted/prototype', '--replay', file);
    expect(again.told).toMatchObject({ target: 'planted/prototype', fault: { kind: 'prototype' } });
    expect(again.code).toBe(1);
    rmSync(out, { recursive: true });
  });

  it('finds nothing in robust readers, is reproducible by seed, and reaches beyond the examples', {
    timeout: 120_000,
  }, async () => {
    const run = () => fuzz('--only', 'formats/cbor,formats/archive', '--inputs', '600', '--seconds', '40');
    const [first, second] = [await run(), await run()];
    expect(first.told.findings, first.stderr).toEqual([]);
    expect(first.code).toBe(0);
    const facts = ({ told }: typeof first) =>
      told.targets.map(({ seconds: _, ...run }: { seconds: number }) => run);
    expect(facts(first)).toEqual(facts(second));
    for (const { inputs, kept } of facts(first)) {
      expect(inputs).toBe(600);
      expect(kept).toBeGreaterThan(8);
    }
  });

  it('fails if a target tries fewer inputs than --least', { timeout: 60_000 }, async () => {
    const few = ['--only', 'formats/cbor', '--inputs', '300', '--least'];
    const [enough, short] = [await fuzz(...few, '300'), await fuzz(...few, '301')];
    expect({ code: enough.code, findings: enough.told.findings }).toEqual({ code: 0, findings: [] });
    expect({ code: short.code, findings: short.told.findings }).toEqual({ code: 1, findings: [] });
    expect(short.stderr).toContain('formats/cbor: 300 inputs, expected at least 301');
  });

  it('removes everything that its targets write', { timeout: 120_000 }, async () => {
    const before = process.env.TMPDIR;
    const folder = mkdtempSync(join(tmpdir(), 'aiot-fuzz-test-'));
    process.env.TMPDIR = folder;
    try {
      const targets = 'model/tfjs,platform/http,planted/hang';
      const { told, stderr } = await fuzz(
        '--only',
        targets,
        '--inputs',
        '20',
        '--out',
        join(folder, 'found'),
      );
      const found = (told.findings as { target: string }[]).map(({ target }) => target);
      expect(found, stderr).toEqual(['planted/hang']);
      expect(readdirSync(folder).filter((name) => name.startsWith('aiot-'))).toEqual([]);
    } finally {
      if (before === undefined) delete process.env.TMPDIR;
      else process.env.TMPDIR = before;
      rmSync(folder, { recursive: true });
    }
  });

  it('lists its targets and rejects an unknown one', { timeout: 60_000 }, async () => {
    const list = await fuzz('--list');
    expect(list.stderr).toContain('formats/esp-image\n');
    expect(list.stderr).not.toContain('planted');
    const unknown = await fuzz('--only', 'nothing');
    expect(unknown.code).toBe(2);
    expect(unknown.stderr).toContain('unknown target: nothing');
  });
});
