import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Agent, request } from 'undici';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { renderError } from '../../src/lib/cli/errors.js';
import { logText } from '../../src/lib/cli/render/platform.js';
import {
  bold,
  dim,
  facts,
  forTerminal,
  next,
  oneLine,
  red,
  table,
  useColor,
} from '../../src/lib/cli/render/text.js';
import { writeContexts } from '../../src/lib/core/contexts.js';
import { AiotError } from '../../src/lib/core/errors.js';
import { jsonLine, printable } from '../../src/lib/core/text.js';
import { runCli } from '../support/cli.js';
import { type Description, hostile, hostilePlatform, obeyed } from '../support/hostile-platform.js';
import { testPlatform } from '../support/platform.js';

afterEach(() => useColor(false));

describe('untrusted text', () => {
  it('is printed with control characters escaped', () => {
    expect(forTerminal(`a\u001b]0;pwned\u0007b\u009b31m\u202e\r`)).toBe(
      'a\\x1b]0;pwned\\x07b\\x9b31m\\u{202e}\\x0d',
    );
    expect(forTerminal('one\r\ntwo\tthree\n')).toBe('one\ntwo\tthree\n');
    expect(printable('\u2028\u061c')).toBe('\\u{2028}\\u{61c}');
  });

  it('cannot change or end our colors', async () => {
    await useColor(true);
    expect(forTerminal(red('a\u001b[39mb'))).toBe('\u001b[31ma\\x1b[39mb\u001b[39m');
    expect(forTerminal('\u001b[8mhidden')).toBe('\\x1b[8mhidden');
    expect(forTerminal(bold(`a ${dim('b')} c`))).toBe('\u001b[1ma \u001b[2mb\u001b[22m\u001b[1m c\u001b[22m');
    expect(forTerminal(red('a\nb'))).toBe('\u001b[31ma\u001b[39m\n\u001b[31mb\u001b[39m');
    expect(red('')).toBe('');
  });

  it('cannot add a table row, a line of advice or a fact', async () => {
    await useColor(true);
    const shown = forTerminal(table(['name', 'why'], [[red('a\nb'), `lost\nlab-2  fine`]]));
    expect(shown.split('\n')).toHaveLength(2);
    expect(forTerminal(next('aiot device show a\nrm -rf b'))).toContain('show a\\nrm -rf b');
    await useColor(false);
    expect(facts([['why', 'lost\nstate  fine']])).toBe('why  lost\n     state  fine');
    expect(oneLine('a\nb')).toBe('a\\nb');
  });

  it('cannot add another error or log line', () => {
    const error = new AiotError('AIOT_PLATFORM_FAILED', 'gone\n✗ AIOT_FAKE: not ours', { next: 'a\nb' });
    expect(renderError(error)).toBe('✗ AIOT_PLATFORM_FAILED: gone\n  ✗ AIOT_FAKE: not ours\n  Try: a\n  b\n');
    const line = logText({ time: null, level: 'info', message: 'a\nb', detail: { 'c\nx': 'd\ne' } });
    expect(line).toBe('info a\\nb c\\nx="d\\ne"');
  });

  it('keeps its value in JSON, which contains no control characters', () => {
    const value = { [hostile]: [hostile, '\u0080\u009f\u2029'] };
    expect(jsonLine(value)).not.toMatch(obeyed);
    expect(jsonLine(value)).not.toContain('\n');
    expect(JSON.parse(jsonLine(value))).toEqual(value);
  });
});

/** Commands that show or change data of a platform, and print its responses. */
const commands = [
  'status',
  'device list',
  'device show lab-1',
  'device history lab-1',
  'device logs lab-1',
  'device activate lab-1',
  'device suspend lab-1 --yes',
  'device config list',
  'device config show lab-1@1',
  'model list',
  'model show lab-1@1',
  'firmware list',
  'firmware show lab-1@1',
  'rollout list',
  'rollout show lab-1',
  'rollout report lab-1',
  'rollout pause lab-1',
  'rollout abort lab-1',
  'data streams',
  'data show lab-1',
  'data retention',
  'job list',
  'job show lab-1',
  'job cancel lab-1',
  'webhook list',
  'webhook show lab-1',
  'webhook enable lab-1',
  'user list',
  'user enable lab-1',
  'token list',
  'token create lab-1 --role viewer',
  'trust status',
  'events tail --from 0 --count 1',
  'pipeline history --project lab-1',
  'context list',
];

