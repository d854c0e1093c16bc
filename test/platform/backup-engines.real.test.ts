import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { createClient, type RegistryClient } from '../../src/lib/api/client.js';
import { digestOf } from '../../src/lib/core/crypto.js';
import { restoreBackup, saveBackup } from '../../src/lib/platform/backup/restore.js';
import { startPlatform } from '../../src/lib/platform/start.js';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { pushTiny } from '../support/bundle.js';
import { sendFew } from '../support/few-messages.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';
import { type Postgres, startPostgres } from '../support/postgres.js';
import { describeReal } from '../support/real.js';
import { type S3Server, startVersitygw } from '../support/s3.js';

const passphrase = 'from one engine to another';

const samples = async (client: RegistryClient) =>
  (await client.datasets.list()).map(({ name, samples }) => [name, samples]);

describeReal('versitygw', 'an S3 bucket for blobs', () => {
  describeReal('postgres', 'with a PostgreSQL database', () => {
    let own: TestPlatform;
    let folder: string;
    let server: S3Server;
    let postgres: Postgres;
    const loose = randomBytes(9_000_000);

    beforeAll(async () => {
      folder = await mkdtemp(join(tmpdir(), 'aiot-move-'));
      [own, server, postgres] = await Promise.all([testPlatform(), startVersitygw(), startPostgres()]);
      vi.stubEnv('AWS_ACCESS_KEY_ID', server.accessKey);
      vi.stubEnv('AWS_SECRET_ACCESS_KEY', server.secretKey);
      await server.makeBucket('blobs');
      await provisionDevice({ client: own.client, name: 'dev', type: 'virtual', out: join(folder, 'dev') });
      await pushTiny(own.client, own.key);
      await own.client.blobs.put(digestOf(loose), loose);
      await sendFew(own.platform.urls.mqtts, join(folder, 'dev'), 1);
    }, 60_000);
    afterAll(async () => {
      vi.unstubAllEnvs();
      await own.stop();
      await Promise.all([server.stop(), postgres.stop()]);
      await rm(folder, { recursive: true, force: true });
    });

    it('restores a backup of local files, and its own backup restores to local files', async () => {
      const file = join(folder, 'first.tar');
      await saveBackup({ client: own.client, file, passphrase });
      const engines = {
        database: await postgres.database(),
        blobs: `s3://blobs/moved?endpoint=${server.url}`,
      };
      const data = join(folder, 'moved');
      await restoreBackup({ file, passphrase, data, engines });
      // Existing data is never overwritten.
      const again = { file, passphrase, data: join(folder, 'again'), engines };
      await expect(restoreBackup(again)).rejects.toMatchObject({ code: 'AIOT_FOLDER_NOT_EMPTY' });
      await expect(
        restoreBackup({ ...again, engines: { database: engines.database } }),
      ).rejects.toMatchObject({ code: 'AIOT_FOLDER_NOT_EMPTY' });

      const moved = await startPlatform({ dataDir: data, httpPort: 0, mqttPort: 0, engines });
      const client = createClient({ url: moved.urls.http, ca: own.ca, token: own.token });
      expect(moved.token).toBeUndefined();
      expect((await (await client.blobs.get(digestOf(loose))).bytes()).equals(loose)).toBe(true);
      expect(await samples(client)).toEqual([['imu', 5]]);
      await sendFew(moved.urls.mqtts, join(folder, 'dev'), 6);
      const second = await pushTiny(client, own.key, { seed: 2 });
      expect(second).toMatchObject({ version: 2, sequence: 2 });
      const back = join(folder, 'back.tar');
      await saveBackup({ client, file: back, passphrase });
      await client.close();
      await moved.stop();

      const home = join(folder, 'home');
      await restoreBackup({ file: back, passphrase, data: home });
      const third = await startPlatform({ dataDir: home, httpPort: 0, mqttPort: 0 });
      const last = createClient({ url: third.urls.http, ca: own.ca, token: own.token });
      expect(await last.models.get('tiny', 2)).toEqual(second);
      expect((await (await last.blobs.get(second.digest)).bytes()).length).toBe(second.bytes);
      expect((await last.devices.list()).map(({ name }) => name)).toEqual(['dev']);
      expect(await samples(last)).toEqual([['imu', 10]]);
      await last.close();
      await third.stop();
    }, 120_000);
  });
});
