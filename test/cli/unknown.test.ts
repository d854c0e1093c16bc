import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { root } from '../support/cli.js';

/** Runs the whole program from source in a separate process. */
function aiot(args: string[]) {
  return spawnSync(process.execPath, [join(root, 'bin', 'dev.js'), ...args], { encoding: 'utf8' });
}

describe('a command line without a known command', () => {
  it('suggests help unless the unknown word is a near miss, since a guess could make changes', () => {
    expect(aiot(['model', 'delete', 'x']).stderr).toContain('Try: aiot model --help\n');
    expect(aiot(['model', 'depoly', 'x']).stderr).toContain('Try: aiot model deploy\n');
  });

  it.each([
    ['alarm target lst', 'aiot alarm target list'],
    ['alarm tagret list', 'aiot alarm target list'],
    ['firmware nvs crate x', 'aiot firmware nvs create'],
    ['alarm target x', 'aiot alarm target --help'],
    ['rollout status --help', 'aiot rollout --help'],
  ])('suggests for %j: %s', (line, next) => {
    expect(JSON.parse(aiot([...line.split(' '), '--json']).stdout).error.next).toBe(next);
  });

  it.each([
    [[], 'expected a command', 'Run aiot --help to list the commands.'],
    [['stream'], 'expected a command of stream', 'aiot stream --help'],
  ])('rejects %j with one line under --json', (argv, message, next) => {
    const { stdout, stderr, status } = aiot([...argv, '--json']);
    expect(JSON.parse(stdout)).toEqual({ error: { code: 'AIOT_USAGE', message, next, exit: 2 } });
    expect([stderr, status]).toEqual(['', 2]);
  });
});