describe('files full of untrusted text', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'aiot-hostile-'));
    // A file that contains an ASCII control character would be treated as binary.
    const cell = '"pwned\u009b31m\u202e\u2066\u2028"';
    const rows = (from: number) =>
      Array.from({ length: 60 }, (_, i) => `${from + Math.sin(i)},${cell}`).join('\n');
    await writeFile(join(folder, 'before.csv'), `${cell},label\n${rows(1)}\n`);
    await writeFile(join(folder, 'after.csv'), `${cell},label\n${rows(9)}\n`);
    const line = { level: 40, time: 1, msg: hostile, [hostile]: hostile };
    await writeFile(join(folder, 'platform.log'), `${JSON.stringify(line)}\n${hostile}\n`);
    await writeFile(
      join(folder, 'routes.yaml'),
      JSON.stringify({ routes: { [hostile]: { from: hostile } } }),
    );
    await writeFile(join(folder, 'aiot.yaml'), JSON.stringify({ name: hostile, [hostile]: hostile }));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  it.each([
    ['data', 'drift', 'before.csv', 'after.csv'],
    ['data', 'stats', 'before.csv'],
    ['platform', 'logs', '--data', ''],
    ['stream', 'route', 'list', 'routes.yaml'],
    ['config', 'show', '--project', ''],
    ['vision', 'faces', `x${hostile}.png`],
    ['model', 'inspect', `x${hostile}.tflite`],
    ['flash', `x${hostile}.bin`, '--port', `x${hostile}`],
  ])('cannot control the terminal: %s %s', async (...words) => {
    for (const more of [[], ['--json']]) {
      const args = words.map((word) => (/^$|\.(?:csv|yaml|txt)$/.test(word) ? join(folder, word) : word));
      const { stdout, stderr } = await runCli([...args, ...more]);
      const found = obeyed.exec(stdout + stderr);
      expect(found && JSON.stringify(stdout + stderr)).toBeNull();
      expect(stdout + stderr).not.toMatch(/^✗ AIOT_FAKE/m);
      // Otherwise, the text was not printed, and the test would prove nothing.
      expect(stdout + stderr).toContain('pwned');
    }
  });
});

describe('a platform full of untrusted text', () => {
  let folder: string;
  let before: string | undefined;
  let lab: Awaited<ReturnType<typeof hostilePlatform>>;

  beforeAll(async () => {
    const real = await testPlatform();
    const dispatcher = new Agent({ connect: { ca: real.ca } });
    const answer = await request(`${real.platform.urls.http}/openapi.json`, { dispatcher });
    lab = await hostilePlatform((await answer.body.json()) as Description);
    await dispatcher.close();
    await real.stop();
    folder = await mkdtemp(join(tmpdir(), 'aiot-hostile-'));
    before = process.env.AIOT_CONFIG_DIR;
    process.env.AIOT_CONFIG_DIR = folder;
    const context = { url: lab.url, ca: lab.ca, token: 'aiot_x' };
    await writeContexts({ current: 'lab', contexts: { lab: context } });
  });
  afterAll(async () => {
    process.env.AIOT_CONFIG_DIR = before;
    await lab.stop();
    await rm(folder, { recursive: true, force: true });
  });

  /** Runs all commands, and reports each character that a terminal would interpret. */
  async function run(more: string[], judge: (text: string, command: string) => void) {
    for (const command of commands) {
      const { stdout, stderr } = await runCli([...command.split(' '), ...more]);
      const found = obeyed.exec(stdout + stderr);
      expect(
        found && `${command}: ${JSON.stringify(found[0])} in ${JSON.stringify(stdout + stderr)}`,
      ).toBeNull();
      judge(stdout + stderr, command);
    }
  }

  it('cannot control the terminal through the output of commands', { timeout: 60_000 }, async () => {
    let shown = 0;
    const forged: string[] = [];
    await run([], (text, command) => {
      if (text.includes('pwned')) shown++;
      if (/^✗ AIOT_FAKE/m.test(text)) forged.push(command);
    });
    expect(forged).toEqual([]);
    // If these texts were not requested and printed, the test would prove nothing.
    expect([...lab.asked.unknown]).toEqual([]);
    expect(shown).toBeGreaterThan(15);
  });

  it('cannot control the terminal under --json, where each line is valid JSON', {
    timeout: 60_000,
  }, async () => {
    await run(['--json'], (text, command) => {
      // The number of events is printed on a separate line.
      const lines = text
        .trim()
        .split('\n')
        .filter((line) => line !== '1 event');
      for (const line of lines) expect(() => JSON.parse(line), command).not.toThrow();
    });
  });

  it('cannot control the terminal through its error messages', { timeout: 60_000 }, async () => {
    lab.refuse(true);
    await run([], (text) => expect(text).not.toMatch(/^✗ AIOT_FAKE/m));
    lab.refuse(false);
  });
});
