import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { deviceSecretSchema } from '../../src/lib/api/contract/devices.js';
import { runCli } from '../support/cli.js';
import { ok, refusal, type UpForTests, upForTests } from '../support/up.js';

let own: UpForTests;
beforeAll(async () => {
  own = await upForTests();
  await runCli(['device', 'provision', 'motor-1', '--type', 'virtual', '--out', `${own.folder}/motor-1`]);
});
afterAll(() => own.stop());

describe('aiot device secret', () => {
  it('creates a secret, shows it once, and removes it', async () => {
    const made = await ok(deviceSecretSchema, ['device', 'secret', 'motor-1']);
    expect(made).toMatchObject({ device: 'motor-1', removed: false });
    expect(made.secret).toMatch(/^[\w-]{32}$/);
    const { stdout } = await runCli(['device', 'history', 'motor-1']);
    expect(stdout).toContain('secret');
    expect(stdout).not.toContain(made.secret);
    expect(await ok(deviceSecretSchema, ['device', 'secret', 'motor-1', '--remove'])).toEqual({
      ...{ device: 'motor-1', secret: null, removed: true },
    });
    const again = await runCli(['device', 'secret', 'motor-1', '--remove']);
    expect(again.stdout).toBe('motor-1 has no secret.\n');
  });

  it('rejects unknown and revoked devices', async () => {
    expect((await refusal(['device', 'secret', 'nobody'])).code).toBe('AIOT_NOT_FOUND');
    await runCli(['device', 'revoke', '--yes', 'motor-1', '--yes']);
    expect((await refusal(['device', 'secret', 'motor-1'])).code).toBe('AIOT_DEVICE_STATE');
  });
});
