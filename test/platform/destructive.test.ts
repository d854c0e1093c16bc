import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as z from 'zod';
import { clientFor, withClient } from '../../src/lib/api/context.js';
import { madeTokenSchema } from '../../src/lib/api/contract/access.js';
import { webhookSecretSchema } from '../../src/lib/api/contract/webhooks.js';
import { readContexts } from '../../src/lib/core/contexts.js';
import { tinyBundle } from '../support/bundle.js';
import { runCli } from '../support/cli.js';
import { ok, refusal, type UpForTests, upForTests } from '../support/up.js';

let own: UpForTests;
let token: string;
let webhook: string;
const done = (...argv: string[]) => ok(z.unknown(), argv);

beforeAll(async () => {
  own = await upForTests();
  await writeFile(join(own.folder, 'tiny.aiot'), tinyBundle());
  await done('model', 'push', join(own.folder, 'tiny.aiot'));
  await done('device', 'claim', 'pump');
  await done('user', 'add', 'alice', '--role', 'viewer');
  token = (await ok(madeTokenSchema, ['token', 'create', 'laptop', '--role', 'ci'])).id;
  const add = ['webhook', 'add', 'https://127.0.0.1:9/', '--allow-private'];
  webhook = (await ok(webhookSecretSchema, add)).webhook.id;
  await done('context', 'add', 'lab', '--url', 'https://lab.example:8443');
}, 60_000);
afterAll(async () => {
  await own.stop();
});

/**
 * Returns the question that a command without --yes would ask. The command must fail, because there is no
 * terminal.
 */
async function question(...argv: string[]): Promise<string> {
  const { code, message, exit } = await refusal(argv);
  expect([code, exit], message).toEqual(['AIOT_USAGE', 2]);
  const plain = await runCli(argv);
  expect(plain.code, 'without --json').toBe(2);
  expect(plain.stderr).toContain('without a terminal, confirm with --yes: this will');
  return message;
}

describe('a destructive command', () => {
  it('lists the losses, and proceeds only with --yes', async () => {
    expect(await question('model', 'remove', 'tiny@1')).toMatch(
      /^with --json, confirm with --yes: this will permanently remove tiny@1 \([\d.,]+ (?:bytes|KiB), pushed 20\d\d-\d\d-\d\d \d\d:\d\d\)$/,
    );
    expect(await question('device', 'revoke', 'pump')).toBe(
      'with --json, confirm with --yes: this will permanently revoke pump, including the certificate',
    );
    expect(await question('device', 'remove', 'pump')).toBe(
      'with --json, confirm with --yes: this will remove pump, with tags and groups',
    );
    expect(await question('token', 'revoke', token)).toBe(
      `with --json, confirm with --yes: this will permanently revoke ${token} (laptop, ci) and close its connections`,
    );
    expect(await question('user', 'remove', 'alice')).toBe(
      'with --json, confirm with --yes: this will permanently remove alice (viewer, 0 tokens) and close all connections of its tokens',
    );
    expect(await question('webhook', 'remove', webhook)).toContain(
      `permanently remove ${webhook} to https://127.0.0.1:9/ and its secret`,
    );
    expect(await question('context', 'remove', 'lab')).toBe(
      'with --json, confirm with --yes: this will remove lab (https://lab.example:8443)',
    );
    expect(await question('context', 'remove', 'local')).toContain('its token, which is stored nowhere else');

    const there = await withClient(undefined, async (client) => ({
      models: (await client.models.list()).map(({ name }) => name),
      devices: (await client.devices.list()).map(({ name, state }) => [name, state]),
      users: (await client.users.list()).map(({ name }) => name),
      tokens: (await client.tokens.list()).flatMap(({ id, state }) => (id === token ? [state] : [])),
      webhooks: (await client.webhooks.list()).map(({ id }) => id),
    }));
    expect(there).toMatchObject({
      models: ['tiny'],
      devices: [['pump', 'registered']],
      users: expect.arrayContaining(['alice']),
      tokens: ['valid'],
      webhooks: [webhook],
    });
    expect(Object.keys((await readContexts()).contexts)).toEqual(['local', 'lab']);

    await done('model', 'remove', 'tiny@1', '--yes');
    await done('device', 'revoke', 'pump', '--yes');
    await done('device', 'remove', 'pump', '--yes');
    await done('token', 'revoke', token, '--yes');
    await done('user', 'remove', 'alice', '--yes');
    await done('webhook', 'remove', webhook, '--yes');
    await done('context', 'remove', 'lab', '--yes');
    const client = await clientFor();
    expect([await client.models.list(), await client.devices.list(), await client.webhooks.list()]).toEqual([
      [],
      [],
      [],
    ]);
    await client.close();
  });

  it('suggests --dry-run if it supports it', async () => {
    const next = async (...argv: string[]) =>
      ((await runCli([...argv, '--json'])).json as { error: { next: string } }).error.next;
    await done('context', 'add', 'shed', '--url', 'https://shed.example');
    expect(await next('context', 'remove', 'shed')).toBe('Repeat the command with --yes.');
    await done('device', 'claim', 'fan');
    expect(await next('device', 'revoke', 'fan')).toBe(
      'Check the changes with --dry-run, then repeat the command with --yes.',
    );
  });

  it('fails before asking if the target does not exist', async () => {
    for (const argv of [
      ['model', 'remove', 'none@1'],
      ['device', 'revoke', 'none'],
      ['token', 'revoke', 'tok_none'],
      ['user', 'remove', 'none'],
      ['webhook', 'remove', 'wh_none'],
      ['context', 'remove', 'none'],
    ])
      expect((await refusal(argv)).exit, argv.join(' ')).toBe(4);
  });

  it('asks before it touches the board or reads keys', async () => {
    expect(await question('board', 'erase', '--port', '/dev/none')).toBe(
      'with --json, confirm with --yes: this will erase the whole flash of the board at /dev/none, including its firmware, keys and stored data',
    );
    expect(await question('board', 'erase', 'nvs', '--port', '/dev/none')).toBe(
      'with --json, confirm with --yes: this will erase nvs of the board at /dev/none',
    );
    const key = ['--root-key', join(own.folder, 'none.pem')];
    expect(existsSync(key[1] ?? '')).toBe(false);
    expect(await question('trust', 'rotate', '--role', 'targets', ...key)).toContain(
      'replace the signing keys. Releases',
    );
    expect(await question('trust', 'rotate', '--role', 'timestamp', ...key)).toContain(
      'replace the timestamp key. The',
    );
    expect(await question('trust', 'rotate', '--role', 'root', '--out', own.folder, ...key)).toContain(
      'replace the root keys. The',
    );
  });
});
