import { mkdtemp, readdir, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sql } from 'kysely';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Devices } from '../../src/lib/platform/devices/devices.js';
import { eventsIn } from '../../src/lib/platform/events/events.js';
import { openStore } from '../../src/lib/platform/store/database.js';
import { migrations, requiredMigrations } from '../../src/lib/platform/store/migrations.js';
import { toPostgres } from '../../src/lib/platform/store/postgres-schema.js';
import { rolloutsIn } from './engine-suite.js';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'aiot-store-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const now = () => 1_700_000_000_000;

/** The rows as written by each release: those of the first one, and the additional rows of later ones. */
const rows = [
  `INSERT INTO meta VALUES ('created', '1');
   INSERT INTO tokens VALUES ('${'d'.repeat(64)}', 'operator', 1, 4000000000000);
   INSERT INTO devices (name, id, type, state, fingerprint, expires, created, lastSeen, reported, desired)
   VALUES ('old', 'dev_1', 'pi', 'active', 'aa', 4000000000000, 1, 2, NULL, '{"rollout":"ro_1"}'),
          ('gone', 'dev_2', 'pi', 'revoked', 'bb', 4000000000000, 1, NULL, NULL, NULL);
   INSERT INTO models (name, version, sequence, digest, bytes, pushed, info)
   VALUES ('har', 1, 1, 'sha256:1', 10, 5, '{"format":"aiot-bundle/1"}'),
          ('har', 2, 2, 'sha256:2', 10, 6, '{"format":"aiot-bundle/2"}');
   INSERT INTO manifests VALUES (1, 'har', 1, '{}'), (2, 'har', 2, '{}');
   INSERT INTO rollouts (id, name, version, sequence, selector, state, created, deadline, ended)
   VALUES ('ro_1', 'har', 2, 2, 'all', 'running', 7, 4000000000000, NULL);
   INSERT INTO rolloutDevices (rollout, device, state, step, error, updated)
   VALUES ('ro_1', 'old', 'updating', 'TRIAL', NULL, 8);
   INSERT INTO labels (stream, device, recording, label, given) VALUES ('s', 'old', 'r1', 'idle', 9);`,
  `INSERT INTO audit (at, who, action, subject, detail)
   VALUES (3, 'operator ab', 'model.push', 'har@2', '{"sequence":2}'), (4, 'operator ab', 'model.promote', 'har@2', '{}');
   INSERT INTO doomedBlobs VALUES ('sha256:1');`,
  `INSERT INTO claims (digest, device, created, expires) VALUES ('cc', 'dev_1', 1, 2);
   INSERT INTO births (device, name, stored, envelope) VALUES ('dev_1', 'old', 3, '{}');
   INSERT INTO firmware VALUES ('blink', 1, 1, 'sha256:3', 10, 5, '{}', '{}');`,
];

/** Creates a database as left by the release with `version` migrations. */
async function databaseOf(version: number): Promise<string> {
  const { default: Database } = await import('libsql');
  const path = join(folder, 'state.db');
  const database = new Database(path);
  database.exec(migrations.slice(0, version).join(';'));
  database.exec(`${rows.slice(0, version).join('')} PRAGMA user_version = ${version}`);
  database.close();
  return path;
}

