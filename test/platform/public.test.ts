import { X509Certificate } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { namesOf } from '../../src/lib/cli/flags/platform.js';
import { startPlatform } from '../../src/lib/platform/start.js';
import { loose } from '../deploy/systems.js';
import { runCli } from '../support/cli.js';

describe('a public platform', () => {
  let dir: string;
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'aiot-public-'));
  });
  afterEach(() => rm(dir, { recursive: true, force: true }));
  const options = () => ({ dataDir: dir, httpPort: 0, mqttPort: 0 });

  it('has its public names in its URLs and its certificate', async () => {
    const platform = await startPlatform({ ...options(), names: ['plant.example', '192.0.2.7'] });
    try {
      expect(platform.urls.http).toMatch(/^https:\/\/plant\.example:\d+$/);
      expect(platform.urls.mqtts).toMatch(/^mqtts:\/\/plant\.example:\d+$/);
      const { subjectAltName } = new X509Certificate(await readFile(join(dir, 'pki', 'server.crt')));
      expect(subjectAltName).toContain('DNS:plant.example');
      expect(subjectAltName).toContain('IP Address:192.0.2.7');
    } finally {
      await platform.stop();
    }
  });

  it('creates no token with noToken, unless one is requested', async () => {
    const quiet = await startPlatform({ ...options(), noToken: true });
    await quiet.stop();
    expect(quiet.token).toBeUndefined();
    const asked = await startPlatform({ ...options(), noToken: true, newToken: true });
    await asked.stop();
    expect(asked.token).toMatch(/^\S{20,}$/);
  });

  it('accepts only names and addresses separated by commas', () => {
    expect(namesOf('a.example, 192.0.2.7,fd00::1')).toEqual(['a.example', '192.0.2.7', 'fd00::1']);
    expect(namesOf(undefined)).toBeUndefined();
    expect(() => namesOf('a b')).toThrow('--public');
    expect(() => namesOf('https://a')).toThrow('--public');
  });

  it('cannot export the files for another broker if its database is unreachable', async () => {
    const refused = await runCli([
      ...['platform', 'pki', '--out', dir, '--public', 'mqtt.example', '--json'],
      ...['--database', 'postgres://aiot@127.0.0.1:1/aiot', '--data', join(dir, 'own')],
    ]);
    expect([refused.code, loose(refused.json).error.code]).toEqual([1, 'AIOT_DATABASE_UNREACHABLE']);
  });
});
