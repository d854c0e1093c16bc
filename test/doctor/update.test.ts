import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { aiotVersion } from '../../src/lib/core/folders.js';
import { runCli } from '../support/cli.js';

let folder = '';
const path = process.env.PATH;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'aiot-update-'));
});
afterEach(async () => {
  process.env.PATH = path;
  await rm(folder, { recursive: true, force: true });
});

/** Creates an npm that runs this script and records its arguments. */
async function npm(script: string): Promise<void> {
  const program = join(folder, 'npm');
  await writeFile(program, `#!/bin/sh\necho "$@" >>"$(dirname "$0")/asked"\n${script}\n`);
  await chmod(program, 0o755);
  process.env.PATH = [folder, path].join(delimiter);
}

const asked = () => readFile(join(folder, 'asked'), 'utf8').catch(() => '');

describe('aiot version', () => {
  it('does not contact the registry without --check', async () => {
    await npm('echo \'"99.0.0"\'');
    const { code, json } = await runCli(['version', '--json']);
    expect({ code, json }).toMatchObject({
      code: 0,
      json: { version: aiotVersion(), checked: false, latest: null, newer: null },
    });
    expect(await asked()).toBe('');
  });

  it.each([
    ['99.0.0', true],
    [aiotVersion(), false],
    ['0.0.1', false],
  ])('recognizes %s in the registry as newer: %s', async (latest, newer) => {
    await npm(`echo '"${latest}"'`);
    expect(await runCli(['version', '--check', '--json'])).toMatchObject({
      code: 0,
      json: { checked: true, latest, newer, install: 'npm install --global aiot@latest' },
    });
    expect(await asked()).toBe('view aiot@latest version --json\n');
  });

  it.each([
    [
      'echo \'{"error":{"code":"E404","summary":"Not Found"}}\'; exit 1',
      'AIOT_NOT_FOUND',
      'the npm registry has no package named aiot',
    ],
    [
      'echo \'{"error":{"code":"E500","summary":"Internal error"}}\'; exit 1',
      'AIOT_PROGRAM_FAILED',
      'E500: Internal error',
    ],
    ['echo "npm ERR! network" >&2; exit 1', 'AIOT_PROGRAM_FAILED', 'npm ERR! network'],
    ['echo nonsense', 'AIOT_PROGRAM_FAILED', 'its response contains no version'],
    ['exec sleep 20', 'AIOT_TIMEOUT', 'within 0.3 s', '300ms'],
  ])('reports the cause if npm runs %s', async (script, code, message, timeout = '30s') => {
    await npm(script);
    const { json } = await runCli(['version', '--check', '--timeout', timeout, '--json']);
    expect(json).toMatchObject({ error: { code, message: expect.stringContaining(message) } });
  });

  it('reports that npm is missing', async () => {
    process.env.PATH = dirname(folder);
    const { json } = await runCli(['version', '--check', '--json']);
    expect(json).toMatchObject({ error: { code: 'AIOT_PROGRAM_NOT_FOUND' } });
  });
});
