import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { pino } from 'pino';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { digestOf } from '../../src/lib/core/crypto.js';
import { seededRandom } from '../../src/lib/core/numbers.js';
import { modelReference, type SignalState } from '../../src/lib/data/drift/model-reference.js';
import { packBundle, unpackBundle } from '../../src/lib/model/bundle/pack.js';
import { DriftService, driftedDevices, ownDrift } from '../../src/lib/platform/devices/drift.js';
import { openTelemetry } from '../../src/lib/platform/journal/sqlite.js';
import { isAfter, type Telemetry } from '../../src/lib/platform/journal/telemetry.js';
import { openStore, type Store } from '../../src/lib/platform/store/database.js';
import { tinyBundle } from '../support/bundle.js';

const hour = 3_600_000;
const models = new Map<string, Uint8Array>();

/** A bundle whose training data has independent numbers from `from` to `from` + 1. */
function bundle(from: number): string {
  const parts = [1, 2, 3].map((seed) => {
    const random = seededRandom(seed);
    return { label: 'rest', columns: [Float64Array.from({ length: 1000 }, () => from + random())] };
  });
  const parsed = unpackBundle(tinyBundle());
  parsed.lineage.reference = modelReference(['x'], 1, parts)!;
  const bytes = packBundle(parsed);
  const digest = digestOf(bytes);
  models.set(digest, bytes);
  return digest;
}

interface Known {
  id: string;
  name: string;
  reported: { model: { name: string; version: number; digest?: string } };
}

let folder: string;
let store: Store;
let telemetry: Telemetry;
let known: Known[];
let pushed: Record<string, string | null>;
let time: number;
let seq = 0;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'aiot-drift-'));
  store = await openStore(join(folder, 'state.db'));
  telemetry = await openTelemetry({ folder, now: () => time });
  pushed = { 'm@1': bundle(0), 'm@2': bundle(5), 'bare@1': null };
  known = [{ id: 'd0', name: 'p0', reported: { model: { name: 'm', version: 1 } } }];
  time = 1_800_000_000_000;
});
afterEach(async () => {
  await telemetry.close();
  await store.destroy();
  await rm(folder, { recursive: true });
});

function service(database = store): DriftService {
  const bare = tinyBundle();
  const parts = {
    ...{ store: database, telemetry, log: pino({ level: 'silent' }), now: () => time },
    devices: { records: () => known, find: (name: string) => known.find((own) => own.name === name) ?? null },
    models: {
      get: async (name: string, version: number) => ({
        kind: 'model',
        digest: pushed[`${name}@${version}`] ?? 'bare',
      }),
    },
    blobs: { bytes: async (digest: string) => models.get(digest) ?? bare },
  };
  return new DriftService(parts as unknown as ConstructorParameters<typeof DriftService>[0]);
}

async function send(name: string, count = 1, from = 0, stream = 'motion') {
  const random = seededRandom(++seq);
  const x = Array.from({ length: count }, () => from + random());
  await telemetry.append({
    ...{ at: time, device: name, channel: 'telemetry', stream },
    payload: { seq, t: time, rate: 1, x },
  } as Parameters<Telemetry['append']>[0]);
}

const position = async () =>
  (await store.selectFrom('meta').select('value').where('key', '=', 'drift:position').executeTakeFirst())
    ?.value;

/** Runs a service until everything has been stored. */
async function run(database = store): Promise<void> {
  const stop = new AbortController();
  const end = await telemetry.reader.end();
  const own = service(database);
  let failed = false;
  const running = own.worker().run(stop.signal);
  running.catch(() => {
    failed = true;
  });
  const at = () => (own as unknown as { at: string | null }).at;
  await expect.poll(() => failed || at() === end, { timeout: 20_000, interval: 5 }).toBe(true);
  stop.abort();
  await running;
}

async function states(): Promise<(SignalState & { stream: string; device: string })[]> {
  const rows = await store.selectFrom('deviceDrift').selectAll().orderBy('device').execute();
  return rows.map(({ state, stream, device }) => ({ ...(JSON.parse(state) as SignalState), stream, device }));
}

const drifted = async () => [...(await driftedDevices(store)).keys()];

it('counts each message once if the platform dies between two transactions', async () => {
  known = Array.from({ length: 450 }, (_, i) => ({
    ...{ id: `d${i}`, name: `p${i}` },
    reported: { model: { name: 'm', version: 1 } },
  }));
  await run();
  for (let left = 0; left < 4; left++) {
    await Promise.all(known.map(({ name }) => send(name)));
    let transactions = left;
    const dying = new Proxy(store, {
      get(target, key) {
        if (key === 'transaction' && transactions-- === 0) throw new Error('killed');
        const value = Reflect.get(target, key) as unknown;
        return typeof value === 'function' ? value.bind(target) : value;
      },
    });
    await expect(run(dying)).rejects.toThrow('killed');
    await run();
    const samples = new Set((await states()).map((own) => own.samples));
    expect([samples, (await states()).length]).toEqual([new Set([left + 1]), 450]);
  }
}, 60_000);

