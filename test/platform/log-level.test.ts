import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createVirtualDevice } from '../../src/lib/device/virtual/device.js';
import type { VirtualDevice } from '../../src/lib/device/virtual/types.js';
import { runCli } from '../support/cli.js';
import { type FakeDevice, fakeDevice } from '../support/fake-device.js';
import { refusal, type UpForTests, upForTests } from '../support/up.js';

describe('aiot device log-level', () => {
  let own: UpForTests;
  let device: VirtualDevice;
  let old: FakeDevice;
  beforeAll(async () => {
    own = await upForTests();
    for (const name of ['v1', 'old'])
      await runCli(['device', 'provision', name, '--type', 'virtual', '--out', join(own.folder, name)]);
    device = await createVirtualDevice({ identityDir: join(own.folder, 'v1') });
    await device.connect();
    old = await fakeDevice(own.mqtts, join(own.folder, 'old'), 'old');
    await old.report('IDLE');
  }, 60_000);
  afterAll(async () => {
    await device.stop();
    await old.client.endAsync(true);
    await own.stop();
  });
  const set = (...words: string[]) => runCli(['device', 'log-level', ...words, '--json']);
  const level = async (name: string) =>
    ((await runCli(['device', 'show', name, '--json'])).json as { log: unknown }).log;
  const debugLines = async () => {
    const { json } = await runCli(['device', 'logs', '--level', 'debug', '--selector', 'v1', '--json']);
    return (json as { lines: { message: string }[] }).lines.map(({ message }) => message);
  };

  it('sets the level at run time, shows it, and records it in the audit log', async () => {
    await expect.poll(() => level('v1')).toEqual({ level: 'info' });
    await runCli(['device', 'call', 'v1', 'ping']);
    expect(await debugLines()).not.toContain('command ping: done');
    expect(await set('v1', 'debug')).toMatchObject({ code: 0, json: { result: { level: 'debug' } } });
    await expect.poll(() => level('v1')).toEqual({ level: 'debug' });
    expect((await runCli(['device', 'show', 'v1'])).stdout).toMatch(/log level +debug/);
    await runCli(['device', 'call', 'v1', 'ping']);
    await expect.poll(debugLines).toContain('command ping: done');
    await set('error', '--selector', 'name ~ v*');
    await expect.poll(() => level('v1')).toEqual({ level: 'error' });
    const { stdout } = await runCli(['device', 'history', 'v1', '--json']);
    expect(stdout).toContain('"command":"log-level","params":{"level":"error"}');
  });

  it('returns to info by itself after --for, and after a restart', async () => {
    await set('v1', 'debug', '--for', '2s');
    await expect.poll(() => level('v1')).toMatchObject({ level: 'debug', forMs: expect.any(Number) });
    await expect.poll(() => level('v1'), { timeout: 15_000 }).toEqual({ level: 'info' });
    await set('v1', 'warn', '--for', '1h');
    await expect.poll(() => level('v1')).toMatchObject({ level: 'warn' });
    await device.reboot();
    await expect.poll(() => level('v1'), { timeout: 15_000 }).toEqual({ level: 'info' });
  });

  it('rejects unknown levels, and devices without levels, with the next step', async () => {
    expect(await refusal(['device', 'log-level', 'v1', 'debgu'])).toMatchObject({
      ...{ code: 'AIOT_USAGE', exit: 2 },
      message: 'expected the level debug, info, warn, error, got debgu. Did you mean debug?',
    });
    expect(await refusal(['device', 'log-level', 'v1', 'debug', '--for', '8d'])).toMatchObject({ exit: 2 });
    expect(await refusal(['device', 'call', 'v1', 'log-level', '--param', 'level=loud'])).toMatchObject({
      code: 'AIOT_COMMAND_PARAMS',
    });
    const unsupported = await refusal(['device', 'log-level', 'old', 'debug']);
    expect(unsupported).toMatchObject({
      code: 'AIOT_COMMAND_UNKNOWN',
      message: 'old: its firmware does not support log-level',
    });
    expect((await set('debug', '--selector', 'all')).code).toBe(3);
  });
});
