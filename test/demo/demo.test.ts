import { cp, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type DemoResult, demoResultSchema } from '../../src/lib/demo/demo.js';
import { root, runCli } from '../support/cli.js';
import { interruptedDemo } from './interrupted.js';

let folder: string;
let whole: DemoResult;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'aiot-demo-'));
});
afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

const sample = join(root, 'templates', 'har-imu', 'data', 'recordings');

describe('aiot demo', () => {
  it('takes a model through its whole lifecycle, and prints the result as one line of JSON', async () => {
    const out = join(folder, 'whole');
    const { json, stdout, code } = await runCli(['demo', '--json', '--out', out]);
    expect(code).toBe(0);
    expect(stdout.trimEnd().split('\n')).toHaveLength(1);
    const result = demoResultSchema.parse(json);
    whole = result;
    expect(result.rollout).toMatchObject({ devices: 4, committed: 4, rolledBack: 0 });
    // The metrics are from recordings that were not used for training.
    expect(result.model.macroF1.int8).toBeGreaterThanOrEqual(0.95);
    expect(result.model.macroF1.voted).toBeGreaterThanOrEqual(0.97);
    expect(Math.abs(result.model.macroF1.float - result.model.macroF1.int8)).toBeLessThanOrEqual(0.01);
    // Such high metrics would not be credible without the interval, the folds and the stored metrics.
    const { interval, heldOut, folds, originals } = result.model;
    expect(interval.high).toBeGreaterThanOrEqual(result.model.accuracy.int8);
    expect(interval.low).toBeLessThan(0.9);
    expect(heldOut).toEqual({ windows: result.live.windows, recordings: 9 });
    expect(folds).toMatchObject({ folds: 5, recordings: 35 });
    expect(folds!.macroF1).toBeGreaterThan(0.97);
    expect(folds!.voted).toBeGreaterThanOrEqual(folds!.macroF1);
    expect(originals).toMatchObject({ recordings: 53, windows: 2024 });
    const evaluation = JSON.parse(await readFile(join(out, 'project', 'build', 'evaluation.json'), 'utf8'));
    expect([interval.low, interval.high]).toEqual(evaluation.interval);
    expect(folds!.macroF1).toBe(evaluation.folds.macroF1);
    const serious = result.dataset.findings.filter(({ severity }) => severity !== 'info');
    expect(serious.map(({ kind }) => kind)).toEqual(['shortcut']);
    expect(await readFile(result.report, 'utf8')).toContain('<svg');
  });

  it('gets exactly the evaluation’s metrics on the devices, without skew', async () => {
    const out = join(folder, 'whole');
    const evaluation = JSON.parse(await readFile(join(out, 'project', 'build', 'evaluation.json'), 'utf8'));
    expect(whole.live.windows).toBe(evaluation.int8.windows);
    expect(whole.live.accuracy).toBe(evaluation.int8.accuracy);
    expect(whole.live.macroF1).toBeCloseTo(evaluation.int8.macroF1, 12);
  });

  it('keeps the private signing key off the platform and the devices', async () => {
    const out = join(folder, 'whole');
    const key = (await readFile(join(out, 'operator', 'keys', 'demo.pem'), 'utf8')).split('\n')[1] ?? '';
    for (const place of ['platform', 'devices']) {
      const files = await readdir(join(out, place), { recursive: true, withFileTypes: true });
      for (const file of files.filter((entry) => entry.isFile())) {
        const text = await readFile(join(file.parentPath, file.name), 'latin1');
        expect(text.includes(key), `${place}/${file.name}`).toBe(false);
      }
    }
  });

  it('stops at the gate if the labels are shuffled, and pushes nothing', async () => {
    const data = join(folder, 'shuffled');
    const names = (await readdir(sample)).filter((name) => name.endsWith('.csv')).sort();
    // After the names are rotated by half the list, hardly any label is correct.
    const half = Math.floor(names.length / 2);
    for (const [i, name] of names.entries()) {
      await cp(join(sample, name), join(data, names[(i + half) % names.length] ?? name));
    }
    const out = join(folder, 'gate');
    const { json, code, stderr } = await runCli(['demo', '--json', '--data', data, '--out', out]);
    expect(code, stderr).toBe(6);
    expect(json).toMatchObject({ error: { code: 'AIOT_GATE_FAILED' } });
    expect(await readdir(join(out, 'project', 'build'))).not.toContain('model.aiot');
  });

  it('reports a port in use and how to fix it', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    const address = server.address();
    const port = typeof address === 'object' && address ? address.port : 0;
    const { json, code } = await runCli([
      'demo',
      '--json',
      '--out',
      join(folder, 'port'),
      '--http-port',
      `${port}`,
    ]);
    server.close();
    expect(code).toBe(1);
    expect(json).toMatchObject({
      error: { code: 'AIOT_PORT_IN_USE', message: expect.stringContaining(`${port}`) },
    });
    expect((json as { error: { next: string } }).error.next).toContain('--http-port 0');
  });

  it.each([
    ['a missing folder', ['--data', '/nowhere/at/all'], 4, 'AIOT_FILE_NOT_FOUND'],
    ['a folder without recordings', ['--data', 'EMPTY'], 2, 'AIOT_DATA_EMPTY'],
    ['a non-empty output folder', ['--out', 'FULL'], 2, 'AIOT_FOLDER_NOT_EMPTY'],
  ])('rejects %s before starting anything', async (_what, given, code, expected) => {
    const empty = await mkdtemp(join(folder, 'empty-'));
    const args = given.map((arg) => (arg === 'EMPTY' ? empty : arg === 'FULL' ? folder : arg));
    const target = given.includes('--out') ? [] : ['--out', await mkdtemp(join(folder, 'out-'))];
    const result = await runCli(['demo', '--json', ...args, ...target]);
    expect(result.json).toMatchObject({ error: { code: expected } });
    expect(result.code).toBe(code);
  });

  it('stops everything it started on Ctrl-C', async () => {
    const { code, told, stdout, out } = await interruptedDemo(folder, 2);
    expect(code, told).toBe(130);
    expect(JSON.parse(stdout)).toMatchObject({ error: { code: 'AIOT_INTERRUPTED' } });
    // A running platform keeps this file, and removes it when it stops properly.
    expect(await readdir(join(out, 'platform'))).not.toContain('platform.json');
  });
});
