import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createClient } from '../../src/lib/api/client.js';
import { generateKeyPair, publicKeyOf } from '../../src/lib/core/crypto.js';
import { trustRootOf } from '../../src/lib/formats/manifest/envelope.js';
import { startPlatform } from '../../src/lib/platform/start.js';
import { startPostgres } from '../support/postgres.js';
import { describeReal } from '../support/real.js';
import { testLoginSessions } from './login-sessions-suite.js';

describeReal('postgres', 'logins on two replicas', () => {
  testLoginSessions(async () => {
    const server = await startPostgres();
    const database = await server.database();
    const folder = await mkdtemp(join(tmpdir(), 'aiot-sessions-'));
    const start = (name: string) =>
      startPlatform({
        ...{ dataDir: join(folder, name), httpPort: 0, mqttPort: 0, secret: 'shared by both' },
        engines: { database },
      });
    const first = await start('a');
    const second = await start('b');
    const ca = await readFile(first.ca, 'utf8');
    const client = createClient({ url: first.urls.http, ca, token: first.token ?? '' });
    await client.trust.put(trustRootOf(publicKeyOf(generateKeyPair().privatePem)));
    return {
      ...{ first: first.urls.http, second: second.urls.http, client, ca, folder },
      async stop() {
        await client.close();
        await first.stop();
        await second.stop();
        await server.stop();
        await rm(folder, { recursive: true, force: true });
      },
    };
  });
});
