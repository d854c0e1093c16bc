import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { root } from '../support/cli.js';
import { describeReal } from '../support/real.js';

describeReal('cmake', 'the firmware’s core, built for this machine with sanitizers', () => {
  let build = '';
  beforeAll(() => {
    build = mkdtempSync(join(tmpdir(), 'aiot-firmware-'));
  });
  afterAll(() => {
    rmSync(build, { recursive: true, force: true });
  });

  function run(program: string, ...args: string[]) {
    const { status, stdout, stderr } = spawnSync(program, args, { encoding: 'utf8' });
    return { status, output: `${stdout}${stderr}` };
  }

  it('compiles without a warning and reproduces the golden values', () => {
    expect(run('cmake', '-S', join(root, 'firmware'), '-B', build)).toMatchObject({ status: 0 });
    expect(run('cmake', '--build', build, '--parallel', '2')).toMatchObject({ status: 0 });
    const { status, output } = run('ctest', '--test-dir', build, '--output-on-failure', '--verbose');
    expect(output).toMatch(/\d{3,} checks passed, 0 failed/);
    expect(status).toBe(0);
  });
});
