import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll } from 'vitest';
import { createClient } from '../../src/lib/api/client.js';
import { systemClock } from '../../src/lib/core/time.js';
import { startPlatform } from '../../src/lib/platform/start.js';
import { testPlatform } from '../support/platform.js';
import { type Postgres, startPostgres } from '../support/postgres.js';
import { describeReal } from '../support/real.js';
import { batchesSuite } from './batches-suite.js';

describeReal('postgres', 'batches of devices, on two platforms with one database', () => {
  let server: Postgres;
  const endings: (() => Promise<unknown>)[] = [];
  beforeAll(async () => {
    server = await startPostgres();
  }, 60_000);
  afterAll(async () => {
    for (const end of endings.toReversed()) await end();
    await server.stop();
  }, 60_000);

  batchesSuite(async () => {
    let passed = 0;
    let frozen: number | undefined;
    const shared = {
      engines: { database: await server.database() },
      secret: 'of a test',
      clock: { ...systemClock, now: () => (frozen ?? Date.now()) + passed },
    };
    const own = await testPlatform(shared);
    const folder = await mkdtemp(join(tmpdir(), 'aiot-batches-'));
    const other = await startPlatform({ dataDir: folder, httpPort: 0, mqttPort: 0, ...shared });
    const ca = await readFile(other.ca, 'utf8');
    const client = createClient({ url: other.urls.http, ca, token: own.token });
    endings.push(
      () => rm(folder, { recursive: true, force: true }),
      () => other.stop(),
      () => client.close(),
    );
    return { own, replicas: [client], pass: (ms) => (passed += ms), freeze: () => (frozen = Date.now()) };
  });
});
