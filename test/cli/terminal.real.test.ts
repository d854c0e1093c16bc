import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify, stripVTControlCharacters } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { root } from '../support/cli.js';
import { describeReal } from '../support/real.js';

const run = promisify(execFile);
const showCursor = '\u001b[?25h';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'aiot-terminal-'));
});
afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

describeReal('python3', 'Ctrl-C on a terminal', () => {
  it('ends the demo with 130, its step marked, the error told and the cursor shown again', async () => {
    const { stdout } = await run(
      'python3',
      [
        ...[join(root, 'test', 'support', 'python', 'terminal.py'), 'is online'],
        ...[process.execPath, join(root, 'bin', 'dev.js'), 'demo', '--out', join(folder, 'demo')],
      ],
      { env: { ...process.env, TERM: 'xterm', CI: '' }, timeout: 50_000 },
    );
    const { code, signal, screen } = JSON.parse(stdout) as { code: number; signal: number; screen: string };
    expect([code, signal], screen).toEqual([130, null]);
    expect(screen.endsWith(showCursor)).toBe(true);
    const text = stripVTControlCharacters(screen);
    expect(text).toMatch(/[✖✗] (Provision|Replay)/);
    expect(text).toContain('AIOT_INTERRUPTED: stopped');
  });
});
