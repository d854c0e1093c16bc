import { X509Certificate } from 'node:crypto';
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { keepBrokerFiles } from '../../src/lib/platform/broker/external-files.js';
import { startPlatform } from '../../src/lib/platform/start.js';
import { type Postgres, startPostgres } from '../support/postgres.js';
import { describeReal } from '../support/real.js';

describeReal('postgres', 'the files for a remote broker', () => {
  let postgres: Postgres;
  let dir: string;
  beforeAll(async () => {
    postgres = await startPostgres();
    dir = await mkdtemp(join(tmpdir(), 'aiot-pki-'));
  });
  afterAll(async () => {
    await postgres.stop();
    await rm(dir, { recursive: true, force: true });
  });

  it('are issued by the platform’s only CA, even if they are created before its first start', async () => {
    const database = await postgres.database();
    const secret = 'of-tests';
    const out = join(dir, 'out');
    const kept = await keepBrokerFiles({
      ...{
        out,
        names: ['mqtt.example', '192.0.2.7'],
        engines: { database },
        secret,
        data: join(dir, 'broker'),
      },
    });
    try {
      const platform = await startPlatform({
        ...{ dataDir: join(dir, 'platform'), httpPort: 0, mqttPort: 0, engines: { database }, secret },
      });
      const ca = await readFile(platform.ca, 'utf8');
      await platform.stop();
      expect(await readFile(join(out, 'ca.crt'), 'utf8')).toBe(ca);
      const server = new X509Certificate(await readFile(join(out, 'server.crt')));
      expect(server.checkIssued(new X509Certificate(ca))).toBe(true);
      expect(server.checkHost('mqtt.example')).toBe('mqtt.example');
      expect(server.checkIP('192.0.2.7')).toBe('192.0.2.7');
      expect((await stat(join(out, 'server.key'))).mode & 0o777).toBe(0o600);
      expect(await readFile(join(out, 'devices.crl'), 'utf8')).toContain('BEGIN X509 CRL');
    } finally {
      await kept.close();
    }
  });
});
