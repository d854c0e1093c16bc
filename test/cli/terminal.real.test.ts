import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { copyFile, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify, stripVTControlCharacters } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { askFor, redeem } from '../../src/lib/cli/approvals.js';
import { readContexts, writeContexts } from '../../src/lib/core/contexts.js';
import { loadProject } from '../../src/lib/core/project.js';
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

/**
 * Runs the program on a terminal. Each item of `dialogue` is an expected text and the keys to type after it.
 */
async function onTerminal(argv: string[], dialogue: string[][]) {
  const terminal = join(root, 'test', 'support', 'python', 'terminal.py');
  const command = [process.execPath, join(root, 'bin', 'dev.js'), ...argv];
  const { stdout } = await run('python3', [terminal, JSON.stringify(dialogue), ...command], {
    env: { ...process.env, TERM: 'xterm', CI: '' },
    timeout: 50_000,
  });
  const ended = JSON.parse(stdout) as { code: number; signal: number; screen: string };
  return { ...ended, text: stripVTControlCharacters(ended.screen) };
}

describeReal('python3', 'Ctrl-C on a terminal', () => {
  it('ends the demo with exit code 130, marks the interrupted step, prints the error and restores the cursor', async () => {
    const { code, signal, screen, text } = await onTerminal(
      ['demo', '--out', join(folder, 'demo')],
      [['is online', ctrlC]],
    );
    expect([code, signal], screen).toEqual([130, null]);
    expect(screen.endsWith(showCursor)).toBe(true);
    expect(text).toMatch(/[✖✗] (?:\d+\/10 )?(Provision|Stream)/);
    expect(text).toContain('AIOT_INTERRUPTED: stopped');
  });
});

describeReal('python3', 'aiot mcp approve on a terminal', () => {
  it.each([
    ['y', 0, true],
    ['n', 130, false],
  ])('shows the command, and issues a single-use token only if approved: %s', async (answer, exit, given) => {
    const argv = ['device', 'revoke', '--json', '--', 'pump-7\u202e'];
    const { id } = await askFor(argv, folder);
    const { code, text } = await onTerminal(['mcp', 'approve', id], [['once? [y/N]', `${answer}\r`]]);
    expect(code, text).toBe(exit);
    expect(text).toContain(`in ${folder}:`);
    expect(text).toContain('aiot device revoke --json -- "pump-7\\u{202e}"');
    const token = new RegExp(`${id}\\.[\\w-]{24}`).exec(text)?.[0];
    expect(token !== undefined).toBe(given);
    if (token === undefined) return;
    expect(await redeem(token, { argv, folder })).toBe(true);
    expect(await redeem(token, { argv, folder })).toBe(false);
  });
});

describeReal('python3', 'an irreversible command on a terminal', () => {
  it.each([
    ['n', 130, 'AIOT_INTERRUPTED: canceled: nothing was changed', ['lab']],
    ['', 130, 'AIOT_INTERRUPTED: canceled: nothing was changed', ['lab']],
    ['y', 0, 'Removed lab', []],
  ])('asks for confirmation and obeys the answer "%s"', async (answer, exit, said, left) => {
    const before = await readContexts();
    await writeContexts({ contexts: { lab: { url: 'https://lab.example:8443', token: 'secret' } } });
    const { code, text } = await onTerminal(['context', 'remove', 'lab'], [['[y/N]', `${answer}\r`]]);
    expect(code, text).toBe(exit);
    expect(text).toContain(
      'Remove lab (https://lab.example:8443) and its token, which is stored nowhere else? [y/N]',
    );
    expect(text).toContain(said);
    expect(Object.keys((await readContexts()).contexts)).toEqual(left);
    await writeContexts(before);
  });
});

describeReal('python3', 'aiot up on a terminal', () => {
  it('shows addresses and readable log lines, not JSON', async () => {
    const data = join(folder, 'platform');
    const { code, text } = await onTerminal(
      ['up', '--data', data, '--http-port', '0', '--mqtt-port', '0'],
      [['Press Ctrl-C to stop.', ctrlC]],
    );
    expect(code, text).toBe(0);
    expect(text).toMatch(/^dashboard +https:\/\/127\.0\.0\.1:\d+\/#\/login\//m);
    expect(text).toMatch(/info wrote the certificate revocation list/);
    expect(text).not.toContain('{"');
  });
});

describeReal('python3', 'aiot init on a terminal', () => {
  const begun = (name: string, dialogue: string[][]) => onTerminal(['init', join(folder, name)], dialogue);

  it('asks for the settings of a project with your own data, and asks again after invalid answers', async () => {
    const recordings = join(folder, 'recordings');
    await mkdir(recordings);
    const from = join(root, 'templates', 'har-imu', 'data', 'recordings');
    for (const name of ['lying1', 'lying2', 'lying3', 'upstairs1', 'upstairs3', 'upstairs4'])
      await copyFile(join(from, `${name}.csv`), join(recordings, `${name}.csv`));
    const { code, text } = await begun('wrist', [
      ['Template? [1]', '9\r'],
      ['Template? [1]', 'own\r'],
      ['name? [wrist]', '\r'],
      ['of rows:', `${join(folder, 'nothing')}\r`],
      ['of rows:', `${recordings}\r`],
      ['sampling rate', '50\r'],
      ['or none)? [name]', '\r'],
      ['Pi, a server)? [esp32]', 'rp2040\r'],
    ]);
    expect(code, text).toBe(0);
    expect(text).toContain('Enter 1 to 8, or one of har-imu');
    expect(text).toContain('does not exist');
    expect(text).toMatch(/Labels +by name: lying 3, upstairs 3/);
    const { config } = await loadProject(join(folder, 'wrist'));
    expect(config.signal.rate).toBe(50);
    expect(config.model.accept.arena).toBe('64KiB');
    expect(config.model.labels).toEqual({ lying: ['lying'], upstairs: ['upstairs'] });
  });

  it('asks nothing if the folder is not empty', async () => {
    await mkdir(join(folder, 'occupied', 'something'), { recursive: true });
    const { code, text } = await begun('occupied', []);
    expect(code, text).toBe(2);
    expect(text).toContain('is not empty: it contains something');
    expect(text).not.toContain('Template?');
  });

  it('leaves nothing behind after Ctrl-C', async () => {
    const { code, text } = await begun('never', [['Template?', ctrlC]]);
    expect(code, text).toBe(130);
    expect(text).toContain('AIOT_INTERRUPTED');
    expect(existsSync(join(folder, 'never'))).toBe(false);
  });
});