it('lets others have their turn while it stores many devices', async () => {
  const count = 4000;
  known = Array.from({ length: count }, (_, i) => ({
    ...{ id: `d${i}`, name: `p${i}` },
    reported: { model: { name: 'm', version: 1 } },
  }));
  await run();
  const own = service() as unknown as {
    load(): Promise<void>;
    store(): Promise<void>;
    at: string;
    count(placed: unknown): Promise<void>;
  };
  await own.load();
  for (const { name: device } of known) {
    const entry = { device, channel: 'telemetry', stream: 'motion', at: time, payload: { x: [0.5] } };
    await own.count({ entry, position: '1' });
  }
  let [turns, ended] = [0, false];
  const storing = own.store().then(() => {
    ended = true;
  });
  while (!ended) {
    await nextTurn();
    turns++;
  }
  await storing;
  expect((await states()).length).toBe(count);
  expect(turns).toBeGreaterThanOrEqual(count / 200);
}, 60_000);

it('lets only the service that loaded the counts last store them', async () => {
  await run();
  const older = service() as unknown as { load(): Promise<void>; store(): Promise<void>; at: string };
  await older.load();
  await run();
  await send('p0');
  older.at = await telemetry.reader.end();
  await expect(older.store()).rejects.toThrow('another process counts the telemetry');
});

it('moves the position past messages that change nothing', async () => {
  known.push({ id: 'd1', name: 'other', reported: { model: { name: 'bare', version: 1 } } });
  await run();
  await send('p0');
  await run();
  for (let i = 0; i < 5; i++) await send('other');
  await run();
  expect(await position()).toBe(await telemetry.reader.end());
});

it('forgets devices that were removed, or run another model', async () => {
  known.push({ id: 'd1', name: 'p1', reported: { model: { name: 'm', version: 1 } } });
  await run();
  for (const name of ['p0', 'p1']) for (let i = 0; i < 2; i++) await send(name, 600, 3);
  await run();
  expect(await drifted()).toEqual(['d0', 'd1']);
  known[0]!.reported.model = { name: 'bare', version: 1 };
  expect(ownDrift(known[0] as unknown as Parameters<typeof ownDrift>[0], await driftedDevices(store))).toBe(
    null,
  );
  known.splice(1);
  await run();
  expect([await drifted(), await states()]).toEqual([[], []]);
  expect(await store.selectFrom('driftWindows').selectAll().execute()).toEqual([]);
});

it('compares another stream once the own one is silent for two windows', async () => {
  await run();
  for (let i = 0; i < 2; i++) await send('p0', 600, 3);
  time += hour / 6;
  await send('p0', 5, 0, 'renamed');
  await run();
  expect([(await states())[0]!.stream, await drifted()]).toEqual(['motion', ['d0']]);
  time += hour / 4;
  await send('p0', 5, 0, 'renamed');
  await run();
  expect([(await states())[0]!.stream, await drifted()]).toEqual(['renamed', []]);
});

it('ends drift after a day without a sample', async () => {
  await run();
  for (let i = 0; i < 2; i++) await send('p0', 600, 3);
  time += 23 * hour;
  await run();
  await run();
  expect(await drifted()).toEqual(['d0']);
  time += 2 * hour;
  const stop = new AbortController();
  const running = service().worker().run(stop.signal);
  await expect.poll(drifted, { timeout: 20_000 }).toEqual([]);
  stop.abort();
  await running;
});

it('drops the windows of another model, also if a window closes at once', async () => {
  await run();
  await send('p0', 600);
  await run();
  known[0]!.reported.model = { name: 'm', version: 2 };
  await send('p0', 600, 5);
  await run();
  const windows = await store.selectFrom('driftWindows').select('drifted').execute();
  expect(windows).toEqual([{ drifted: '[]' }]);
});

it('reads the reference anew if a version has other content', async () => {
  const own = service() as unknown as {
    referenceOf(model: object): Promise<{ digest: string } | null>;
  };
  const [first, second] = [pushed['m@1']!, pushed['m@2']!];
  expect((await own.referenceOf({ name: 'm', version: 1, digest: first }))?.digest).toBe(first);
  pushed['m@1'] = second;
  expect((await own.referenceOf({ name: 'm', version: 1, digest: second }))?.digest).toBe(second);
});

it('orders positions of both databases', () => {
  expect([
    isAfter('10', '9'),
    isAfter('9', '10'),
    isAfter('9', '9'),
    isAfter('7:1', '6:9'),
    isAfter('7:9', '7:10'),
  ]).toEqual([true, false, false, true, false]);
});
