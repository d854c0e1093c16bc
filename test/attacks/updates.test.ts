import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Clock } from '../../src/lib/core/time.js';
import { createVirtualDevice } from '../../src/lib/device/virtual/device.js';
import { createFlash } from '../../src/lib/device/virtual/flash.js';
import { flashBytesFor } from '../../src/lib/device/virtual/store.js';
import { signPayload } from '../../src/lib/formats/manifest/envelope.js';
import { type Answer, forged, type Lab, newFlash, openLab, someBytes } from '../support/attacker.js';
import { motionBundle } from '../support/motion-bundle.js';
import { quickClock } from '../support/update.js';
import {
  baseSequence,
  endless,
  expectRefused,
  goodFor,
  Heard,
  twoKeys,
  type UpdateAttack,
  updateAttacks,
} from '../support/update-attacks.js';

let lab: Lab;
/** The operator's key, which also signed releases for another time, device or purpose. */
let operator: string;
beforeAll(async () => {
  lab = await openLab();
  operator = lab.own.key;
});
afterAll(() => lab.close());

const battlefield = { operator: () => operator, mirror: () => lab.origin };
const real = updateAttacks({ ...battlefield, bytesOf: motionBundle });
const made = updateAttacks({ ...battlefield, bytesOf: someBytes });

/** Monotonic time runs a thousand times faster, wall-clock time is real, and sleeps return immediately. */
const fastClock: Clock = {
  now: () => Date.now(),
  monotonic: () => 1000 * performance.now(),
  sleep: async () => {},
};

const identityFor = ({ twoKeys: two }: UpdateAttack) => ({
  ...{ ...lab.identity, urls: { ...lab.identity.urls, http: lab.origin } },
  ...(two ? { trust: twoKeys(operator) } : {}),
});

describe.each(Object.entries(real))('%s', (name, attack) => {
  const { code, off, before = [] } = attack;

  it(`ends with ${code ?? 'nothing new'}, and the previous release still runs and predicts`, async () => {
    const heard = new Heard();
    const device = await createVirtualDevice({
      identity: identityFor(attack),
      clock: attack.slow ? fastClock : quickClock,
      flash: createFlash({ bytes: flashBytesFor(64 * 1024) }),
      onEvent: heard.onEvent,
    });
    try {
      await device.connect();
      await expectRefused(lab, attack, { device, heard }, motionBundle);
      if (name.startsWith('endless')) expect(endless.tookAll).toBe(false);
    } finally {
      await device.stop();
    }
  });

  // No switch disables the checks that stop the other attacks.
  if (off.length === 0) return;
  it(`succeeds if ${off.join(' and ')} is not checked`, async () => {
    const { base: changes, make } = made[name] as UpdateAttack;
    const identity = { trust: identityFor(attack).trust };
    /** Returns the outcome on a device that runs the previous release. */
    const attempt = async (unchecked: readonly (typeof off)[number][]) => {
      const flash = newFlash();
      const base = goodFor(attack, operator, someBytes(5), { sequence: baseSequence, ...changes });
      expect(await lab.attempt({ ...base, flash, identity })).toMatchObject({ state: 'COMMITTED' });
      return lab.attempt({ ...make(base), flash, identity, unchecked });
    };
    expect(await attempt([...before, ...off])).toMatchObject({ state: 'COMMITTED', error: null });
    if (name.startsWith('endless')) expect(endless.tookAll).toBe(true);
    // If several checks stop an attack, each of them is sufficient.
    for (const check of off.length > 1 ? off : []) {
      const others = [...before, ...off.filter((other) => other !== check)];
      expect(await attempt(others)).toMatchObject({ state: 'IDLE' });
    }
  });
});

it('a correctly signed and served release is accepted', async () => {
  expect(await lab.attempt(forged(someBytes(1), operator))).toMatchObject({
    state: 'COMMITTED',
    error: null,
  });
});

it('a payload signed for another purpose is not accepted as a release', async () => {
  const { desired, serve } = forged(someBytes(1), operator);
  const birth: Answer = (res) =>
    void res.end(JSON.stringify(signPayload({ spec: 'aiot-birth/1' }, operator)));
  const reported = await lab.attempt({ desired, serve: { ...serve, [desired.manifest]: birth } });
  expect(reported).toMatchObject({ state: 'IDLE', error: { code: 'AIOT_MANIFEST_MALFORMED' } });
});
