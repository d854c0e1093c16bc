import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { keyIdOf, publicKeyOf } from '../../src/lib/core/crypto.js';
import { operatorKey } from '../../src/lib/provision/operator-key.js';
import { trustChangeSchema, trustStatusSchema } from '../../src/lib/provision/trust.js';
import { runCli } from '../support/cli.js';
import { ok, refusal, type UpForTests, upForTests } from '../support/up.js';

let own: UpForTests;
let out: string;
let files: string[];
beforeAll(async () => {
  own = await upForTests();
  out = join(own.folder, 'offline');
});
afterAll(() => own.stop());

const status = () => ok(trustStatusSchema, ['trust', 'status']);
const idOf = async (file: string) => keyIdOf(publicKeyOf(await readFile(file, 'utf8')));
const keysOf = (names: readonly (string | undefined)[]) =>
  names.flatMap((name) => ['--root-key', name ?? '']);

describe('aiot trust', () => {
  it('starts with one key for all roles, and warns about it', async () => {
    const { apart, version, warnings } = await status();
    expect({ apart, version }).toEqual({ apart: false, version: 1 });
    expect(warnings.join()).toContain('One key has all roles');
    expect((await runCli(['trust', 'status'])).stdout).toContain('aiot trust init');
    expect(
      await refusal(['trust', 'rotate', '--yes', '--role', 'targets', '--root-key', own.ca]),
    ).toMatchObject({
      code: 'AIOT_TRUST_CONFLICT',
    });
    expect((await runCli(['trust', 'rotate', '--yes', '--role', 'targets'])).code).toBe(2);
    expect((await runCli(['trust', 'revoke', '--yes', '--key', '12345678'])).code).toBe(2);
  });

  it('separates the keys once', async () => {
    expect(await refusal(['trust', 'init', '--keys', '1', '--threshold', '2', '--out', out])).toMatchObject({
      code: 'AIOT_USAGE',
    });
    const { stdout, code, stderr } = await runCli([
      'trust',
      'init',
      '--keys',
      '3',
      '--threshold',
      '2',
      '--out',
      out,
    ]);
    expect(code, stderr).toBe(0);
    expect(stdout).toContain('Store each of these files in a different place');
    files = (await readdir(out)).map((name) => join(out, name));
    expect(files).toHaveLength(3);
    for (const file of files) expect((await stat(file)).mode & 0o777).toBe(0o600);
    const now = await status();
    expect(now).toMatchObject({ version: 2, apart: true, warnings: [], timestamp: { version: 1 } });
    expect((await runCli(['trust', 'status'])).stdout).not.toContain('aiot trust rotate');
    expect(now.roles.map(({ role, threshold, keyids }) => [role, threshold, keyids.length])).toEqual([
      ['root', 2, 3],
      ['targets', 1, 1],
      ['timestamp', 1, 1],
    ]);
    expect(now.signedBy).toHaveLength(4);
    expect(await refusal(['trust', 'init', '--out', out])).toMatchObject({ code: 'AIOT_TRUST_CONFLICT' });
  });

  it('replaces the signing key only with enough offline keys', async () => {
    const [one, two] = files;
    const before = await operatorKey('local');
    expect(await refusal(['trust', 'rotate', '--yes', '--role', 'targets', ...keysOf([one])])).toMatchObject({
      code: 'AIOT_TRUST_SIGNATURES',
    });
    expect(await operatorKey('local')).toBe(before);
    const changed = await ok(trustChangeSchema, [
      'trust',
      'rotate',
      '--yes',
      '--role',
      'targets',
      ...keysOf([one, two]),
    ]);
    const after = keyIdOf(publicKeyOf(await operatorKey('local')));
    expect(changed).toMatchObject({
      version: 3,
      added: [after],
      removed: [keyIdOf(publicKeyOf(before))],
    });
    expect((await status()).roles[1]?.keyids).toEqual([after]);
  });

  it('revokes a root key while enough remain, and replaces it with a new one', async () => {
    const [one, two, three] = files;
    const lost = await idOf(three ?? '');
    const revoke = ['trust', 'revoke', '--yes', '--key', lost.slice(0, 8), ...keysOf([one, two])];
    expect(await ok(trustChangeSchema, revoke)).toMatchObject({ version: 4, removed: [lost] });
    expect((await status()).warnings.join()).toContain('Every root key is required');
    expect(await refusal(revoke)).toMatchObject({ code: 'AIOT_TRUST_KEY_UNKNOWN' });
    const next = (await idOf(two ?? '')).slice(0, 8);
    const again = ['trust', 'revoke', '--yes', '--key', next, ...keysOf([one, two])];
    expect(await refusal(again)).toMatchObject({ code: 'AIOT_USAGE' });
    const more = join(own.folder, 'more');
    const { files: made } = await ok(trustChangeSchema, [...again, '--out', more]);
    expect(await readdir(more)).toHaveLength(1);
    expect(
      await refusal(['trust', 'rotate', '--yes', '--role', 'root', ...keysOf([one, two])]),
    ).toMatchObject({
      code: 'AIOT_TRUST_KEY_UNKNOWN',
    });
    const renewed = await ok(trustChangeSchema, [
      ...['trust', 'rotate', '--yes', '--role', 'root', '--expires', '10d', ...keysOf([one, made[0]])],
    ]);
    expect(renewed).toMatchObject({ version: 6, added: [], removed: [] });
    expect((await status()).warnings.join()).toContain('within 30 days');
    expect((await runCli(['trust', 'status'])).stdout).toContain('Next: aiot trust rotate --role root');
  });

  it('makes the platform sign timestamps with a new key', async () => {
    const [one] = files;
    const [other] = (await readdir(join(own.folder, 'more'))).map((name) => join(own.folder, 'more', name));
    const { timestamp } = await status();
    const changed = await ok(trustChangeSchema, [
      'trust',
      'rotate',
      '--yes',
      '--role',
      'timestamp',
      ...keysOf([one, other]),
    ]);
    expect(changed.added).toHaveLength(1);
    const now = await status();
    expect(now.roles[2]?.keyids).toEqual(changed.added);
    expect(now.timestamp?.version).toBeGreaterThan(timestamp?.version ?? 0);
  });
});
