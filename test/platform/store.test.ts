import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Devices } from '../../src/lib/platform/services/devices.js';
import { openStore } from '../../src/lib/platform/store/database.js';
import { migrations } from '../../src/lib/platform/store/schema.js';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'aiot-store-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** A database as the release with so many migrations left it. */
async function databaseOf(version: number): Promise<string> {
  const { default: Database } = await import('libsql');
  const path = join(folder, 'state.db');
  const database = new Database(path);
  database.exec(migrations.slice(0, version).join(';'));
  database.exec(`
    PRAGMA user_version = ${version};
    INSERT INTO devices (name, id, type, state, fingerprint, expires, created, lastSeen, reported, desired)
    VALUES ('old', 'dev_1', 'pi', 'active', 'aa', 4000000000000, 1, 2, NULL, '{"rollout":"ro_1"}'),
           ('gone', 'dev_2', 'pi', 'revoked', 'bb', 4000000000000, 1, NULL, NULL, NULL);
  `);
  database.close();
  return path;
}

describe('the database of an earlier release', () => {
  it('is brought up to date once, with all its devices and their certificates', async () => {
    const path = await databaseOf(2);
    for (let start = 0; start < 2; start++) {
      const store = await openStore(path);
      const devices = await Devices.open(store, () => 1_700_000_000_000);
      expect(devices.authenticated('aa')?.name).toBe('old');
      expect(devices.authenticated('bb')).toBeNull();
      expect(devices.info('old')).toMatchObject({ mac: null, chipId: null, next: null, lastSeen: 2 });
      const rows = await store.selectFrom('devices').select(['name', 'desired']).orderBy('name').execute();
      expect(rows).toEqual([
        { name: 'gone', desired: null },
        { name: 'old', desired: '{"rollout":"ro_1"}' },
      ]);
      await store.destroy();
    }
  });

  it('of a newer release is refused, and left as it is', async () => {
    const path = await databaseOf(2);
    const { default: Database } = await import('libsql');
    const database = new Database(path);
    database.exec(`PRAGMA user_version = ${migrations.length + 1}`);
    database.close();
    await expect(openStore(path)).rejects.toMatchObject({ code: 'AIOT_FILE_MALFORMED' });
  });
});
