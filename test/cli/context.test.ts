import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import ContextAdd from '../../src/commands/context/add.js';
import ContextList from '../../src/commands/context/list.js';
import { runCli } from '../support/cli.js';

const url = 'https://lab.example:8443';
let folder: string;
let before: string | undefined;

beforeEach(async () => {
  before = process.env.AIOT_CONFIG_DIR;
  folder = await mkdtemp(join(tmpdir(), 'aiot-context-'));
  process.env.AIOT_CONFIG_DIR = join(folder, 'config');
});
afterEach(async () => {
  process.env.AIOT_CONFIG_DIR = before;
  delete process.env.AIOT_TOKEN;
  await rm(folder, { recursive: true, force: true });
});

describe('aiot context', () => {
  it('add makes the first context current and stores its token in a private file', async () => {
    const file = join(folder, 'token.txt');
    await writeFile(file, 's3cret-token\n');
    const { json, stdout, code } = await runCli([
      ...['context', 'add', 'lab', '--url', `${url}/some/path`, '--mqtt', 'mqtts://lab.example:8883'],
      ...['--token-file', file, '--no-check', '--json'],
    ]);
    expect(code).toBe(0);
    expect(ContextAdd.result.parse(json)).toEqual({
      name: 'lab',
      kind: 'platform',
      url,
      mqtt: 'mqtts://lab.example:8883',
      ca: null,
      token: true,
      current: true,
    });
    expect(stdout).not.toContain('s3cret');
    const kept = join(folder, 'config', 'contexts.json');
    expect(JSON.parse(await readFile(kept, 'utf8')).contexts.lab.token).toBe('s3cret-token');
    expect((await stat(kept)).mode & 0o777).toBe(0o600);
    expect((await stat(join(folder, 'config'))).mode & 0o777).toBe(0o700);
  });

  it('add reads the token from AIOT_TOKEN; list never shows it', async () => {
    process.env.AIOT_TOKEN = 's3cret-token';
    await runCli(['context', 'add', 'lab', '--url', url, '--no-check']);
    delete process.env.AIOT_TOKEN;
    await runCli(['context', 'add', 'roof', '--url', 'https://roof.example']);
    const { json, stdout } = await runCli(['context', 'list', '--json']);
    expect(ContextList.result.parse(json)).toMatchObject([
      { name: 'lab', token: true, current: true },
      { name: 'roof', token: false, current: false },
    ]);
    expect(stdout).not.toContain('s3cret');
    expect((await runCli(['context', 'list'])).stdout).toMatch(
      /lab \* +platform +https:\/\/lab.example:8443/,
    );
  });

  it('use switches the current context; removing the current one leaves none', async () => {
    await runCli(['context', 'add', 'lab', '--url', url]);
    await runCli(['context', 'add', 'roof', '--url', 'https://roof.example']);
    expect((await runCli(['context', 'use', 'roof', '--json'])).json).toMatchObject({ current: true });
    expect((await runCli(['context', 'remove', '--yes', 'lab', '--json'])).json).toEqual({
      removed: 'lab',
      current: 'roof',
    });
    expect((await runCli(['context', 'remove', '--yes', 'roof', '--json'])).json).toEqual({
      removed: 'roof',
      current: null,
    });
    expect((await runCli(['context', 'list'])).stdout).toContain('No contexts yet.');
  });

  it('add overwrites a context only with --replace', async () => {
    await runCli(['context', 'add', 'lab', '--url', url]);
    const again = ['context', 'add', 'lab', '--url', 'https://other.example', '--json'];
    expect((await runCli(again)).json).toMatchObject({
      error: { code: 'AIOT_ALREADY_EXISTS', subject: 'context', exit: 2 },
    });
    expect((await runCli([...again, '--replace'])).json).toMatchObject({ url: 'https://other.example' });
  });

  it.each([
    [['use', 'nowhere'], 'AIOT_CONTEXT_NOT_FOUND', 'no context is named nowhere'],
    [['remove', 'nowhere'], 'AIOT_CONTEXT_NOT_FOUND', 'no context is named nowhere'],
    [['use', 'constructor'], 'AIOT_CONTEXT_NOT_FOUND', 'no context is named constructor'],
    [['remove', '__proto__'], 'AIOT_CONTEXT_NOT_FOUND', 'no context is named __proto__'],
    [['add', 'a/b', '--url', url], 'AIOT_USAGE', 'got "a/b"'],
    [['add', 'lab', '--url', 'http://lab.example'], 'AIOT_USAGE', 'expected a URL such as https://host:port'],
    [['add', 'lab', '--url', 'lab'], 'AIOT_USAGE', 'got lab'],
    [['add', 'lab', '--url', url, '--mqtt', 'mqtt://lab'], 'AIOT_USAGE', 'mqtts://host:port'],
    [['add', 'lab', '--url', url, '--ca', '/nowhere.pem'], 'AIOT_FILE_NOT_FOUND', '/nowhere.pem'],
    [['add', 'lab', '--url', url, '--token-file', '/nowhere'], 'AIOT_FILE_NOT_FOUND', '/nowhere'],
    [['add', 'lab'], 'AIOT_USAGE', 'url'],
  ])('%j is rejected with %s', async (argv, code, message) => {
    const { json, code: exit } = await runCli(['context', ...argv, '--json']);
    expect(json).toMatchObject({ error: { code, message: expect.stringContaining(message) } });
    expect(exit).toBe(code.endsWith('NOT_FOUND') ? 4 : 2);
    expect((await runCli(['context', 'list', '--json'])).json).toEqual([]);
  });

  it('never repeats a password in a URL or an invalid token in errors', async () => {
    const bad = await runCli(['context', 'add', 'lab', '--url', 'https://me:hunter2@lab.example']);
    expect(bad.code).toBe(2);
    expect(bad.stderr).not.toContain('hunter2');
    const file = join(folder, 'token.txt');
    await writeFile(file, 'first-half\nsecond-half\n');
    const token = await runCli(['context', 'add', 'lab', '--url', url, '--token-file', file]);
    expect(token.stderr).toContain('expected one word of printable characters; got 2 words');
    expect(token.stderr).not.toContain('half');
  });
});
