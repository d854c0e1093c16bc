import { spawnSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { expect, it } from 'vitest';
import { runAgent } from '../../src/lib/device/remote/agent.js';
import { remoteShell } from '../../src/lib/device/remote/operate.js';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { testPlatform } from '../support/platform.js';
import { describeReal, python } from '../support/real.js';

describeReal('asciinema', 'the recording of a terminal', () => {
  it('is played by asciinema as the user saw it, without the hidden password', async () => {
    const own = await testPlatform({ recordShells: true });
    const ending = new AbortController();
    try {
      const identityDir = join(own.folder, 'pi-1');
      await provisionDevice({ client: own.client, name: 'pi-1', type: 'pi', out: identityDir });
      await new Promise<void>((resolve) => {
        const onEvent = ({ event }: { event: string }) => event === 'connected' && resolve();
        runAgent({ identityDir, allow: ['shell'], signal: ending.signal, onEvent }).catch(() => {});
      });
      const stdin = Object.assign(new PassThrough(), { isTTY: true, setRawMode: () => {} });
      const stdout = Object.assign(new PassThrough(), { isTTY: true, rows: 31, columns: 97 });
      const shown: Buffer[] = [];
      stdout.on('data', (data: Buffer) => shown.push(data));
      const text = () => Buffer.concat(shown).toString('utf8');
      const result = remoteShell({
        ...{ client: own.client, device: 'pi-1', forMs: 60_000, stdin, stdout, stderr: new PassThrough() },
        ...{ collect: false, signal: ending.signal },
      });
      const patience = { timeout: 15_000 };
      stdin.write("stty -echo; printf 'pass%s: ' word; read -r secret; stty echo; echo; echo 'grün' done\n");
      await expect.poll(text, patience).toContain('password: ');
      stdin.write('hunter2\n');
      await expect.poll(text, patience).toMatch(/grün done\r?\n/);
      Object.assign(stdout, { rows: 50, columns: 120 }).emit('resize');
      // The size arrives at the terminal some time after this line.
      stdin.write(`until [ "$(stty size)" = '50 120' ]; do sleep 0.1; done; stty size; exit\n`);
      const { session, recorded } = await result;
      expect(recorded).toBe(true);
      expect(text()).toMatch(/[\r\n]50 120\r?\n/);
      const { cast } = await own.client.remoteSessions.recording(session);
      expect(cast).not.toContain('hunter2');
      expect(cast).toContain('"r","120x50"');
      const file = join(own.folder, 'shell.cast');
      await writeFile(file, cast);
      const { stdout: played, stderr } = spawnSync(python('asciinema'), ['-m', 'asciinema', 'cat', file], {
        timeout: 30_000,
        env: { PATH: process.env.PATH, HOME: own.folder, LC_ALL: 'C.UTF-8' },
      });
      expect(stderr.toString('utf8')).toBe('');
      expect(played.toString('utf8')).toBe(text());
    } finally {
      ending.abort();
      await own.stop();
    }
  }, 60_000);
});
