import { spawnSync } from 'node:child_process';
import { closeSync, existsSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { root } from '../support/cli.js';

describe.runIf(existsSync('/dev/full'))('stderr on a full disk', () => {
  it('loses output without changing the exit code', () => {
    const full = openSync('/dev/full', 'w');
    try {
      const args = [join(root, 'bin', 'run.js'), 'error', 'no-such-code'];
      const { status } = spawnSync(process.execPath, args, { stdio: ['ignore', 'pipe', full] });
      expect(status).toBe(2);
    } finally {
      closeSync(full);
    }
  });
});
