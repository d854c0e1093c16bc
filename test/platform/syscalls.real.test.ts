import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { root } from '../support/cli.js';
import { describeReal } from '../support/real.js';

const run = promisify(execFile);

/** Killing a process cannot reveal a missing sync, because the kernel still has the data, but the system calls can. */
describeReal('strace', 'the system calls of the telemetry store', () => {
  it('are a write, a sync, and then the acknowledgment, for each message', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'aiot-strace-'));
    const trace = join(folder, 'trace');
    const program = [process.execPath, '--import', 'tsx', join(root, 'test/support/appender.ts'), folder];
    const calls = ['-e', 'trace=write,pwrite64,fdatasync,fsync', '-s', '4096'];
    await run('strace', ['-f', '-qq', '-o', trace, ...calls, ...program], { cwd: root, timeout: 60_000 });
    const lines = (await readFile(trace, 'utf8')).split('\n');
    for (let x = 4700; x < 4720; x++) {
      const written = lines.findIndex((line) => /pwrite64\(/.test(line) && line.includes(`\\"x\\":${x}`));
      // The call must have returned: `fdatasync(20) = 0`, or the second half of a call that another thread interrupted.
      const synced = lines.findIndex(
        (line, i) => i > written && /f(data)?sync(\(\d+\)| resumed>\)) += 0/.test(line),
      );
      const told = lines.findIndex((line) => line.includes(`told ${x}`));
      expect(written).toBeGreaterThan(-1);
      expect(synced).toBeGreaterThan(written);
      expect(told).toBeGreaterThan(synced);
    }
    await rm(folder, { recursive: true, force: true });
  }, 90_000);
});
