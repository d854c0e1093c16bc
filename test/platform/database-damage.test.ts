import { randomBytes, randomInt } from 'node:crypto';
import { copyFile, mkdtemp, open, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createClient } from '../../src/lib/api/client.js';
import { startPlatform } from '../../src/lib/platform/start.js';
import { openChecked } from '../../src/lib/platform/store/database.js';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { pushTiny } from '../support/bundle.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';

let own: TestPlatform;
let folder: string;
let state: string;
/** A copy of the intact database. */
let whole: string;
let pageBytes: number;
let pages: number[];

beforeAll(async () => {
  own = await testPlatform();
  folder = await mkdtemp(join(tmpdir(), 'aiot-database-'));
  for (const name of ['dev-1', 'dev-2'])
    await provisionDevice({ client: own.client, name, type: 'virtual', out: join(folder, name) });
  await pushTiny(own.client, own.key);
  await own.client.close();
  await own.platform.stop();
  state = join(own.folder, 'data', 'state.db');
  whole = join(folder, 'whole.db');
  await copyFile(state, whole);
  const content = await readFile(state);
  pageBytes = content.readUInt16BE(16);
  const free = content.readUInt32BE(36);
  expect(free).toBe(0);
  pages = Array.from({ length: content.length / pageBytes }, (_, page) => page);
}, 60_000);
afterAll(async () => {
  await rm(own.folder, { recursive: true, force: true });
  await rm(folder, { recursive: true, force: true });
});

async function overwrite(page: number, bytes = randomBytes(pageBytes)): Promise<void> {
  await copyFile(whole, state);
  const file = await open(state, 'r+');
  await file.write(bytes, 0, bytes.length, page * pageBytes);
  await file.close();
}

const start = (checkAtOnce?: number) =>
  startPlatform({ dataDir: join(own.folder, 'data'), httpPort: 0, mqttPort: 0, checkAtOnce });

describe('a database with one overwritten page', () => {
  it('is rejected at startup, whichever page it is, with its path and the next step', async () => {
    const some = [0, ...Array.from({ length: 25 }, () => pages[randomInt(pages.length)] as number)];
    for (const page of some) {
      await overwrite(page);
      const before = await readFile(state);
      await expect(start(), `page ${page}`).rejects.toMatchObject({
        code: 'AIOT_FILE_MALFORMED',
        message: expect.stringContaining(state),
        next: expect.stringContaining('aiot platform verify --repair --from'),
      });
      expect((await readFile(state)).equals(before)).toBe(true);
    }
    await copyFile(whole, state);
    await (await start()).stop();
  }, 120_000);

  it('is readable while it is checked if large, and read-only once damage is found', async () => {
    // The root page of a table that is not read at startup.
    const { default: Database } = await import('libsql');
    const database = new Database(whole);
    const row = database.prepare("SELECT rootpage FROM sqlite_master WHERE name = 'labelEvents'").get();
    database.close();
    await overwrite((row as { rootpage: number }).rootpage - 1);
    const platform = await start(0);
    const client = createClient({ url: platform.urls.http, ca: own.ca, token: own.token });
    try {
      expect((await client.devices.list()).map(({ name }) => name)).toEqual(['dev-1', 'dev-2']);
      await expect.poll(async () => (await client.status()).ready).toBe(false);
      const { warnings } = await client.status();
      expect(warnings).toContainEqual({
        about: 'database',
        message: expect.stringContaining(`the database ${state} is damaged`),
      });
      await expect(client.users.add({ name: 'alice', role: 'viewer' })).rejects.toMatchObject({
        code: 'AIOT_PLATFORM_FAILED',
      });
      expect((await client.devices.list()).length).toBe(2);
    } finally {
      await client.close();
      await platform.stop();
      await copyFile(whole, state);
    }
  }, 60_000);
});

describe('a large, intact database', () => {
  it('rejects writes until it is checked, and accepts them afterward', async () => {
    await copyFile(whole, state);
    const { store, soundness } = await openChecked(state, 0);
    expect(soundness.pending).toBe(true);
    const write = () => store.insertInto('meta').values({ key: 'test', value: '1' }).execute();
    await expect(write()).rejects.toMatchObject({ code: 'AIOT_DATABASE_UNREACHABLE', retryable: true });
    expect(await store.selectFrom('devices').select('name').execute()).toHaveLength(2);
    expect(await soundness.known()).toBe(true);
    await write();
    await store.destroy();
    await copyFile(whole, state);
  });

  it('does not prevent the platform from starting, and resumes normal operation once it is checked', async () => {
    const platform = await start(0);
    const client = createClient({ url: platform.urls.http, ca: own.ca, token: own.token });
    await expect
      .poll(async () => (await client.users.add({ name: 'bob', role: 'viewer' }).catch(() => null))?.name)
      .toBe('bob');
    expect((await client.status()).ready).toBe(true);
    await client.close();
    await platform.stop();
  });
});
