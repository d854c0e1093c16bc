import { spawn, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { catalogue } from '../../src/lib/core/catalogue.js';
import { AiotError } from '../../src/lib/core/errors.js';
import { formatDuration, parseDuration } from '../../src/lib/core/time.js';
import { root, runCli } from '../support/cli.js';

/** The whole program from source, as a process of its own. */
function aiot(args: string[], env: Record<string, string> = {}) {
  return spawnSync(process.execPath, [join(root, 'bin', 'dev.js'), ...args], {
    encoding: 'utf8',
    env: { ...process.env, ...env },
  });
}

describe('a command', () => {
  afterEach(() => {
    delete process.env.AIOT_JSON;
  });

  it('prints its result as one line under --json, and nothing else on stdout', async () => {
    const { stdout, code } = await runCli(['explain', 'AIOT_BUG', '--json']);
    expect(code).toBe(0);
    expect(stdout.endsWith('}\n')).toBe(true);
    expect(stdout.trimEnd().split('\n')).toHaveLength(1);
    expect(JSON.parse(stdout)).toMatchObject({ code: 'AIOT_BUG', exit: 1, family: 'bug' });
  });

  it('lists all codes without one', async () => {
    const { json, code } = await runCli(['explain', '--json']);
    const codes = (json as { code: string; about: string }[]).map((entry) => entry.code);
    expect(code).toBe(0);
    expect(codes).toEqual(Object.keys(catalogue));
    expect((await runCli(['explain'])).stdout).toMatch(/AIOT_BUG +\S/);
  });

  it('names the list where a code is like none', async () => {
    expect(await runCli(['explain', 'zzz', '--json'])).toMatchObject({
      json: { error: { message: 'no error has the code zzz', next: 'aiot explain lists all codes.' } },
    });
  });

  it('takes flags from their environment twins', async () => {
    process.env.AIOT_JSON = '1';
    const { json } = await runCli(['explain', 'AIOT_BUG']);
    expect(json).toMatchObject({ code: 'AIOT_BUG' });
  });

  it.each([
    ['an unknown code', ['explain', 'AIOT_NOTHING'], 'no error has the code AIOT_NOTHING'],
    [
      'a missing argument',
      ['model', 'verify'],
      'expected MODEL: A .aiot file, a folder of a pulled one, or NAME@VERSION',
    ],
    ['an unknown flag', ['explain', 'AIOT_BUG', '--nope'], 'no such flag: --nope'],
    [
      'a flag’s value that does not fit, without the parser’s own lines',
      ['doctor', '--timeout', 'soon'],
      '--timeout: expected a time such as 500ms, 30s, 5m, 2h or 7d; got "soon"',
    ],
    ['a required flag', ['model', 'deploy', 'har@1'], 'expected --to'],
    [
      'a required flag with the values that it takes',
      ['token', 'create', 'laptop'],
      'expected --role: one of viewer, ci, operator',
    ],
    [
      'a time that the platform takes for too short, by the flag',
      ['token', 'create', 'laptop', '--role', 'ci', '--expires', '1s'],
      '--expires: expected at least 1m, got "1s"',
    ],
    [
      'a time that the platform takes for too long, by the flag',
      ['token', 'rotate', 'tok_1', '--grace', '30d'],
      '--grace: expected at most 7d, got "30d"',
    ],
    ...[
      [['device', 'claim', 'pump', '--expires', '91d'], '--expires: expected at most 90d, got "91d"'],
      [['ota', 'start', '--soak', '91d'], '--soak: expected at most 90d, got "91d"'],
      [['ota', 'start', '--backoff', '25h'], '--backoff: expected at most 1d, got "25h"'],
      [['ota', 'plan', '--deadline', '1ms'], '--deadline: expected at least 1s, got "1ms"'],
      [['ota', 'plan', '--offline-deadline', '1ms'], '--offline-deadline: expected at least 1s, got "1ms"'],
      [['ota', 'plan', '--shadow', '10ms'], '--shadow: expected at least 1s, got "10ms"'],
    ].map(([argv, message]): [string, string[], string] => [
      'a time beyond its bounds',
      argv as string[],
      message as string,
    ]),
    ['a flag that needs another', ['device', 'simulate', 'x', '--loop'], '--loop needs --recording'],
    [
      'flags that exclude each other',
      ['device', 'simulate', 'x', '--motor', 'healthy', '--recording', 'a.csv'],
      '--motor does not go with --recording',
    ],
    [
      'a value that is not among those that there are',
      ['device', 'simulate', 'x', '--motor', 'wild'],
      '--motor: expected one of healthy, bearing, blocked, imbalance, worn; got "wild"',
    ],
    [
      'a flag without its value',
      ['device', 'simulate', 'x', '--motor'],
      '--motor: expected one of healthy, bearing, blocked, imbalance, worn',
    ],
    [
      'a whole number that is none',
      ['data', 'record', '--count', 'many'],
      '--count: expected a whole number, got "many"',
    ],
    [
      'a whole number that is too small',
      ['data', 'record', '--count', '0'],
      '--count: expected at least 1, got "0"',
    ],
    ['one argument too many', ['explain', 'AIOT_BUG', 'more'], 'Unexpected argument: more'],
  ])('tells of %s as one JSON line under --json, exit 2', async (_what, argv, message) => {
    const { stdout, stderr, json, code } = await runCli([...argv, '--json']);
    expect(stdout.trimEnd().split('\n')).toHaveLength(1);
    expect(Object.keys((json as { error: object }).error)).toEqual(['code', 'message', 'next', 'exit']);
    expect(json).toMatchObject({ error: { code: 'AIOT_USAGE', message, exit: 2 } });
    expect(stderr).toBe('');
    expect(code).toBe(2);
  });

  it('names the flag nearest to one that does not exist', async () => {
    const { stderr } = await runCli(['data', 'list', '--projct', 'x']);
    expect(stderr).toBe(
      '✗ AIOT_USAGE: no such flag: --projct; did you mean --project?\n  Try: Add --help to the command to see what it takes.\n',
    );
  });

  it('tells of an error in two lines on stderr otherwise', async () => {
    const { stdout, stderr } = await runCli(['explain', 'AIOT_PROJECT']);
    expect(stdout).toBe('');
    expect(stderr).toBe(
      '✗ AIOT_USAGE: no error has the code AIOT_PROJECT\n  Try: aiot explain AIOT_PROJECT_INVALID, or AIOT_PROJECT_NOT_FOUND\n',
    );
  });
});

describe('the program', () => {
  it('names the nearest command for one that does not exist, in both forms', () => {
    const people = aiot(['explian', 'AIOT_BUG']);
    expect(people.stderr).toBe('✗ AIOT_USAGE: no such command: explian AIOT_BUG\n  Try: aiot explain\n');
    expect(people.status).toBe(2);
    const machine = aiot(['explian', '--json']);
    expect(machine.stdout).toBe(
      '{"error":{"code":"AIOT_USAGE","message":"no such command: explian","next":"aiot explain","exit":2}}\n',
    );
    expect(machine.stderr).toBe('');
  });

  it('knows a command by its last word, and the value that was meant', () => {
    expect(aiot(['trian']).stderr).toBe('✗ AIOT_USAGE: no such command: trian\n  Try: aiot model train\n');
    expect(aiot(['model', 'trian']).stderr).toBe(
      '✗ AIOT_USAGE: no such command: model trian\n  Try: aiot model train\n',
    );
    expect(aiot(['flash', 'app.bin', '--before', 'usb-rest']).stderr).toMatch(
      /^✗ AIOT_USAGE: --before: expected one of .*; got "usb-rest"; did you mean usb-reset\?\n/,
    );
  });

  it('tells of arguments that a command without any does not take', () => {
    const { stderr, status } = aiot(['model', 'list', 'har', 'more']);
    expect(stderr).toBe('✗ AIOT_USAGE: Unexpected arguments: har, more\n  Try: aiot model list --help\n');
    expect(status).toBe(2);
  });

  it('lists the values of a flag in help, also where it has a placeholder', () => {
    const text = aiot(['flash', '--help']).stdout.replaceAll(/\s+/g, ' ');
    for (const values of ['hard-reset, soft-reset', 'default-reset, usb-reset', 'auto, esp32, esp32s2'])
      expect(text).toContain(`Values: ${values}`);
  });

  it('takes `help COMMAND` and `-h` for `--help`', () => {
    const asked = aiot(['explain', '--help']);
    expect(asked.stdout).toContain('$ aiot explain [CODE]');
    expect(aiot(['help', 'explain']).stdout).toBe(asked.stdout);
    expect(aiot(['explain', '-h']).stdout).toBe(asked.stdout);
  });

  it('ends quietly when nobody reads its output any more', async () => {
    const child = spawn(process.execPath, [join(root, 'bin', 'dev.js'), '--help']);
    child.stdout.destroy();
    let stderr = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    const code = await new Promise((resolve) => child.on('close', resolve));
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  });
});

describe('a time', () => {
  it.each([
    ['500ms', 500],
    ['30s', 30_000],
    ['1.5m', 90_000],
    ['2h', 7_200_000],
    ['7 d', 604_800_000],
  ])('%s is %d ms', (text, ms) => {
    expect(parseDuration(text)).toBe(ms);
  });

  it.each([
    [500, '500ms'],
    [10_000, '10s'],
    [90_000, '90s'],
    [7_200_000, '2h'],
    [0, '0ms'],
  ])('%d ms is told as %s', (ms, text) => {
    expect(formatDuration(ms)).toBe(text);
  });

  it.each(['30', '', 'm', '-5s', '5 weeks', '1e3s'])('"%s" is refused', (text) => {
    expect(() => parseDuration(text)).toThrow(AiotError);
  });
});
