import { existsSync } from 'node:fs';
import { mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writeContexts } from '../../src/lib/core/contexts.js';
import { restoredSchema } from '../../src/lib/platform/backup/restore.js';
import { pushTiny } from '../support/bundle.js';
import { runCli } from '../support/cli.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';

let own: TestPlatform;
const before = { ...process.env };

beforeAll(async () => {
  own = await testPlatform();
  process.env.AIOT_CONFIG_DIR = join(own.folder, 'config');
  await mkdir(process.env.AIOT_CONFIG_DIR, { recursive: true });
  const { url } = own.client;
  await writeContexts({
    current: 'here',
    contexts: { here: { url, ca: own.platform.ca, token: own.token } },
  });
  await pushTiny(own.client, own.key);
}, 30_000);
afterAll(async () => {
  process.env = { ...before };
  await own.stop();
});

describe('aiot backup', () => {
  it('creates an owner-only file; restore and restore --check list its contents', async () => {
    const file = join(own.folder, 'platform.tar');
    const secret = join(own.folder, 'passphrase.txt');
    await writeFile(secret, 'words with spaces in them\n');
    const blank = join(own.folder, 'blank.txt');
    await writeFile(blank, `${' '.repeat(12)}\n`);
    const refused = await runCli(['backup', 'create', file, '--passphrase-file', blank, '--json']);
    expect(refused).toMatchObject({ json: { error: { code: 'AIOT_USAGE' } }, code: 2 });
    expect(existsSync(file)).toBe(false);
    const made = await runCli(['backup', 'create', file, '--passphrase-file', secret, '--json']);
    expect(made.code, made.stderr).toBe(0);
    expect(restoredSchema.parse(made.json)).toMatchObject({ file, data: null, models: 1 });
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    process.env.AIOT_BACKUP_PASSPHRASE = 'words with spaces in them';
    const checked = await runCli(['backup', 'restore', file, '--check', '--no-color']);
    expect(checked.code).toBe(0);
    expect(checked.stdout).toContain(`${file} is intact.`);
    expect(checked.stdout).toMatch(/models +1 version/);
    const data = join(own.folder, 'again');
    const restored = await runCli(['backup', 'restore', file, '--data', data, '--json']);
    expect(restored.json).toMatchObject({ data });
    expect((await readFile(join(data, 'pki', 'ca.crt'), 'utf8')).trim()).toBe(own.ca.trim());
    expect((await stat(join(data, 'pki', 'ca.key'))).mode & 0o777).toBe(0o600);
    const taken = await runCli(['backup', 'restore', file, '--data', data, '--json']);
    expect([taken.code, (taken.json as { error: { code: string } }).error.code]).toEqual([
      2,
      'AIOT_FOLDER_NOT_EMPTY',
    ]);
    process.env.AIOT_BACKUP_PASSPHRASE = 'other words with spaces';
    const wrong = await runCli(['backup', 'restore', file, '--check', '--json']);
    expect([wrong.code, (wrong.json as { error: { code: string } }).error.code]).toEqual([
      5,
      'AIOT_BACKUP_PASSPHRASE',
    ]);
    delete process.env.AIOT_BACKUP_PASSPHRASE;
    const none = await runCli(['backup', 'restore', file, '--check', '--json']);
    expect(none.code).toBe(2);
  }, 30_000);
});
