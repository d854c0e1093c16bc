import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { demoResultSchema } from '../../src/lib/demo/demo.js';
import { nativeProgram } from '../../src/lib/device/native/build.js';
import { runCli } from '../support/cli.js';
import { describeReal } from '../support/real.js';

describeReal('native', 'aiot demo --native', () => {
  let folder: string;
  beforeAll(async () => {
    await nativeProgram();
    folder = await mkdtemp(join(tmpdir(), 'aiot-demo-'));
  }, 300_000);
  afterAll(async () => {
    await rm(folder, { recursive: true, force: true });
  });

  it('runs the firmware’s core on the devices, matching the evaluation exactly', async () => {
    const { json, code } = await runCli(['demo', '--native', '--json', '--out', folder]);
    expect(code).toBe(0);
    const result = demoResultSchema.parse(json);
    expect(result.rollout).toMatchObject({ devices: 4, committed: 4, rolledBack: 0 });
    const evaluation = JSON.parse(
      await readFile(join(folder, 'project', 'build', 'evaluation.json'), 'utf8'),
    );
    expect(result.live.windows).toBe(evaluation.int8.windows);
    expect(result.live.accuracy).toBe(evaluation.int8.accuracy);
    expect(result.live.macroF1).toBeCloseTo(evaluation.int8.macroF1, 12);
  }, 300_000);
});
