import { existsSync } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { provisionedDeviceSchema } from '../../src/lib/provision/provision.js';
import { runCli } from '../support/cli.js';
import { ok, type UpForTests, upForTests } from '../support/up.js';

let own: UpForTests;
const at = (name: string) => join(own.folder, name);
const argv = (name: string, folder: string, type = 'virtual') => [
  ...['device', 'provision', name, '--type', type, '--out', at(folder)],
];
const made = (name: string, folder: string, type?: string) =>
  ok(provisionedDeviceSchema, argv(name, folder, type));

/** Returns the error without the test's folder, so that it can be compared as a whole. */
async function refused(args: string[]) {
  const { code, json } = await runCli([...args, '--json']);
  const { error } = json as { error: { code: string; subject: string; message: string; next: string } };
  const plain = (text: string) => text.replaceAll(`${own.folder}/`, '');
  expect(error.code).toBe('AIOT_ALREADY_EXISTS');
  expect(code).toBe(2);
  return { subject: error.subject, message: plain(error.message), next: plain(error.next) };
}

/** Runs the command that an error proposes, in the test's folder. */
async function advised(next: string, command: string, folder: string) {
  expect(next).toContain(`\`${command}\``);
  const words = command.split(' ').slice(1);
  await ok(provisionedDeviceSchema, [...words.slice(0, -1), at(folder)]);
}

beforeAll(async () => {
  own = await upForTests();
});
afterAll(() => own.stop());

describe('a device that is provisioned again', () => {
  it('can reuse its folder, get a new key, or get another name', async () => {
    await made('bench-1', 'bench-1');
    const key = await readFile(at('bench-1/device.key'), 'utf8');
    const error = await refused(argv('bench-1', 'bench-1'));
    expect(error).toEqual({
      subject: 'identity',
      message: 'bench-1 is already registered, and bench-1 contains its identity',
      next: 'Use the folder as it is. For a new key and certificate, run `aiot device rotate bench-1 --out bench-1`. For another device, choose another name and folder.',
    });
    expect(await readFile(at('bench-1/device.key'), 'utf8')).toBe(key);
    expect(await refused(argv('bench-9', 'bench-1'))).toEqual({
      subject: 'identity',
      message: 'bench-1 already contains the identity of bench-1',
      next: 'Choose another folder with `aiot device provision bench-9 --out DIR`.',
    });
    await advised(error.next, 'aiot device rotate bench-1 --out bench-1', 'bench-1');
    expect(await readFile(at('bench-1/device.key'), 'utf8')).not.toBe(key);
  });

  it('is created with a caution if its type is new and similar to a known one', async () => {
    const caution = async (name: string, type: string, ...more: string[]) => {
      const { code, stderr } = await runCli([...argv(name, name, type), ...more]);
      expect(code, stderr).toBe(0);
      return stderr.split('\n').find((line) => line.startsWith('! The type'));
    };
    expect(await caution('slip-1', 'vitual')).toBe('! The type vitual is new. Did you mean virtual?');
    // From now on, the type is in use.
    expect(await caution('slip-2', 'vitual')).toBeUndefined();
    expect(await caution('slip-3', 'gateway')).toBeUndefined();
    expect(await caution('slip-4', 'gatewya')).toBe('! The type gatewya is new. Did you mean gateway?');
    // Different digits are usually intentional, and so is a type that is given with --chip.
    await caution('slip-5', 'press-1');
    expect(await caution('slip-6', 'press-2')).toBeUndefined();
    expect(await caution('slip-7', 'esp32x', '--chip', 'esp32')).toBeUndefined();
  });

  it('gets a new key in a new folder if its folder is lost', async () => {
    await made('bench-2', 'bench-2');
    await rm(at('bench-2'), { recursive: true });
    const error = await refused(argv('bench-2', 'bench-2'));
    expect(error).toEqual({
      subject: 'device',
      message: 'the device bench-2 is already registered',
      next: 'Use the identity that was made for it. If that is lost, run `aiot device rotate bench-2 --out DIR`. To start over, run `aiot device revoke bench-2`, then repeat the command. For another device, choose another name.',
    });
    expect(existsSync(at('bench-2'))).toBe(false);
    await advised(error.next, 'aiot device rotate bench-2 --out DIR', 'bench-2');
    expect(existsSync(at('bench-2/device.json'))).toBe(true);
  });

  it('is replaced if it is a chip and its image is lost', async () => {
    await made('pump-7', 'pump-7', 'esp32');
    const error = await refused(argv('pump-7', 'elsewhere', 'esp32'));
    await advised(error.next, 'aiot device replace pump-7 --out DIR', 'elsewhere');
    expect(existsSync(at('elsewhere/nvs.bin'))).toBe(true);
  });

  it('is rejected if the folder’s identity is not the one registered on the platform', async () => {
    const { id } = await made('bench-3', 'bench-3');
    const revoked = await runCli(['device', 'revoke', 'bench-3', '--yes']);
    expect(revoked.code, revoked.stderr).toBe(0);
    const next =
      'If it belongs to another platform, add --context NAME. Otherwise move or delete bench-3, or choose another folder with --out.';
    expect(await refused(argv('bench-3', 'bench-3'))).toEqual({
      subject: 'identity',
      message: `bench-3 contains an identity of bench-3 (${id}), which is not registered on this platform`,
      next,
    });
    const later = await made('bench-3', 'bench-3-again');
    expect(await refused(argv('bench-3', 'bench-3'))).toEqual({
      subject: 'identity',
      message: `bench-3 contains an identity of bench-3 (${id}), which is registered with a newer one (${later.id})`,
      next,
    });
  });
});