describe('a database from another release', () => {
  it.each([1, 2, 3])('is migrated from schema %i once, with all its data', async (version) => {
    const path = await databaseOf(version);
    for (let start = 0; start < 2; start++) {
      const store = await openStore(path);
      const devices = await Devices.open(store, now, eventsIn(store, now));
      expect(devices.authenticated('aa')?.name).toBe('old');
      expect(devices.authenticated('bb')).toBeNull();
      expect(devices.info('old')).toMatchObject({
        mac: null,
        chipId: null,
        next: null,
        lastSeen: 2,
        tags: {},
      });
      const desired = await store.selectFrom('devices').select(['name', 'desired']).orderBy('name').execute();
      expect(desired).toEqual([
        { name: 'gone', desired: null },
        { name: 'old', desired: '{"rollout":"ro_1"}' },
      ]);
      const token = await store.selectFrom('tokens').selectAll().execute();
      expect(token).toMatchObject([
        { id: `tok_${'d'.repeat(12)}`, digest: 'd'.repeat(64), role: 'operator' },
      ]);
      const models = await store.selectFrom('models').select(['version', 'stage', 'removed']).execute();
      // Bundles of the first format can no longer be read, so they are marked as removed. Versions pushed after that are untouched.
      expect(models).toEqual([
        { version: 1, stage: 'dev', removed: version === 1 ? 5 : null },
        { version: 2, stage: 'dev', removed: null },
      ]);
      const { running } = rolloutsIn({ store });
      expect(await running(new Map())).toMatchObject([
        { head: { id: 'ro_1', waves: [{ devices: 1, counts: { updating: 1 } }] } },
      ]);
      const events = await store.selectFrom('events').selectAll().orderBy('id').execute();
      expect(events.map(({ id, type, subject }) => [id, type, subject])).toEqual(
        version === 1
          ? []
          : [
              [1, 'model.push', 'har@2'],
              [2, 'model.promote', 'har@2'],
            ],
      );
      expect(await store.selectFrom('births').selectAll().execute()).toHaveLength(version === 3 ? 1 : 0);
      expect(await store.selectFrom('firmware').selectAll().execute()).toHaveLength(version === 3 ? 1 : 0);
      await store.destroy();
    }
  });

  it('keeps all that replicas of the previous version use, after the last migration that they need', () => {
    const added =
      /^(--.*|CREATE TABLE \w+ \(|CREATE INDEX |DROP INDEX |ALTER TABLE \w+ ADD COLUMN \w+ \w+$|INSERT INTO retention \(stream, labelled\) SELECT '', 0\n|$)/;
    const statements = migrations
      .slice(requiredMigrations)
      .flatMap((step) => step.split(';').map((statement) => statement.trim()));
    expect(statements.length).toBeGreaterThan(2);
    expect(statements.filter((statement) => !added.test(statement))).toEqual([]);
    expect(added.test('ALTER TABLE calls ADD COLUMN ended INTEGER NOT NULL')).toBe(false);
    expect(added.test('DROP TABLE calls')).toBe(false);
  });

  it.each([1, 2, 3])(
    'keeps log lines of schema %i without limit, but not those of a new one',
    async (version) => {
      const policies = (store: Awaited<ReturnType<typeof openStore>>) =>
        store.selectFrom('retention').selectAll().execute();
      const store = await openStore(await databaseOf(version));
      expect(await policies(store)).toEqual([{ stream: '', days: null, bytes: null, labelled: 0 }]);
      await store.destroy();
      const fresh = await openStore(join(folder, 'new.db'));
      expect(await policies(fresh)).toEqual([]);
      await fresh.destroy();
    },
  );

  it('keeps a limit of log lines that was set before, and has none without devices and events', async () => {
    const { default: Database } = await import('libsql');
    const step = migrations.findIndex((sql) => sql.includes('INSERT INTO retention'));
    const policiesAfter = (rows: string) => {
      const database = new Database(':memory:');
      database.exec(migrations.slice(0, step).join(';'));
      database.exec(rows);
      database.exec(migrations[step] as string);
      const found = database.prepare('SELECT stream, days, bytes FROM retention').all();
      database.close();
      return found;
    };
    const event = "INSERT INTO events (at, type, subject, who, data) VALUES (1, 'x', 'y', 'z', '{}');";
    expect(policiesAfter('')).toEqual([]);
    expect(policiesAfter(event)).toEqual([{ stream: '', days: null, bytes: null }]);
    const set = "INSERT INTO retention (stream, days, bytes, labelled) VALUES ('', 30, NULL, 0);";
    expect(policiesAfter(event + set)).toEqual([{ stream: '', days: 30, bytes: null }]);
  });

  it('is rejected if that release is newer', async () => {
    const path = await databaseOf(2);
    const { default: Database } = await import('libsql');
    const database = new Database(path);
    database.exec(`PRAGMA user_version = ${migrations.length + 1}`);
    database.close();
    await expect(openStore(path)).rejects.toMatchObject({ code: 'AIOT_FILE_MALFORMED' });
  });
});

describe('the database', () => {
  const meta = async (store: Awaited<ReturnType<typeof openStore>>) =>
    (await store.selectFrom('meta').select('key').orderBy('key').execute()).map(({ key }) => key);
  const big = (key: string) => ({ key, value: 'x'.repeat(20_000) });

  it('rejects writes on a full disk, keeps reading, and accepts writes again when there is space', async () => {
    const store = await openStore(join(folder, 'state.db'));
    await store.insertInto('meta').values({ key: 'before', value: '' }).execute();
    const { rows: pages } = await sql<{ page_count: number }>`PRAGMA page_count`.execute(store);
    await sql`PRAGMA max_page_count = ${sql.lit(pages[0]?.page_count ?? 0)}`.execute(store);
    const full = { code: 'AIOT_DISK_FULL', message: expect.stringContaining('state.db') };
    await expect(store.insertInto('meta').values(big('a')).execute()).rejects.toMatchObject(full);
    // The whole transaction is undone, and the connection is available again.
    const both = store.transaction().execute(async (transaction) => {
      await transaction.insertInto('meta').values({ key: 'small', value: '' }).execute();
      await transaction.insertInto('meta').values(big('b')).execute();
    });
    await expect(both).rejects.toMatchObject(full);
    expect(await meta(store)).toEqual(['before']);
    await sql`PRAGMA max_page_count = 1000000`.execute(store);
    await store.insertInto('meta').values(big('after')).execute();
    expect(await meta(store)).toEqual(['after', 'before']);
    await store.destroy();
  });

  it('reports a lock by another program as retryable, and can still be read', async () => {
    const path = join(folder, 'state.db');
    const store = await openStore(path);
    const { default: Database } = await import('libsql');
    const other = new Database(path);
    other.exec('BEGIN IMMEDIATE');
    const refused = store.insertInto('meta').values({ key: 'a', value: '' }).execute();
    await expect(refused).rejects.toMatchObject({ code: 'AIOT_DATABASE_UNREACHABLE', retryable: true });
    expect(await meta(store)).toEqual([]);
    other.exec('COMMIT');
    await store.insertInto('meta').values({ key: 'a', value: '' }).execute();
    other.close();
    await store.destroy();
  });

  it.each([
    ['is not a database', (path: string) => writeFile(path, 'no database at all, but some text')],
    ['is truncated', (path: string) => truncate(path, 5000)],
  ])('is rejected if it %s', async (_, damage) => {
    const path = join(folder, 'state.db');
    const store = await openStore(path);
    // The write-ahead log is emptied first, because it would restore the file.
    await sql`PRAGMA wal_checkpoint(TRUNCATE)`.execute(store);
    await store.destroy();
    await damage(path);
    await expect(openStore(path)).rejects.toMatchObject({
      code: 'AIOT_FILE_MALFORMED',
      message: expect.stringContaining(path),
    });
  });
});

describe('a migration', () => {
  it.each([
    [
      'CREATE TABLE a (id INTEGER PRIMARY KEY, "b c" TEXT) STRICT;',
      'CREATE TABLE "a" ("id" BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, "b c" TEXT COLLATE "C");',
    ],
    [
      'CREATE TABLE a (id INTEGER PRIMARY KEY AUTOINCREMENT, r REAL, b BLOB NOT NULL)\n  STRICT',
      'CREATE TABLE "a" ("id" BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, "r" DOUBLE PRECISION, "b" BYTEA NOT NULL)',
    ],
    [
      "INSERT INTO b SELECT 'it''s INTEGER' || substr(c, 1), CAST(c AS TEXT) FROM a -- of TEXT",
      `INSERT INTO "b" SELECT 'it''s INTEGER' || "substr"("c", 1), CAST("c" AS TEXT) FROM "a" -- of TEXT`,
    ],
    [
      'ALTER TABLE devicesNew ADD COLUMN lastSeen INTEGER NOT NULL DEFAULT 1',
      'ALTER TABLE "devicesNew" ADD COLUMN "lastSeen" BIGINT NOT NULL DEFAULT 1',
    ],
  ])('is translated to PostgreSQL: %s', (sqlite, postgres) => {
    expect(toPostgres(sqlite)).toBe(postgres);
  });
});

describe('a closed store', () => {
  it('is a single file with all written data', async () => {
    const path = join(folder, 'state.db');
    const store = await openStore(path);
    await store.insertInto('meta').values({ key: 'created', value: '7' }).execute();
    expect((await readdir(folder)).sort()).toEqual(['state.db', 'state.db-shm', 'state.db-wal']);
    await store.destroy();
    expect(await readdir(folder)).toEqual(['state.db']);
  });

  it('keeps its log while another program reads it, and loses nothing', async () => {
    const path = join(folder, 'state.db');
    const [store, other] = [await openStore(path), await openStore(path)];
    await store.insertInto('meta').values({ key: 'created', value: '7' }).execute();
    await store.destroy();
    const read = await other.selectFrom('meta').select('value').where('key', '=', 'created').execute();
    expect(read).toEqual([{ value: '7' }]);
    await other.destroy();
  });
});
