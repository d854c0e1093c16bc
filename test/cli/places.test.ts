import { spawnSync } from 'node:child_process';
import { closeSync, mkdirSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { root } from '../support/cli.js';
import { millFiles } from '../support/mill.js';
import { asNobody, describeReal } from '../support/real.js';

const program = join(root, 'bin/run.js');

describe('standard output on a disk that is full', () => {
  it.each(['explain AIOT_USAGE --json', 'explain AIOT_USAGE', '--help', 'docs loop'])(
    'is told by a code: aiot %s',
    (line) => {
      const full = openSync('/dev/full', 'w');
      const { status, stderr } = spawnSync(process.execPath, [program, ...line.split(' ')], {
        stdio: ['ignore', full, 'pipe'],
        encoding: 'utf8',
        timeout: 30_000,
      });
      closeSync(full);
      expect(stderr).toMatch(/^✗ AIOT_DISK_FULL: standard output cannot be written: ENOSPC.*\n$/);
      expect(status).toBe(1);
    },
  );
});

describeReal('users', 'a user whom the system does not know', () => {
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

  it('runs commands, also without a home and a shell', () => {
    const { status, stderr } = runAsNobody({}, 'explain', 'AIOT_USAGE');
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  });

  it('is a number in the record of a pipeline', () => {
    const ran = runAsNobody({ HOME: folder }, 'pipeline', 'run', '--json');
    expect(ran.stderr).not.toMatch(/AIOT_BUG/);
    expect(ran.status).toBe(0);
    expect(JSON.parse(ran.stdout)).toMatchObject({ who: String(process.getuid?.()) });
  });
});
