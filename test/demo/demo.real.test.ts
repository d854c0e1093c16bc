import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { demoResultSchema } from '../../src/lib/demo/demo.js';
import { root, runCli } from '../support/cli.js';
import { interruptedDemo } from './interrupted.js';

function without(env: NodeJS.ProcessEnv, names: RegExp): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !names.test(name)));
}

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'aiot-demo-'));
});
afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

describe('aiot demo, run repeatedly', () => {
  it('gets the same metrics on devices as an earlier run’s evaluation', async () => {
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
  }, 300_000);

  it('prints each step once in a pipe, and ends with three commands that work as printed', async () => {
    const home = await mkdtemp(join(folder, 'home-'));
    const path = `${dirname(process.execPath)}:/usr/bin:/bin`;
    const env = {
      ...without(process.env, /^(AIOT_|XDG_|INIT_CWD|COLUMNS|FORCE_COLOR)/),
      HOME: home,
      PATH: path,
    };
    const shell = (line: string, cwd: string) =>
      promisify(execFile)('/bin/sh', ['-c', line], { env, cwd }).then(
        ({ stdout, stderr }) => ({ stdout, stderr, code: 0 }),
        (error: { stdout: string; stderr: string; code: number }) => error,
      );
    const { stdout, stderr, code } = await shell('bin/run.js demo', root);
    expect(code, stderr).toBe(0);
    expect(stderr.match(/\d+\/10 /g)).toEqual(Array.from({ length: 10 }, (_, i) => `${i + 1}/10 `));
    const url = /^dashboard +(\S+)/m.exec(stdout)![1]!;
    const commands = stdout
      .slice(stdout.indexOf('Next: ') + 'Next: '.length)
      .trim()
      .split(/\n +/);
    expect(commands.map((line) => line.split(' ').slice(0, 2).join(' '))).toEqual([
      ...['bin/run.js up', 'bin/run.js dashboard', 'bin/run.js init'],
    ]);
    // The third command creates a folder in the current folder, which must not be in the clone.
    expect(commands[2]).toContain(' init motor ');
    commands[2] = commands[2]!.replace(' init motor ', ` init ${join(home, 'motor')} `);
    const data = /--data (\S+)/.exec(commands[0]!)![1]!;
    try {
      for (const line of commands) expect(await shell(line, root), line).toMatchObject({ code: 0 });
      const link = await shell(commands[1]!, root);
      expect(link.stdout).toMatch(new RegExp(`^${url}#/login/\\S+`));
      expect((await shell('bin/run.js model list', root)).stdout).toContain('har-imu');
    } finally {
      await shell(`bin/run.js down --data ${data}`, root);
    }
  }, 300_000);

  it.each([5, 9])('stops everything it started on Ctrl-C in step %i', async (step) => {
    const { code, told, stdout, out } = await interruptedDemo(folder, step);
    expect(code, told).toBe(130);
    expect(JSON.parse(stdout)).toMatchObject({ error: { code: 'AIOT_INTERRUPTED' } });
    // A running platform keeps this file, and removes it when it stops properly.
    expect(await readdir(join(out, 'platform'))).not.toContain('platform.json');
  });
});
