import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it, onTestFinished } from 'vitest';
import { catalogue } from '../../src/lib/core/catalogue.js';
import { AiotError } from '../../src/lib/core/errors.js';
import { formatDuration, parseDuration } from '../../src/lib/core/time.js';
import { root, runCli } from '../support/cli.js';

/** Runs the whole program from source in a separate process. */
function aiot(args: string[], env: Record<string, string> = {}) {
  return spawnSync(process.execPath, [join(root, 'bin', 'dev.js'), ...args], {
    encoding: 'utf8',
    env: { ...process.env, ...env },
  });
}

describe('a command such as aiot error', () => {
  afterEach(() => {
    delete process.env.AIOT_JSON;
  });

  it('prints its result as one line under --json, and nothing else on stdout', async () => {
    const { stdout, code } = await runCli(['error', 'AIOT_BUG', '--json']);
    expect(code).toBe(0);
    expect(stdout.endsWith('}\n')).toBe(true);
    expect(stdout.trimEnd().split('\n')).toHaveLength(1);
    expect(JSON.parse(stdout)).toMatchObject({ code: 'AIOT_BUG', exit: 1, family: 'bug' });
  });

  it('lists all error codes if no code is given', async () => {
    const { json, code } = await runCli(['error', '--json']);
    const codes = (json as { code: string; about: string }[]).map((entry) => entry.code);
    expect(code).toBe(0);
    expect(codes).toEqual(Object.keys(catalogue));
    expect((await runCli(['error'])).stdout).toMatch(/AIOT_BUG +\S/);
  });

  it('refers to the list of codes if no code is similar', async () => {
    expect(await runCli(['error', 'zzz', '--json'])).toMatchObject({
      json: { error: { message: 'unknown error code zzz', next: 'To list all codes, run `aiot error`.' } },
    });
    expect((await runCli(['error', 'AIOT_SERIAL_NOT_FND'])).stderr).toContain(
      'Did you mean AIOT_SERIAL_NOT_FOUND?',
    );
  });

  it('reads flags from their environment variables', async () => {
    process.env.AIOT_JSON = '1';
    const { json } = await runCli(['error', 'AIOT_BUG']);
    expect(json).toMatchObject({ code: 'AIOT_BUG' });
  });

  it.each([
    [
      'an unknown code',
      ['error', 'AIOT_NOTHING'],
      'unknown error code AIOT_NOTHING. Did you mean AIOT_DEPLOY_NOTHING?',
    ],
    [
      'a missing argument',
      ['model', 'verify'],
      'expected MODEL: A .aiot file, a folder written by aiot model pull, or NAME@VERSION',
    ],
    ['an unknown flag', ['error', 'AIOT_BUG', '--nope'], 'unknown flag --nope'],
    [
      'an invalid flag value, without the parser’s own output',
      ['doctor', '--timeout', 'soon'],
      '--timeout: expected a time such as 500ms, 30s, 5m, 2h or 7d; got "soon"',
    ],
    ['a missing required flag', ['model', 'deploy', 'har@1'], 'expected --selector'],
    [
      'a missing required flag with its allowed values',
      ['token', 'create', 'laptop'],
      'expected --role: one of viewer, ci, operator',
    ],
    [
      'a duration too short for the platform, by its flag',
      ['token', 'create', 'laptop', '--role', 'ci', '--expires', '1s'],
      '--expires: expected at least 1m, got "1s"',
    ],
    [
      'a duration too long for the platform, by its flag',
      ['token', 'rotate', 'tok_1', '--grace', '30d'],
      '--grace: expected at most 7d, got "30d"',
    ],
    ...[
      [['device', 'claim', 'pump', '--expires', '91d'], '--expires: expected at most 90d, got "91d"'],
      [['rollout', 'start', '--soak', '91d'], '--soak: expected at most 90d, got "91d"'],
      [['rollout', 'start', '--backoff', '25h'], '--backoff: expected at most 1d, got "25h"'],
      [['rollout', 'plan', '--deadline', '1ms'], '--deadline: expected at least 1s, got "1ms"'],
      [
        ['rollout', 'plan', '--offline-deadline', '1ms'],
        '--offline-deadline: expected at least 1s, got "1ms"',
      ],
      [['rollout', 'plan', '--shadow', '10ms'], '--shadow: expected at least 1s, got "10ms"'],
    ].map(([argv, message]): [string, string[], string] => [
      'a duration out of range',
      argv as string[],
      message as string,
    ]),
    [
      'a flag without the flag it requires',
      ['device', 'simulate', 'x', '--loop'],
      '--loop needs --recording',
    ],
    [
      'mutually exclusive flags',
      ['device', 'simulate', 'x', '--motor', 'healthy', '--recording', 'a.csv'],
      '--motor cannot be combined with --recording',
    ],
    [
      'mutually exclusive flags, one of which has a value with spaces',
      ['alarm', 'create', '--name', 'mute', '--absent', '5m', '--clear', 'x < 1'],
      '--clear cannot be combined with --absent',
    ],
    [
      'a value that is not allowed',
      ['device', 'simulate', 'x', '--motor', 'wild'],
      '--motor: expected one of healthy, bearing, blocked, imbalance, worn; got "wild"',
    ],
    [
      'a flag without its value',
      ['device', 'simulate', 'x', '--motor'],
      '--motor: expected one of healthy, bearing, blocked, imbalance, worn',
    ],
    [
      'an invalid whole number',
      ['data', 'record', '--count', 'many'],
      '--count: expected a whole number, got "many"',
    ],
    [
      'a whole number that is too small',
      ['data', 'record', '--count', '0'],
      '--count: expected at least 1, got "0"',
    ],
    ['one argument too many', ['error', 'AIOT_BUG', 'more'], 'unexpected argument: more'],
  ])('reports %s as one JSON line under --json and exits with 2', async (_what, argv, message) => {
    const { stdout, stderr, json, code } = await runCli([...argv, '--json']);
    expect(stdout.trimEnd().split('\n')).toHaveLength(1);
    expect(Object.keys((json as { error: object }).error)).toEqual(['code', 'message', 'next', 'exit']);
    expect(json).toMatchObject({ error: { code: 'AIOT_USAGE', message, exit: 2 } });
    expect(stderr).toBe('');
    expect(code).toBe(2);
  });

  it('suggests the nearest flag for an unknown one', async () => {
    const { stderr } = await runCli(['data', 'list', '--projct', 'x']);
    expect(stderr).toBe(
      '✗ AIOT_USAGE: unknown flag --projct. Did you mean --project?\n  Try: To see the arguments and flags, add --help.\n',
    );
  });

  it('suggests the nearest flag for --flag=value too, and never repeats the value', async () => {
    const { stderr } = await runCli(['data', 'list', '--projet=s3cret']);
    expect(stderr).toContain('unknown flag --projet. Did you mean --project?');
    expect(stderr).not.toContain('s3cret');
  });

  it('suggests --help for a similar flag', async () => {
    const { stderr } = await runCli(['data', 'list', '--halp']);
    expect(stderr).toContain('unknown flag --halp. Did you mean --help?');
  });

  it('suggests no other value for a single digit', async () => {
    const { stderr } = await runCli(['stream', 'publish', 'mqtt://127.0.0.1:1/t', 'x', '--qos', '3']);
    expect(stderr).toContain('--qos: expected one of 0, 1, 2; got "3"\n');
  });

  it('mentions --yes along with the first missing flag if there is no terminal', async () => {
    const { stderr, code } = await runCli(['trust', 'rotate', '--role', 'targets']);
    expect(code).toBe(2);
    expect(stderr).toContain('expected --root-key');
    expect(stderr).toContain('Also add --yes, because there is no terminal');
    const { stderr: agreed } = await runCli(['trust', 'rotate', '--role', 'targets', '--yes']);
    expect(agreed).not.toContain('Add --yes');
  });

  it('explains exit codes and rejects an unknown one', async () => {
    const { json, code } = await runCli(['error', '6', '--json']);
    expect(code).toBe(0);
    expect(json).toMatchObject({ exit: 6, about: expect.stringContaining('A check or gate failed.') });
    expect((json as { codes: string[] }).codes).toContain('AIOT_ARGO_TEMPLATE');
    expect((await runCli(['error', '0'])).stdout).toMatch(/Exit code 0\n.*Done\./);
    const none = await runCli(['error', '7', '--json']);
    expect(none.json).toMatchObject({ error: { message: '7 is not an exit code of aiot' } });
  });

  it('prints an error as two lines on stderr without --json', async () => {
    const { stdout, stderr } = await runCli(['error', 'AIOT_PROJECT']);
    expect(stdout).toBe('');
    expect(stderr).toBe(
      '✗ AIOT_USAGE: unknown error code AIOT_PROJECT. Did you mean AIOT_PROJECT_INVALID or AIOT_PROJECT_NOT_FOUND?\n  Try: To list all codes, run `aiot error`.\n',
    );
  });
});

