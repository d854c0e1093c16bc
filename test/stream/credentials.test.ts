import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { brokerOptions } from '../../src/lib/cli/flags/brokers.js';
import { credentialNames, withKeptCredentials } from '../../src/lib/stream/credentials.js';
import { parseStreamUrl } from '../../src/lib/stream/url.js';
import { runCli } from '../support/cli.js';

let folder = '';
let before: string | undefined;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'aiot-credentials-'));
  before = process.env.AIOT_CONFIG_DIR;
  process.env.AIOT_CONFIG_DIR = folder;
});
afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
  if (before === undefined) delete process.env.AIOT_CONFIG_DIR;
  else process.env.AIOT_CONFIG_DIR = before;
});
const file = () => join(folder, 'credentials.json');
const secretFile = (text: string) => {
  const path = join(folder, 'secret');
  writeFileSync(path, `${text}\n`);
  return path;
};
const loginAt = (url: string, ...flags: string[]) =>
  runCli(['stream', 'login', url, '--untried', '--json', ...flags]);
const resolved = (url: string, options = {}) => withKeptCredentials(parseStreamUrl(url), options);

describe('an endpoint’s name', () => {
  it.each([
    ['mqtt://Host/a/b', ['mqtt://host:1883']],
    ['mqtts://host', ['mqtts://host:8883']],
    ['nats://host:4223/a.>', ['nats://host:4223']],
    ['kafka://a,b:9093/topic', ['kafka://a:9092', 'kafka://b:9093']],
    ['mqtt://[::1]/a', ['mqtt://[::1]:1883']],
    ['s3://bucket/key', ['s3://bucket']],
    ['file:///x.ndjson', []],
  ])('is derived from %s', (url, names) => {
    expect(credentialNames(parseStreamUrl(url))).toEqual(names);
  });
});

describe('aiot stream login', () => {
  it('stores credentials for the endpoint, readable only by the user, and lists only names', async () => {
    const path = secretFile('s3cret');
    const kept = await loginAt('kafka://host/topic', '--username', 'ana', '--password-file', path);
    expect(kept).toMatchObject({
      code: 0,
      json: { endpoints: [{ endpoint: 'kafka://host:9092', kept: ['password', 'username'] }], tried: false },
    });
    expect(kept.stdout + kept.stderr).not.toContain('s3cret');
    expect(statSync(file()).mode & 0o777).toBe(0o600);
    expect(JSON.parse(readFileSync(file(), 'utf8'))).toEqual({
      endpoints: { 'kafka://host:9092': { username: 'ana', password: 's3cret' } },
    });
    const listed = await runCli(['stream', 'login']);
    expect(listed.stdout).toMatch(/kafka:\/\/host:9092\s+password, username/);
    expect(listed.stdout).not.toContain('s3cret');
  });

  it('uses credentials from the URL', async () => {
    await loginAt('mqtt://ana:p%40ss@host');
    expect(await resolved('mqtt://host:1883/a')).toEqual({ username: 'ana', password: 'p@ss' });
  });

  it.each([
    [['mqtt://host'], 'AIOT_USAGE'],
    [['file:///x', '--username', 'a'], 'AIOT_STREAM_URL'],
    [['aiot://stream', '--username', 'a'], 'AIOT_STREAM_URL'],
  ])('rejects %j', async ([url = '', ...flags], code) => {
    const { stderr, stdout, code: exit } = await loginAt(url, ...flags);
    expect(exit).toBe(2);
    expect(stdout + stderr).toContain(code);
  });

  it('stores nothing if the broker is unreachable', async () => {
    const { code, stderr } = await runCli(['stream', 'login', 'nats://127.0.0.1:1', '--username', 'ana']);
    expect(code).toBe(1);
    expect(stderr).toContain('AIOT_BROKER_UNREACHABLE');
    expect((await runCli(['stream', 'login', '--json'])).json).toEqual({ endpoints: [], tried: false });
  });
});

it('suggests aiot:/// if a topic is in the place of a context', async () => {
  const { code, stderr } = await runCli(['stream', 'tail', 'aiot://shop/+/speed']);
  expect(code).toBe(4);
  expect(stderr).toContain('no context is named shop');
  expect(stderr.replaceAll(/\s+/g, ' ')).toContain('write aiot:///shop/+/speed');
});

describe('aiot stream logout', () => {
  it('removes one endpoint and leaves the others', async () => {
    await loginAt('mqtt://ana:a@one');
    await loginAt('mqtt://ana:b@two');
    expect((await runCli(['stream', 'logout', 'mqtt://one', '--json'])).json).toEqual({
      endpoints: [{ endpoint: 'mqtt://one:1883', kept: ['password', 'username'] }],
      tried: false,
    });
    expect(await resolved('mqtt://one')).toEqual({});
    expect(await resolved('mqtt://two')).toMatchObject({ password: 'b' });
  });

  it('exits with 4 if nothing is stored', async () => {
    const { code, stderr } = await runCli(['stream', 'logout', 'mqtt://nowhere']);
    expect(code).toBe(4);
    expect(stderr).toContain('AIOT_NOT_FOUND');
  });
});

describe('stored credentials', () => {
  beforeEach(async () => {
    await loginAt('mqtts://ana:kept@host', '--token-file', secretFile('t0ken'));
  });

  it('are used if no credentials are given', async () => {
    expect(await resolved('mqtts://host/a', { qos: 1, username: undefined })).toEqual({
      username: 'ana',
      password: 'kept',
      token: 't0ken',
      qos: 1,
    });
  });

  it.each([
    ['the URL', 'mqtts://eve:own@host', {}],
    ['the options', 'mqtts://host', { username: 'eve' }],
    ['a certificate', 'mqtts://host', { cert: 'C', key: 'K' }],
  ])('are overridden entirely by %s', async (_, url, options) => {
    expect(await resolved(url, options)).toEqual(options);
  });

  it('are never sent over the plain scheme or to another port', async () => {
    expect(await resolved('mqtt://host:8883')).toEqual({});
    expect(await resolved('mqtts://host:8884')).toEqual({});
  });

  it('are rejected and not shown if the file is damaged', async () => {
    writeFileSync(file(), JSON.stringify({ endpoints: { 'mqtts://host:8883': { pasword: 's3cret' } } }));
    await expect(resolved('mqtts://host')).rejects.toMatchObject({
      code: 'AIOT_FILE_MALFORMED',
      message: expect.not.stringContaining('s3cret'),
    });
  });
});

describe('the credential flags', () => {
  it('read secrets from files, and leave out flags that are not set', async () => {
    expect(
      await brokerOptions({ username: 'ana', 'password-file': secretFile('s3cret'), sasl: 'scram-sha-256' }),
    ).toEqual({ username: 'ana', password: 's3cret', sasl: 'scram-sha-256' });
  });

  it('reject an invalid .creds file, and a certificate without its key', async () => {
    await expect(brokerOptions({ creds: secretFile('nothing') })).rejects.toMatchObject({
      code: 'AIOT_FILE_MALFORMED',
    });
    await expect(brokerOptions({ cert: 'me.pem' })).rejects.toMatchObject({ code: 'AIOT_USAGE' });
  });
});
