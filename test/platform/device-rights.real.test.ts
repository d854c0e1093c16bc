import { afterAll, beforeAll } from 'vitest';
import { testPlatform } from '../support/platform.js';
import { type Postgres, startPostgres } from '../support/postgres.js';
import { describeReal } from '../support/real.js';
import { deviceRightsSuite } from './device-rights-suite.js';

describeReal('postgres', 'on PostgreSQL', () => {
  let server: Postgres;
  beforeAll(async () => {
    server = await startPostgres();
  }, 60_000);
  afterAll(() => server.stop(), 30_000);

  deviceRightsSuite(async () =>
    testPlatform({ engines: { database: await server.database() }, secret: 'of a test' }),
  );
});
