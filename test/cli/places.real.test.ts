import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { root } from '../support/cli.js';
import { millFiles } from '../support/mill.js';
import { asNobody, describeReal } from '../support/real.js';

const program = join(root, 'bin/run.js');

describeReal('users', 'a user unknown to the system', () => {
  let folder = '';
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'aiot-nobody-'));
    for (const [path, text] of Object.entries(millFiles(join(folder, 'ran')))) {
      mkdirSync(dirname(join(folder, path)), { recursive: true });
      writeFileSync(join(folder, path), text);
    }
    writeFileSync(join(folder, 'nsswitch.conf'), 'passwd: files\n');
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  const runAsNobody = (home: Record<string, string>, ...words: string[]) => {
    const { HOME: _, SHELL: __, ...env } = process.env;
    const args = [...asNobody(join(folder, 'nsswitch.conf')), process.execPath, program, ...words];
    return spawnSync('unshare', args, {
      env: { ...env, ...home },
      cwd: folder,
      encoding: 'utf8',
      timeout: 60_000,
    });
  };

  it('can run commands, even without a home directory or a shell', () => {
    const { status, stderr } = runAsNobody({}, 'error', 'AIOT_USAGE');
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  });

  it('is recorded by number in a pipeline run', () => {
    const ran = runAsNobody({ HOME: folder }, 'pipeline', 'run', '--json');
    expect(ran.stderr).not.toMatch(/AIOT_BUG/);
    expect(ran.status).toBe(0);
    expect(JSON.parse(ran.stdout)).toMatchObject({ who: String(process.getuid?.()) });
  });
});
