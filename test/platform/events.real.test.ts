import { afterAll, beforeAll } from 'vitest';
import { testPlatform } from '../support/platform.js';
import { type Postgres, startPostgres } from '../support/postgres.js';
import { describeReal } from '../support/real.js';
import { eventSuite } from './event-suite.js';

describeReal('postgres', 'events on PostgreSQL', () => {
  let postgres: Postgres;
  beforeAll(async () => {
    postgres = await startPostgres();
  }, 60_000);
  afterAll(() => postgres?.stop());

  eventSuite(async () =>
    testPlatform({ engines: { database: await postgres.database() }, secret: 'of a test' }),
  );
});
