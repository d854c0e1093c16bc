import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createClient } from '../../src/lib/api/client.js';
import { readContexts } from '../../src/lib/core/contexts.js';
import { generateKeyPair, publicKeyOf } from '../../src/lib/core/crypto.js';
import { readText } from '../../src/lib/core/files.js';
import { trustRootOf } from '../../src/lib/formats/manifest/envelope.js';
import { startPlatform } from '../../src/lib/platform/start.js';
import type { UpResult } from '../../src/lib/platform/up/options.js';
import { up } from '../../src/lib/platform/up/up.js';
import { runCli } from '../support/cli.js';

let folder: string;
let before: string | undefined;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'aiot-contexts-'));
  before = process.env.AIOT_CONFIG_DIR;
  process.env.AIOT_CONFIG_DIR = join(folder, 'config');
});
afterAll(async () => {
  if (before === undefined) delete process.env.AIOT_CONFIG_DIR;
  else process.env.AIOT_CONFIG_DIR = before;
  await rm(folder, { recursive: true, force: true });
});

const ports = ['--http-port', '0', '--mqtt-port', '0'];

/** Starts the platform in this folder, and stops it again. */
async function started(name: string): Promise<UpResult> {
  const options = { data: join(folder, name), host: '127.0.0.1', httpPort: 0, mqttPort: 0, newToken: false };
  const { result, stop } = await up(options);
  await stop();
  return result;
}

describe('the current context', () => {
  it('belongs to the platform that was started last, and up prints the one it replaced', async () => {
    expect((await started('one')).replaced).toBeUndefined();
    expect(await started('two')).toMatchObject({ context: 'local-2', replaced: 'local' });
    expect((await readContexts()).current).toBe('local-2');
    expect(await started('one')).toMatchObject({ context: 'local', replaced: 'local-2' });
    expect((await readContexts()).current).toBe('local');
    expect((await started('one')).replaced).toBeUndefined();
  });
});

describe('a platform copied to another folder', () => {
  it('keeps the original’s context and token', async () => {
    const was = await started('moved/before');
    await cp(join(folder, 'moved/before'), join(folder, 'moved/after'), { recursive: true });
    const is = await started('moved/after');
    expect(is.context).toBe(was.context);
    const { contexts } = await readContexts();
    expect(contexts[is.context ?? '']).toMatchObject({ ca: is.ca, url: is.urls.http, token: was.token });
  });
});

describe('a platform without a context', () => {
  const data = () => join(folder, 'demo', 'platform');

  /** Leaves the same state as the demo: a token that was not stored, and the demo's own signing key as the trust root. */
  async function leave(): Promise<void> {
    const platform = await startPlatform({ dataDir: data(), httpPort: 0, mqttPort: 0 });
    const ca = await readText(platform.ca);
    const client = createClient({ url: platform.urls.http, ca, token: platform.token });
    await client.trust.put(trustRootOf(publicKeyOf(generateKeyPair().privatePem)));
    await client.close();
    await platform.stop();
  }

  it('starts with instructions for adding a context, which then work', async () => {
    await leave();
    const { stdout, code } = await runCli(['up', '--detach', '--data', data(), ...ports]);
    try {
      expect(code).toBe(0);
      expect(stdout).toContain(
        `aiot down --data ${data()} && aiot up --data ${data()} --http-port 0 --mqtt-port 0 --detach --new-token`,
      );
      expect(stdout).not.toContain('aiot status');
    } finally {
      await runCli(['down', '--data', data()]);
    }
    const known = await runCli(['up', '--detach', '--data', data(), ...ports, '--new-token']);
    try {
      expect(known.stdout, known.stderr).toContain('Switched to the context ');
      expect(known.stdout).toContain(`aiot down --data ${data()}`);
      expect((await runCli(['device', 'list', '--json'])).code).toBe(0);
      expect((await runCli(['model', 'list', '--json'])).code).toBe(0);
    } finally {
      const { stdout } = await runCli(['down', '--data', data()]);
      expect(stdout).toContain(`aiot up --data ${data()} --http-port `);
      expect(stdout).toMatch(/The current context \S+ belongs to it\./);
      expect(stdout).toMatch(/aiot context use \S+/);
    }
  });
});
