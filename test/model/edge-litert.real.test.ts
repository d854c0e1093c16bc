import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeAll, expect, it } from 'vitest';
import { runCli } from '../support/cli.js';
import { describeReal, python } from '../support/real.js';
import { linearFile } from './linear.js';
import { temporaryFolder } from './support.js';

let folder: string;
let file: string;
let rows: string;

beforeAll(async () => {
  folder = await temporaryFolder();
  [file, rows] = [join(folder, 'largest.tflite'), join(folder, 'rows.csv')];
  const identity = [
    [1, 0, 0],
    [0, 1, 0],
    [0, 0, 1],
  ];
  writeFileSync(file, linearFile(identity, [0, 0, 0], 'SOFTMAX'));
  const lines = Array.from(
    { length: 60 },
    (_, i) => `${[0, 1, 2].map((c) => (i % 3 === c ? 2 : 0.1 * (i % 7))).join(',')},${i % 3}`,
  );
  writeFileSync(rows, `x,y,z,label\n${lines.join('\n')}\n`);
});

const evaluate = async (runtime: string, ...flags: string[]) =>
  await runCli(['model', 'evaluate', file, '--data', rows, '--runtime', runtime, '--json', ...flags]);

const before = process.env.AIOT_PYTHON;
afterEach(() => {
  if (before === undefined) delete process.env.AIOT_PYTHON;
  else process.env.AIOT_PYTHON = before;
});

describeReal('litert', '--runtime ai-edge-litert', () => {
  it('gives the outputs of the device interpreter to 1e-6', async () => {
    process.env.AIOT_PYTHON = python('litert');
    const outputsOf = async (runtime: string) => {
      const out = join(folder, `${runtime}.csv`);
      const { json } = await evaluate(runtime, '--outputs', out);
      expect(json).toMatchObject({ runtime, accuracy: 1 });
      return readFileSync(out, 'utf8').trim().split('\n').slice(1).join(',').split(',').map(Number);
    };
    const [native, device] = [await outputsOf('ai-edge-litert'), await outputsOf('device')];
    expect(native.length).toBeGreaterThanOrEqual(180);
    for (const [i, value] of native.entries()) expect(Math.abs(value - device[i]!)).toBeLessThan(1e-6);
  });

  it('names the package if Python does not have it', async () => {
    const bare = join(folder, 'bare-python');
    writeFileSync(bare, `#!/bin/sh\nexec python3 -S -E "$@"\n`);
    chmodSync(bare, 0o755);
    process.env.AIOT_PYTHON = bare;
    const { json, code } = await evaluate('ai-edge-litert');
    expect(json).toMatchObject({ error: { code: 'AIOT_BACKEND_MISSING' } });
    expect((json as { error: { next: string } }).error.next).toContain('pip install ai-edge-litert');
    expect(code).toBe(1);
  });
});

it('reports a Python that does not exist', async () => {
  process.env.AIOT_PYTHON = join(folder, 'no-python');
  const { json } = await evaluate('ai-edge-litert');
  expect(json).toMatchObject({ error: { code: 'AIOT_BACKEND_MISSING' } });
});
