import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type DeviceSecrets, secretsIn } from '../../src/lib/platform/access/secrets.js';
import { Devices } from '../../src/lib/platform/devices/devices.js';
import { eventsIn } from '../../src/lib/platform/events/events.js';
import { openStore, type Store } from '../../src/lib/platform/store/database.js';

const now = () => 1_795_000_000_000;
const names = Array.from({ length: 12 }, (_, i) => `d${i}`);
let folder: string;
let store: Store;
/** Nothing has been verified yet. */
let fresh: () => DeviceSecrets;
const right = new Map<string, string>();

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'aiot-secrets-'));
  store = await openStore(join(folder, 'state.db'));
  const events = eventsIn(store, now);
  const devices = await Devices.open(store, now, events);
  for (const name of names)
    await devices.inTurn(() =>
      devices.insert({
        ...{ name, id: `dev_${name}`, type: 'esp32', state: 'active', fingerprint: `fp-${name}` },
        ...{ expires: now() + 1e9, mac: null, chipId: null, created: now() },
      }),
    );
  fresh = () => secretsIn({ store, devices, events, now });
  const secrets = fresh();
  for (const name of names) right.set(name, await secrets.make(name, 'ann'));
});
afterAll(async () => {
  await store?.destroy();
  await rm(folder, { recursive: true, force: true });
});

it('devices of other addresses are verified while one address sends many wrong secrets', async () => {
  const secrets = fresh();
  const flood = Array.from({ length: 400 }, (_, i) =>
    secrets.isRight(names[i % 6] ?? '', `wrong ${i}`, '10.0.0.66', true),
  );
  // These requests arrive when all places are taken.
  await new Promise((resolve) => setTimeout(resolve, 20));
  const others = names.map((name, i) => secrets.isRight(name, right.get(name) ?? '', `10.0.1.${i}`, true));
  expect(await Promise.all(others)).toEqual(names.map(() => true));
  expect(new Set(await Promise.all(flood))).toEqual(new Set([false]));
});

it('devices that wait keep their places when many other addresses arrive', async () => {
  const secrets = fresh();
  const early = names.map((name, i) => secrets.isRight(name, right.get(name) ?? '', `10.0.1.${i}`, true));
  const late = Array.from({ length: 200 }, (_, i) =>
    secrets.isRight(names[i % 6] ?? '', `wrong ${i}`, `10.0.2.${i}`, true),
  );
  expect(await Promise.all(early)).toEqual(names.map(() => true));
  await Promise.all(late);
});
