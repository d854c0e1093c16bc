import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { demoResultSchema } from '../../src/lib/demo/index.js';
import { runCli } from '../support/cli.js';
import { interruptedDemo } from './interrupted.js';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'aiot-demo-'));
});
afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

describe('aiot demo, run more than once', () => {
  it('predicts on the devices as the evaluation of another run did', async () => {
    const run = async (name: string) => {
      const { json } = await runCli(['demo', '--json', '--out', join(folder, name)]);
      return demoResultSchema.parse(json);
    };
    await run('once');
    const build = join(folder, 'once', 'project', 'build');
    const { int8 } = JSON.parse(await readFile(join(build, 'evaluation.json'), 'utf8'));
    const { live } = await run('again');
    expect(live).toMatchObject({ windows: int8.windows, accuracy: int8.accuracy });
    expect(live.macroF1).toBeCloseTo(int8.macroF1, 12);
  });

  it.each(['5/', '9/'])('ends all it started on Ctrl-C in step %s', async (step) => {
    const { code, told, stdout, out } = await interruptedDemo(folder, step);
    expect(code, told).toBe(130);
    expect(JSON.parse(stdout)).toMatchObject({ error: { code: 'AIOT_INTERRUPTED' } });
    // A platform notes there that it runs, and takes the note away when it has stopped as it should.
    expect(await readdir(join(out, 'platform'))).not.toContain('platform.json');
  });
});