describe('the program', () => {
  it('suggests the nearest command for an unknown one, as text and as JSON', () => {
    const people = aiot(['eror', 'AIOT_BUG']);
    expect(people.stderr).toBe('✗ AIOT_USAGE: no such command: eror AIOT_BUG\n  Try: aiot error\n');
    expect(people.status).toBe(2);
    const machine = aiot(['eror', '--json']);
    expect(machine.stdout).toBe(
      '{"error":{"code":"AIOT_USAGE","message":"no such command: eror","next":"aiot error","exit":2}}\n',
    );
    expect(machine.stderr).toBe('');
  });

  it('recognizes a command by its last word, and suggests the intended flag value', () => {
    expect(aiot(['trian']).stderr).toBe('✗ AIOT_USAGE: no such command: trian\n  Try: aiot model train\n');
    expect(aiot(['model', 'trian']).stderr).toBe(
      '✗ AIOT_USAGE: no such command: model trian\n  Try: aiot model train\n',
    );
    const typo = aiot(['modle', 'train']);
    expect([typo.status, typo.stderr]).toEqual([
      2,
      '✗ AIOT_USAGE: no such command: modle train\n  Try: aiot model train\n',
    ]);
    expect(aiot(['oat', 'status', 'x']).stderr).toContain('Try: aiot rollout show\n');
    expect(aiot(['flash', 'app.bin', '--before', 'usb-rest']).stderr).toMatch(
      /^✗ AIOT_USAGE: --before: expected one of .*; got "usb-rest". Did you mean usb-reset\?\n/,
    );
  });

  it.each([
    [['rolout'], 'aiot rollout --help'],
    [['ollout'], 'aiot rollout --help'],
    [['vission'], 'aiot vision --help'],
    [['mp'], 'aiot mcp, aiot up'],
    [['model-train'], 'aiot model train'],
    [['firmware', 'ecrypt', 'app.bin'], 'aiot firmware decrypt, aiot firmware encrypt'],
    [['platform', 'service', 'uinstall'], 'aiot platform service install, aiot platform service uninstall'],
    [['tools', 'burden'], 'aiot tools burden-resistor'],
    [['flash', 'read'], 'aiot board read --help'],
    [['flash', 'veriyf', '--port', 'simulated:esp32'], 'aiot flash verify --help'],
  ])('suggests for %j: %s', (words, next) => {
    const { stdout, status } = aiot([...words, '--json']);
    expect([status, JSON.parse(stdout).error.next]).toEqual([2, next]);
  });

  it('names a mistyped command without its arguments', () => {
    expect(aiot(['model', 'quantise', 'my-pump']).stderr).toContain('no such command: model quantise\n');
    expect(aiot(['model', 'runs', 'lst', 'x']).stderr).toContain('no such command: model runs lst\n');
  });

  it('rejects surplus arguments', () => {
    const { stderr, status } = aiot(['model', 'list', 'har', 'more']);
    expect(stderr).toBe(
      '✗ AIOT_USAGE: unexpected arguments: har, more\n  Try: To see the arguments and flags, run `aiot model list --help`.\n',
    );
    expect(status).toBe(2);
    // Values of flags are not arguments, even of flags that do not exist.
    const { stderr: withFlags } = aiot(['model', 'train', 'rows.csv', '--kind', 'mlp', '--out', 'x']);
    expect(withFlags).toContain('unexpected argument: rows.csv\n');
  });

  it('suggests the flag for a project or a data file that was given as an argument', () => {
    const template = join(root, 'templates', 'har-imu');
    expect(aiot(['model', 'train', template]).stderr).toContain(
      `Try: aiot model train --project ${template}\n`,
    );
    const folder = mkdtempSync(join(tmpdir(), 'aiot-arguments-'));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const file = join(folder, 'rows.csv');
    writeFileSync(file, 'a,b\n1,2\n');
    expect(aiot(['model', 'train', file]).stderr).toContain(`Try: aiot model train --data ${file}\n`);
    // `token list` has no --data.
    expect(aiot(['token', 'list', file]).stderr).toContain('run `aiot token list --help`');
  });

  it('lists the values of a flag in help, even if it has a placeholder', () => {
    const text = aiot(['flash', '--help']).stdout.replaceAll(/\s+/g, ' ');
    for (const values of ['hard-reset, soft-reset', 'default-reset, usb-reset', 'auto, esp32, esp32s2'])
      expect(text).toContain(`Values: ${values}`);
  });

  it('accepts `help COMMAND` and `-h` in place of `--help`', () => {
    const asked = aiot(['error', '--help']);
    expect(asked.stdout).toContain('$ aiot error [CODE] [FLAGS]');
    expect(aiot(['help', 'error']).stdout).toBe(asked.stdout);
    expect(aiot(['error', '-h']).stdout).toBe(asked.stdout);
  });

  it('exits quietly if its output is no longer read', async () => {
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

describe('a duration', () => {
  it.each([
    ['500ms', 500],
    ['30s', 30_000],
    ['1.5m', 90_000],
    ['2h', 7_200_000],
    ['7 d', 604_800_000],
    ['1w', 604_800_000],
  ])('%s is parsed as %d ms', (text, ms) => {
    expect(parseDuration(text)).toBe(ms);
  });

  it.each([
    [500, '500ms'],
    [10_000, '10s'],
    [90_000, '90s'],
    [7_200_000, '2h'],
    [0, '0ms'],
    [604_800_000, '7d'],
  ])('%d ms is formatted as %s', (ms, text) => {
    expect(formatDuration(ms)).toBe(text);
  });

  it.each(['30', '', 'm', '-5s', '5 weeks', '1e3s'])('"%s" is rejected', (text) => {
    expect(() => parseDuration(text)).toThrow(AiotError);
  });
});
