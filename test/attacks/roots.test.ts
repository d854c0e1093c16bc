import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { DeviceEvent } from '../../src/lib/device/events.js';
import { createVirtualDevice } from '../../src/lib/device/virtual/device.js';
import { trustInMemory } from '../../src/lib/device/virtual/trust.js';
import { forged, json, type Lab, newFlash, openLab, someBytes } from '../support/attacker.js';
import { rootAttacks } from '../support/root-attacks.js';
import { hour, newKey, rootsKit } from '../support/roots-kit.js';
import { anyRuntime } from '../support/update.js';

let lab: Lab;
let operator: string;
beforeAll(async () => {
  lab = await openLab();
  operator = lab.own.key;
});
afterAll(() => lab.close());

const kit = rootsKit(() => operator);
const { one, two, three, thief, rootOf, signed, second, stamp, world } = kit;

const attacks = rootAttacks({ kit, lab: () => lab, operator: () => operator });

describe.each(Object.entries(attacks))('%s', (_, { code, off, make }) => {
  it(`is rejected with ${code}`, async () => {
    expect(await lab.attempt(await make())).toMatchObject({ state: 'IDLE', model: null, error: { code } });
  });

  if (off === null) return;
  it(`succeeds if ${off} is not checked`, async () => {
    const reported = await lab.attempt({ ...(await make()), unchecked: [off] });
    expect(reported).toMatchObject({ state: 'COMMITTED', error: null });
  });
});

it('a device accepts an update that root, timestamp and manifest agree on', async () => {
  expect(await lab.attempt(world({ made: forged(someBytes(1), operator) }))).toMatchObject({
    state: 'COMMITTED',
  });
});

describe('a counter that the thief of a signing key has raised to its maximum (fast-forward)', () => {
  const far = 2 ** 52;
  async function forwarded() {
    const [flash, trustMemory] = [newFlash(), trustInMemory()];
    const made = forged(someBytes(66), operator, { sequence: far, floor: far });
    expect(await lab.attempt({ ...world({ made }), flash, trustMemory })).toMatchObject({
      state: 'COMMITTED',
    });
    return { flash, trustMemory };
  }
  const fresh = newKey();
  const third = () => signed(rootOf({ version: 3, targets: fresh, timestamp: thief }), one, three);

  it('locks out all later updates until a root replaces the key', async () => {
    const { flash, trustMemory } = await forwarded();
    const made = forged(someBytes(1), operator, { sequence: 2 });
    const timestamp = stamp([made.envelope], { version: 2 });
    expect(await lab.attempt({ ...world({ made, timestamp }), flash, trustMemory })).toMatchObject({
      error: { code: 'AIOT_UPDATE_FLOOR' },
    });
    const mended = forged(someBytes(3), fresh, { sequence: 3 });
    const roots = [second(), third()];
    const after = world({ made: mended, roots, timestamp: stamp([mended.envelope], {}, thief) });
    expect(await lab.attempt({ ...after, flash, trustMemory })).toMatchObject({
      ...{ state: 'COMMITTED', floor: 0 },
      model: { sequence: 3 },
    });
  });

  it('does not let the thief use the key after it is replaced', async () => {
    const { flash, trustMemory } = await forwarded();
    const made = forged(someBytes(66), operator, { sequence: far + 1 });
    const attempt = world({ made, roots: [second(), third()], timestamp: stamp([made.envelope], {}, thief) });
    expect(await lab.attempt({ ...attempt, flash, trustMemory })).toMatchObject({
      error: { code: 'AIOT_SIGNATURE_INVALID' },
    });
  });
});

describe('the registry with separate keys', () => {
  it('attests only to published releases, and rejects a root with too few signatures', async () => {
    const { client } = lab.own;
    const { publicKey, keyid } = await client.trust.newTimestampKey();
    const root = rootOf({ version: 2 });
    root.keys[keyid] = { algorithm: 'ecdsa-p256-sha256', publicKey };
    await expect(client.trust.putRoot(signed(root, operator, one, two))).rejects.toMatchObject({
      code: 'AIOT_REQUEST_INVALID',
    });
    root.roles.timestamp = { keyids: [keyid], threshold: 1 };
    await expect(client.trust.putRoot(signed(root, operator, one))).rejects.toMatchObject({
      code: 'AIOT_TRUST_SIGNATURES',
    });
    await client.trust.putRoot(signed(root, operator, one, two));
    // Without the offline keys, an operator's token cannot replace the root.
    const takeover = rootOf({ version: 3, root: [thief], threshold: 1, targets: thief, timestamp: thief });
    await expect(client.trust.putRoot(signed(takeover, operator, thief))).rejects.toMatchObject({
      code: 'AIOT_TRUST_SIGNATURES',
    });
    const { trust } = lab.identity;
    await expect(client.trust.put({ ...trust!, version: 9 })).rejects.toMatchObject({
      code: 'AIOT_TRUST_CONFLICT',
    });

    // The registry serves its own timestamp, which does not list a release that was never pushed.
    const stolen = forged(someBytes(66), operator, { sequence: 1 });
    expect(await lab.attempt(stolen)).toMatchObject({ error: { code: 'AIOT_UPDATE_UNPUBLISHED' } });
    const [first, again] = [await client.trust.timestamp(), await client.trust.timestamp()];
    expect(again).toEqual(first);
    const entries = await client.audit.list('trust');
    expect(JSON.stringify(entries)).toContain('trust.root');
  });

  it('issues timestamps that expire, so that a frozen device warns of the freeze and keeps running', async () => {
    const past = Date.now() + 100 * hour;
    const events: DeviceEvent[] = [];
    const made = forged(someBytes(1), operator);
    const trustMemory = trustInMemory();
    // The device has seen this state before the connection is hijacked.
    await lab.attempt({ ...made, trustMemory });
    const clock = { now: () => past, sleep: async () => {} };
    const kept = await lab.own.client.trust.timestamp();
    lab.serve({ '/api/v1/trust/timestamp': json(kept) });
    const identity = { ...lab.identity, urls: { ...lab.identity.urls, http: lab.origin } };
    const onEvent = (event: DeviceEvent) => events.push(event);
    const device = await createVirtualDevice({ identity, onEvent, clock, trustMemory, runtime: anyRuntime });
    await device.connect();
    await expect
      .poll(() => events.find((event) => event.event === 'log'), { timeout: 10_000 })
      .toMatchObject({ level: 'warn', code: 'AIOT_TIMESTAMP_EXPIRED' });
    expect(device.online).toBe(true);
    await device.stop();
  });
});
