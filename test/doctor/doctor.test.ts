import { chmod, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import Doctor from '../../src/commands/doctor.js';
import { runCli } from '../support/cli.js';

let folder: string;
let before: string | undefined;
beforeEach(async () => {
  before = process.env.AIOT_CONFIG_DIR;
  folder = await mkdtemp(join(tmpdir(), 'aiot-doctor-'));
  process.env.AIOT_CONFIG_DIR = folder;
});
afterEach(async () => {
  process.env.AIOT_CONFIG_DIR = before;
  await rm(folder, { recursive: true, force: true });
});

describe('aiot doctor', () => {
  it('runs all checks, and passes on a machine that meets the requirements', async () => {
    const { json, code } = await runCli(['doctor', '--json']);
    const { checks } = Doctor.result.parse(json) as { checks: { check: string; status: string }[] };
    expect(checks.filter(({ status }) => status === 'fail')).toEqual([]);
    expect(code).toBe(0);
    expect(checks.map(({ check }) => check)).toEqual([
      ...['node', 'tensorflow', 'litert', 'config folder', 'data folder', 'cache folder'],
      ...['disk', 'port http', 'port mqtts', 'clock', 'contexts'],
    ]);
  });

  it('exits with 6 if a check fails, and prints the fix', async () => {
    await chmod(folder, 0o755);
    await mkdir(join(folder, 'keys'), { mode: 0o755 });
    const { json, code } = await runCli(['doctor', '--json']);
    expect(code).toBe(6);
    expect(json).toMatchObject({ healthy: false });
    const { stdout, code: again } = await runCli(['doctor']);
    expect(stdout).toContain(`Try: chmod -R go= ${folder}`);
    expect(again).toBe(6);
  });

  it('rejects a duration without a unit', async () => {
    const { json, code } = await runCli(['doctor', '--timeout', '3', '--json']);
    expect(json).toMatchObject({ error: { code: 'AIOT_USAGE' } });
    expect(code).toBe(2);
  });
});
