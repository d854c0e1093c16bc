import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import * as z from 'zod';
import { statusSchema } from '../../src/lib/api/api.js';
import { madeTokenSchema } from '../../src/lib/api/contract/access.js';
import { contextSchema, readContexts, writeContexts } from '../../src/lib/core/contexts.js';
import { runCli } from '../support/cli.js';
import { ok, refusal, type UpForTests, upForTests } from '../support/up.js';

let own: UpForTests;
let token: string;
let viewer: string;
let home: string | undefined;

beforeAll(async () => {
  own = await upForTests();
  token = contextSchema.parse((await readContexts()).contexts.local).token ?? '';
  viewer = (await ok(madeTokenSchema, ['token', 'create', 'screen', '--role', 'viewer'])).token;
}, 60_000);
afterAll(() => own.stop());

beforeEach(() => {
  home = process.env.AIOT_CONFIG_DIR;
});
afterEach(() => {
  process.env.AIOT_CONFIG_DIR = home;
  for (const name of ['AIOT_URL', 'AIOT_TOKEN', 'AIOT_CA', 'AIOT_MQTT', 'AIOT_CONTEXT'])
    delete process.env[name];
});

/** A user without any context. */
const stranger = () => {
  process.env.AIOT_CONFIG_DIR = join(own.folder, 'stranger');
};
const status = () => ok(statusSchema, ['status']);

describe('AIOT_URL and AIOT_TOKEN', () => {
  it('act as an unnamed context for a user without contexts', async () => {
    stranger();
    expect(await refusal(['status'])).toMatchObject({ code: 'AIOT_CONTEXT_NOT_FOUND' });
    Object.assign(process.env, { AIOT_URL: own.url, AIOT_TOKEN: token, AIOT_CA: own.ca });
    expect(await status()).toMatchObject({ ready: true });
    await ok(z.unknown(), ['device', 'claim', 'pump-1']);
    expect((await runCli(['context', 'list'])).stdout).toContain(`AIOT_URL is set: commands use ${own.url}`);
    expect((await runCli(['config', 'show'])).stdout).toMatch(/^url +https:\S+ +env +AIOT_URL$/m);
    expect((await runCli(['doctor'])).stdout).toMatch(/AIOT_URL +https:\S+ responds and accepts the token/);
  });

  it('take precedence over the current context, but not over a named one', async () => {
    process.env.AIOT_URL = 'https://127.0.0.1:9';
    expect(await refusal(['status'])).toMatchObject({
      code: 'AIOT_PLATFORM_UNREACHABLE',
      message: 'no response from https://127.0.0.1:9 (ECONNREFUSED)',
    });
    await ok(statusSchema, ['status', '--context', 'local']);
    process.env.AIOT_CONTEXT = 'local';
    await status();
  });

  it('inherit missing settings from the context with the same URL', async () => {
    process.env.AIOT_URL = `${own.url}/`;
    await status();
    process.env.AIOT_TOKEN = viewer;
    expect(await refusal(['device', 'claim', 'pump-2'])).toMatchObject({ code: 'AIOT_NOT_ALLOWED' });
  });

  it('replace the current context’s token if no URL is set', async () => {
    process.env.AIOT_TOKEN = viewer;
    expect(await refusal(['device', 'claim', 'pump-2'])).toMatchObject({ code: 'AIOT_NOT_ALLOWED' });
    process.env.AIOT_TOKEN = 'aiot_wrong';
    expect(await refusal(['status'])).toMatchObject({ code: 'AIOT_TOKEN_INVALID' });
  });

  it('are named in the suggested next steps', async () => {
    const next = async (...argv: string[]) =>
      ((await runCli([...argv, '--json'])).json as { error: { message: string; next: string } }).error;
    process.env.AIOT_URL = 'https://127.0.0.1:9';
    expect((await next('status')).next).toBe(
      'AIOT_URL names this platform: unset AIOT_URL to use the current context.',
    );
    process.env.AIOT_URL = '127.0.0.1:9';
    expect((await next('status')).next).toBe('Set AIOT_URL to such a URL, or unset it to use a context.');
    stranger();
    delete process.env.AIOT_URL;
    process.env.AIOT_TOKEN = token;
    expect((await next('status')).next).toBe(
      'AIOT_TOKEN is set, so set AIOT_URL to its platform too. Or use a context. To start a platform, run `aiot up`.',
    );
    process.env.AIOT_URL = own.url;
    expect((await next('status')).next).toBe(
      "Check AIOT_URL, and set AIOT_CA to the file of the platform's CA: DIR/pki/ca.crt of aiot up --data DIR.",
    );
    process.env.AIOT_CA = join(own.folder, 'none.crt');
    expect((await next('status')).message).toBe(`AIOT_CA: the file ${process.env.AIOT_CA} does not exist`);
    process.env.AIOT_CA = own.ca;
    process.env.AIOT_TOKEN = 'aiot_wrong';
    expect((await next('status')).next).toContain(
      'The token is from AIOT_TOKEN: set another one, or unset it.',
    );
    delete process.env.AIOT_TOKEN;
    expect((await next('status')).next).toContain('Set AIOT_TOKEN to a token of this platform');
    delete process.env.AIOT_URL;
    delete process.env.AIOT_CA;
    await ok(z.unknown(), ['context', 'add', 'bare', '--url', own.url, '--ca', own.ca]);
    expect((await next('status')).next).toContain(
      'The context bare has no token: add one with `aiot context add bare --replace --url URL --token-file FILE`.',
    );
    await ok(z.unknown(), ['context', 'remove', 'bare', '--yes']);
  });

  it('are rejected if malformed, without showing a password', async () => {
    process.env.AIOT_URL = 'http://lab.example';
    expect(await refusal(['status'])).toMatchObject({
      code: 'AIOT_USAGE',
      message: 'AIOT_URL: expected a URL such as https://host:port; got http://lab.example',
    });
    process.env.AIOT_URL = 'https://me:hunter2@lab.example';
    expect((await refusal(['status'])).message).not.toContain('hunter2');
  });
});

