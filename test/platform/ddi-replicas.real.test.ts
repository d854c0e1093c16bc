import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startPlatform } from '../../src/lib/platform/start.js';
import { type Engine, openEngine } from '../../src/lib/platform/store/engine.js';
import { anyBundle, clientOf, type DdiClient, ddiClient, pushBundle, rollOut } from '../support/ddi.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';
import { type Postgres, startPostgres } from '../support/postgres.js';
import { describeReal } from '../support/real.js';
import { rolloutEnd } from '../support/rollout.js';

/** More devices than tasks that lock parts of a turn at the same time. */
const devices = 24;

describeReal('postgres', 'update clients of two platforms with one database', () => {
  let server: Postgres;
  let own: TestPlatform;
  let other: TestPlatform;
  let engine: Engine;
  const endings: (() => Promise<unknown>)[] = [];

  beforeAll(async () => {
    server = await startPostgres();
    const shared = { engines: { database: await server.database() }, secret: 'of a test' };
    own = await testPlatform(shared);
    const folder = await mkdtemp(join(tmpdir(), 'aiot-ddi-'));
    const platform = await startPlatform({ dataDir: folder, httpPort: 0, mqttPort: 0, ...shared });
    other = { ...own, platform, ca: await readFile(platform.ca, 'utf8') };
    engine = await openEngine('', shared.engines.database);
    endings.push(
      () => rm(folder, { recursive: true, force: true }),
      () => platform.stop(),
      () => own.stop(),
      () => engine.close(),
    );
  }, 60_000);
  afterAll(async () => {
    for (const end of endings.toReversed()) await end();
    await server.stop();
  }, 60_000);

  /** Sends the device's requests to both platforms by turns. */
  const pair = (device: DdiClient): DdiClient[] => [device, clientOf(other, device.name, device.secret)];

  it('install one release, each with its own action, while all of them ask at the same time', async () => {
    const clients: DdiClient[][] = [];
    for (let i = 0; i < devices; i++) clients.push(pair(await ddiClient(own, `press-${i}`)));
    const release = await pushBundle(own, 'image', anyBundle());
    const rollout = await rollOut(own, release, `name in (${clients.map(([here]) => here!.name).join()})`);
    const offers = await Promise.all(
      clients.map(([here, there]) =>
        Promise.all([here!.offered(), there!.offered(), here!.offered(), there!.offered()]),
      ),
    );
    for (const ids of offers) expect(new Set(ids).size).toBe(1);
    const ids = offers.map(([id]) => id!);
    expect(new Set(ids).size).toBe(devices);
    expect(Math.min(...ids)).toBeGreaterThan(1000);
    const said = await Promise.all(
      clients.map(async ([here, there], i) => {
        const base = `/deploymentBase/${ids[i]}`;
        await here!.call(base);
        await there!.say(`${base}/feedback`, 'proceeding');
        return here!.say(`${base}/feedback`, 'closed', 'success');
      }),
    );
    expect(new Set(said)).toEqual(new Set([200]));
    expect(await rolloutEnd(own.client, rollout.id)).toMatchObject({ state: 'done' });
    const after = await Promise.all(clients.flat().map((client) => client.offered()));
    expect(new Set(after)).toEqual(new Set([0]));
  });

  it('do not wait for the action of another device', async () => {
    const [slow, quick] = [await ddiClient(own, 'slow'), await ddiClient(own, 'quick')];
    const rollout = await rollOut(
      own,
      await pushBundle(own, 'next', anyBundle('next')),
      'name in (slow,quick)',
    );
    let release = () => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    let isHeld = () => {};
    const holding = new Promise<void>((resolve) => {
      isHeld = resolve;
    });
    const task = engine.turns.parts('ddi')(['slow'], () => {
      isHeld();
      return held;
    });
    await holding;
    let hasAnswered = false;
    const late = slow.offered().then((id) => {
      hasAnswered = true;
      return id;
    });
    const [, there] = pair(quick);
    const id = await there!.offered();
    expect(id).toBeGreaterThan(1000);
    expect(await there!.say(`/deploymentBase/${id}/feedback`, 'closed', 'success')).toBe(200);
    expect(hasAnswered).toBe(false);
    release();
    await task;
    const slowly = await late;
    expect(slowly).toBeGreaterThan(1000);
    expect(await slow.say(`/deploymentBase/${slowly}/feedback`, 'closed', 'success')).toBe(200);
    expect(await rolloutEnd(own.client, rollout.id)).toMatchObject({ state: 'done' });
  });
});
