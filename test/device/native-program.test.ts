import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { simulateNativeGuideBoard } from '../../src/lib/device/guide/native.js';
import { programAt } from '../../src/lib/device/native/build.js';
import { runCli } from '../support/cli.js';

let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'aiot-program-'));
  vi.stubEnv('AIOT_CONFIG_DIR', join(folder, 'config'));
  await mkdir(join(folder, 'dir'));
  const files = {
    plain: '#!/bin/sh\n',
    garbage: 'rm -rf nothing\n',
    empty: '',
    script: '#!/bin/sh\nexit 3\n',
  };
  for (const [name, text] of Object.entries(files)) {
    await writeFile(join(folder, name), text);
    await chmod(join(folder, name), name === 'plain' ? 0o644 : 0o755);
  }
});
afterAll(async () => {
  vi.unstubAllEnvs();
  await rm(folder, { recursive: true });
});

describe('the --program option', () => {
  it.each([
    ['missing', 'AIOT_FILE_NOT_FOUND', /does not exist/],
    ['dir', 'AIOT_FILE_NOT_READABLE', /a folder, not a file/],
    ['plain', 'AIOT_NATIVE_PROGRAM', /plain is not executable/],
    ['garbage', 'AIOT_NATIVE_PROGRAM', /neither a program nor a script/],
    ['empty', 'AIOT_NATIVE_PROGRAM', /neither a program nor a script/],
  ])('is rejected if the file is %s, before a platform is required', async (name, errorCode, text) => {
    const words = ['--program', join(folder, name), '--json'];
    const { stdout, stderr, code } = await runCli(['device', 'simulate', '--native', ...words]);
    expect(code).toBeGreaterThan(0);
    expect(`${stdout}${stderr}`).toContain(errorCode);
    expect(`${stdout}${stderr}`).toMatch(text);
  });

  it('accepts a script', async () => {
    expect(await programAt(join(folder, 'script'))).toBe(join(folder, 'script'));
  });
});

describe('a native board of the guide', () => {
  const places = { devices: 'https://127.0.0.1:1', models: 'https://127.0.0.1:1', ca: 'none' };
  const sensor = { fields: [], rateHz: 1, samples: () => [] };
  const board = (to: string, more = {}) =>
    simulateNativeGuideBoard({
      ...{ id: '1', role: 'level-1' as const, to, places, sensor, program: join(folder, 'script') },
      ...{ onEvent: () => {}, ...more },
    });

  it.each([
    '127.0.0.1:1883',
    'mqtts://127.0.0.1:8883',
    'http://127.0.0.1',
    'mqtt://',
    'mqtt://a b',
    'mqtt://h:99999',
    'mqtt://h:x',
    'mqtt://user:pw@127.0.0.1',
  ])('rejects %s as its broker, and never exposes a password', async (to) => {
    const error = await board(to).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'AIOT_STREAM_URL' });
    expect(String(error)).not.toContain('pw');
  });

  it('identifies services by a certificate, and not by its fingerprint', async () => {
    await expect(
      board('mqtt://127.0.0.1', { places: { ...places, ca: undefined, fingerprint: 'ab' } }),
    ).rejects.toMatchObject({ code: 'AIOT_CONTEXT_KIND' });
  });

  it('reports why its program exited', async () => {
    await expect(board('mqtt://127.0.0.1')).rejects.toMatchObject({
      code: 'AIOT_PROGRAM_FAILED',
      message: expect.stringContaining('exited with code 3'),
    });
  });

  it('is not available for the IoT kit', async () => {
    const { stderr, code } = await runCli(['device', 'simulate', '--native', '--board', 'iot-kit']);
    expect(code).toBe(2);
    expect(stderr).toContain('have no native program');
  });
});
