import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { copyFile, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify, stripVTControlCharacters } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { loadProject } from '../../src/lib/core/index.js';
import { root } from '../support/cli.js';
import { describeReal } from '../support/real.js';

const run = promisify(execFile);
const showCursor = '\u001b[?25h';
const ctrlC = '\u0003';

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
        ...[join(root, 'test', 'support', 'python', 'terminal.py'), JSON.stringify([['is online', ctrlC]])],
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

describeReal('python3', 'aiot init on a terminal', () => {
  const begun = async (name: string, dialogue: string[][]) => {
    const { stdout } = await run(
      'python3',
      [
        ...[join(root, 'test', 'support', 'python', 'terminal.py'), JSON.stringify(dialogue)],
        ...[process.execPath, join(root, 'bin', 'dev.js'), 'init', join(folder, name)],
      ],
      { env: { ...process.env, TERM: 'xterm', CI: '' }, timeout: 50_000 },
    );
    const { code, screen } = JSON.parse(stdout) as { code: number; screen: string };
    return { code, text: stripVTControlCharacters(screen) };
  };

  it('asks what a project of one’s own data needs, and again where an answer is none', async () => {
    const recordings = join(folder, 'recordings');
    await mkdir(recordings);
    const from = join(root, 'templates', 'har-imu', 'data', 'recordings');
    for (const name of ['lying1', 'lying2', 'lying3', 'upstairs1', 'upstairs3', 'upstairs4'])
      await copyFile(join(from, `${name}.csv`), join(recordings, `${name}.csv`));
    const { code, text } = await begun('wrist', [
      ['Which one? [1]', '7\r'],
      ['Which one? [1]', 'own\r'],
      ['called? [wrist]', '\r'],
      ['of rows:', `${join(folder, 'nothing')}\r`],
      ['of rows:', `${recordings}\r`],
      ['many samples', '50\r'],
      ['or none? [name]', '\r'],
      ['Pi, a server)? [esp32]', 'rp2040\r'],
    ]);
    expect(code, text).toBe(0);
    expect(text).toContain('Expected 1 to 5, or one of har-imu');
    expect(text).toContain('no such file or folder');
    expect(text).toMatch(/Labels +by name: lying 3, upstairs 3/);
    const { config } = await loadProject(join(folder, 'wrist'));
    expect(config.signal.rate).toBe(50);
    expect(config.model.accept.arena).toBe('64KiB');
    expect(config.model.labels).toEqual({ lying: ['lying'], upstairs: ['upstairs'] });
  });

  it('leaves nothing behind at Ctrl-C', async () => {
    const { code, text } = await begun('never', [['Which one?', ctrlC]]);
    expect(code, text).toBe(130);
    expect(text).toContain('AIOT_INTERRUPTED');
    expect(existsSync(join(folder, 'never'))).toBe(false);
  });
});
