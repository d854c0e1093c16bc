import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createClient } from '../../src/lib/api/client.js';
import { restoreBackup, saveBackup } from '../../src/lib/platform/backup/restore.js';
import { positionKeys } from '../../src/lib/platform/journal/positions.js';
import { startPlatform } from '../../src/lib/platform/start.js';
import { openStore, type Store } from '../../src/lib/platform/store/database.js';
import { openEngine } from '../../src/lib/platform/store/engine.js';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { fakeDevice } from '../support/fake-device.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';
import { type Postgres, startPostgres } from '../support/postgres.js';
import { describeReal } from '../support/real.js';

const passphrase = 'positions in another database';

describeReal('postgres', 'a backup that is restored into another database', () => {
  let own: TestPlatform;
  let folder: string;
  let postgres: Postgres;
  let seq = 0;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'aiot-positions-'));
    [own, postgres] = await Promise.all([testPlatform(), startPostgres()]);
    await provisionDevice({ client: own.client, name: 'dev', type: 'virtual', out: join(folder, 'dev') });
  }, 60_000);
  afterAll(async () => {
    await own.stop();
    await postgres.stop();
    await rm(folder, { recursive: true, force: true });
  });

  async function predict(url: string) {
    const { client } = await fakeDevice(url, join(folder, 'dev'), 'dev');
    const payload = {
      ...{ seq, t: Date.now(), model: { name: 'watch', version: 1 }, window: seq++, label: 'idle' },
      ...{ voted: 'idle', scores: [1], latencyMs: 10 },
    };
    await client.publishAsync('aiot/v1/dev/inference', JSON.stringify(payload), { qos: 1 });
    await client.endAsync();
  }

  const positionsIn = async (store: Store) => {
    const rows = await store.selectFrom('meta').selectAll().execute();
    const of = (key: string) => rows.find((row) => row.key === key)?.value ?? '';
    const { position, until } = JSON.parse(of(positionKeys.history));
    return { history: position, until, drift: of(positionKeys.drift), alarms: of(positionKeys.alarms) };
  };

  /** Starts a platform, which counts at once what has arrived before, and runs a task on it. */
  async function on(
    data: string,
    database: string | undefined,
    task: (client: ReturnType<typeof createClient>, mqtt: string) => Promise<void>,
  ) {
    const engines = database === undefined ? {} : { engines: { database } };
    const begun = Date.now();
    const platform = await startPlatform({ dataDir: data, httpPort: 0, mqttPort: 0, ...engines });
    const client = createClient({ url: platform.urls.http, ca: own.ca, token: own.token });
    const history = () => client.history.predictions({ from: begun - 3_600_000 });
    try {
      await expect
        .poll(async () => (await history()).countedUntil, { timeout: 20_000 })
        .toBeGreaterThan(begun);
      const total = (await history()).buckets.reduce((sum, bucket) => sum + (bucket.total ?? 0), 0);
      await task(client, platform.urls.mqtts);
      return total;
    } finally {
      await client.close();
      await platform.stop();
    }
  }

  it('continues with the messages that follow, and counts each once', async () => {
    const data = join(own.folder, 'data');
    await predict(own.platform.urls.mqtts);
    await predict(own.platform.urls.mqtts);
    await own.client.close();
    await own.platform.stop();
    const first = await openStore(join(data, 'state.db'));
    for (const key of [positionKeys.drift, positionKeys.alarms])
      await first.insertInto('meta').values({ key, value: '1' }).execute();
    await first.destroy();
    const file = join(folder, 'first.tar');
    expect(
      await on(data, undefined, async (client) => void (await saveBackup({ client, file, passphrase }))),
    ).toBe(2);

    const same = join(folder, 'same');
    await restoreBackup({ file, passphrase, data: same });
    const copy = await openStore(join(same, 'state.db'));
    expect(await positionsIn(copy)).toMatchObject({
      history: '2',
      drift: expect.stringMatching(/^[12]$/),
      alarms: '1',
    });
    await copy.destroy();

    const [database, moved] = [await postgres.database(), join(folder, 'moved')];
    await restoreBackup({ file, passphrase, data: moved, engines: { database } });
    const engine = await openEngine('', database);
    const found = await positionsIn(engine.store);
    await engine.close();
    const position = expect.stringMatching(/^\d+:\d+$/);
    expect(found).toEqual({
      history: position,
      until: expect.any(Number),
      drift: position,
      alarms: position,
    });
    expect(new Set([found.history, found.drift, found.alarms]).size).toBe(1);
    expect(await on(moved, database, async (_, mqtt) => predict(mqtt))).toBe(2);
    const back = join(folder, 'back.tar');
    expect(
      await on(
        moved,
        database,
        async (client) => void (await saveBackup({ client, file: back, passphrase })),
      ),
    ).toBe(3);

    const home = join(folder, 'home');
    await restoreBackup({ file: back, passphrase, data: home });
    const last = await openStore(join(home, 'state.db'));
    expect(await positionsIn(last)).toMatchObject({ history: '3', drift: '3', alarms: '3' });
    await last.destroy();
    expect(await on(home, undefined, async (_, mqtt) => predict(mqtt))).toBe(3);
    expect(await on(home, undefined, async () => {})).toBe(4);

    const other = join(folder, 'other');
    const cluster = await postgres.database();
    await restoreBackup({ file: back, passphrase, data: other, engines: { database: cluster } });
    expect(await on(other, cluster, async () => {})).toBe(3);
  }, 120_000);
});