describe('an unreachable platform', () => {
  it('is named by its context, with how to start it and which other contexts exist', async () => {
    const contexts = await readContexts();
    const gone = join(own.folder, 'gone');
    const ca = join(gone, 'pki', 'ca.crt');
    await writeContexts({
      current: 'bench',
      contexts: { ...contexts.contexts, bench: { url: 'https://127.0.0.1:9', token: 'aiot_x' } },
    });
    expect((await runCli(['status'])).stderr).toContain(
      'The context bench names this platform: choose another with aiot context use local.',
    );
    await writeContexts({
      current: 'bench',
      contexts: { bench: { url: 'https://127.0.0.1:9', token: 'aiot_x' } },
    });
    expect((await runCli(['status'])).stderr).toContain('check its address and that it is running');
    const { mkdir, copyFile } = await import('node:fs/promises');
    await mkdir(join(gone, 'pki'), { recursive: true });
    await copyFile(own.ca, ca);
    await writeContexts({
      current: 'bench',
      contexts: {
        ...contexts.contexts,
        bench: { url: 'https://127.0.0.1:9', mqtt: 'mqtts://127.0.0.1:8884', token: 'aiot_x', ca },
      },
    });
    expect((await runCli(['status'])).stderr.replaceAll(/\s+/g, ' ')).toContain(
      `start it with aiot up --data ${gone} --http-port 9 --mqtt-port 8884, or choose another with aiot context use local.`,
    );
    const down = await runCli(['down', '--data', gone]);
    expect([down.code, down.stderr.replace(/\s+/g, ' ')]).toEqual([
      4,
      expect.stringContaining(
        `no platform is running on ${gone} Try: To stop another platform, run \`aiot down --data ${join(own.folder, 'platform')}\`.`,
      ),
    ]);
    await writeContexts(contexts);
  });
});

describe('aiot context add', () => {
  const add = (...more: string[]) => ['context', 'add', 'lab', '--url', own.url, '--ca', own.ca, ...more];

  it('tests the token before saving the context, unless --no-check is given', async () => {
    stranger();
    process.env.AIOT_TOKEN = 'aiot_wrong';
    expect((await runCli(add())).stderr).toContain('Nothing was saved. Check the token');
    expect(await ok(z.unknown(), ['context', 'list'])).toEqual([]);
    process.env.AIOT_TOKEN = token;
    const untrusted = ['context', 'add', 'lab', '--url', own.url];
    expect(await refusal(untrusted)).toMatchObject({ code: 'AIOT_PLATFORM_UNTRUSTED' });
    const away = ['context', 'add', 'lab', '--url', 'https://127.0.0.1:9'];
    expect((await runCli(away)).stderr).toContain(
      'To save the context without testing its token, add --no-check',
    );
    expect(await ok(z.unknown(), [...away, '--no-check'])).toMatchObject({ token: true });
    await writeFile(join(own.folder, 'token'), token);
    delete process.env.AIOT_TOKEN;
    await ok(z.unknown(), add('--replace', '--use', '--token-file', join(own.folder, 'token')));
    await status();
  });
});

describe('an unknown model', () => {
  it('is rejected with the name of the context, if there are several', async () => {
    const contexts = await readContexts();
    const deploy = ['model', 'deploy', 'my-pump@1', '--selector', 'all'];
    const shown = async () => {
      const { json } = await runCli([...deploy, '--json']);
      return (json as { error: { code: string; message: string; next: string } }).error;
    };
    expect(await shown()).toMatchObject({ code: 'AIOT_NOT_FOUND', message: 'no model is named my-pump' });
    const bench = { url: 'https://127.0.0.1:9', token: 'aiot_x' };
    await writeContexts({ ...contexts, contexts: { ...contexts.contexts, bench } });
    const { code, message, next } = await shown();
    expect([code, message]).toEqual(['AIOT_NOT_FOUND', 'no model is named my-pump on local']);
    expect(next).toMatch(/`aiot model list`.*to see your contexts, run `aiot context list`\.$/);
    await writeContexts(contexts);
  });
});
