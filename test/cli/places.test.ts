import { spawnSync } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { root } from '../support/cli.js';

const program = join(root, 'bin/run.js');

describe('standard output on a full disk', () => {
  it.each(['error AIOT_USAGE --json', 'error AIOT_USAGE', '--help', 'docs loop'])(
    'is reported with an error code: aiot %s',
    (line) => {
      const full = openSync('/dev/full', 'w');
      const { status, stderr } = spawnSync(process.execPath, [program, ...line.split(' ')], {
        stdio: ['ignore', full, 'pipe'],
        encoding: 'utf8',
        timeout: 30_000,
      });
      closeSync(full);
      expect(stderr).toMatch(/^✗ AIOT_DISK_FULL: cannot write to standard output: ENOSPC.*\n$/);
      expect(status).toBe(1);
    },
  );
});
