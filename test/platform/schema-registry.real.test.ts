import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll } from 'vitest';
import { startPlatform } from '../../src/lib/platform/start.js';
import { testPlatform } from '../support/platform.js';
import { type Postgres, startPostgres } from '../support/postgres.js';
import { describeReal } from '../support/real.js';
import { schemaRegistrySuite } from './schema-registry-suite.js';

describeReal('postgres', 'the schema registry, on two platforms with one database', () => {
  let server: Postgres;
  const endings: (() => Promise<unknown>)[] = [];
  beforeAll(async () => {
    server = await startPostgres();
  }, 60_000);
  afterAll(async () => {
    for (const end of endings.toReversed()) await end();
    await server.stop();
  }, 60_000);

  schemaRegistrySuite(async () => {
    const shared = { engines: { database: await server.database() }, secret: 'of a test' };
    const own = await testPlatform(shared);
    const folder = await mkdtemp(join(tmpdir(), 'aiot-schemas-'));
    const other = await startPlatform({ dataDir: folder, httpPort: 0, mqttPort: 0, ...shared });
    endings.push(
      () => rm(folder, { recursive: true, force: true }),
      () => other.stop(),
    );
    own.ca += await readFile(other.ca, 'utf8');
    return { own, urls: [own.platform.urls.http, other.urls.http] };
  });
});
