import { afterAll, beforeAll, expect, it } from 'vitest';
import { digestOf } from '../../src/lib/core/crypto.js';
import type { DeviceEvent } from '../../src/lib/device/events.js';
import { nativeProgram } from '../../src/lib/device/native/build.js';
import { createNativeDevice } from '../../src/lib/device/native/device.js';
import { forged, type Lab, openLab, raw } from '../support/attacker.js';
import { motionBundle } from '../support/motion-bundle.js';
import { nativeVictims } from '../support/native-victim.js';
import { describeReal } from '../support/real.js';
import { expectRefused, Heard, twoKeys, updateAttacks } from '../support/update-attacks.js';

/**
 * Time limit of an attack, ms. In real time, a device retries after a broken connection, and allows a minute for a slow one.
 */
const attackMs = 90_000;

describeReal('native', 'the firmware core', () => {
  let lab: Lab;
  let program: string;
  const { blank, remove } = nativeVictims(() => lab);
  const operator = () => lab.own.key;
  const attacks = updateAttacks({ operator, bytesOf: motionBundle, mirror: () => lab.origin });

  beforeAll(async () => {
    program = await nativeProgram();
    lab = await openLab();
  }, 300_000);
  afterAll(async () => {
    await remove();
    await lab.close();
  });

  it.each(Object.entries(attacks))(
    'withstands an update attack: %s',
    { timeout: attackMs },
    async (_, attack) => {
      const heard = new Heard();
      const identityDir = await blank(attack.twoKeys ? twoKeys(operator()) : undefined);
      const device = await createNativeDevice({ identityDir, program, onEvent: heard.onEvent });
      try {
        await device.connect();
        await expectRefused(lab, attack, { device, heard }, motionBundle);
      } finally {
        await device.stop();
      }
    },
  );

  it('keeps running the old release through power cuts during an attack, and finally rejects it', {
    timeout: attackMs,
  }, async () => {
    const identityDir = await blank();
    const heard = new Heard();
    const phases: string[] = [];
    let cutAt: string | undefined;
    const onEvent = (event: DeviceEvent) => {
      if (event.event === 'reported' && event.reported.rollout === evil.desired.rollout) {
        const { state } = event.reported;
        phases.push(state);
        if (state === cutAt) {
          cutAt = undefined;
          void device.kill();
        }
      }
      if (event.event === 'reported') heard.onEvent(event);
    };
    const evil = forged(motionBundle(1), operator(), { sequence: 6 });
    const other = { [`/api/v1/blobs/${digestOf(evil.bytes)}`]: raw(motionBundle(2)) };
    const device = await createNativeDevice({ identityDir, program, onEvent });
    await device.connect();
    const base = forged(motionBundle(5), operator(), { sequence: 5 });
    lab.serve(base.serve);
    const committed = heard.end(base.desired.rollout);
    await lab.wish(base.desired);
    expect(await committed).toMatchObject({ state: 'COMMITTED' });
    lab.serve({ ...evil.serve, ...other });
    for (const phase of ['DOWNLOADING', 'VERIFYING']) {
      cutAt = phase;
      await lab.wish(evil.desired);
      await expect.poll(() => cutAt, { timeout: 20_000 }).toBeUndefined();
      await expect.poll(() => device.pid, { timeout: 20_000 }).toBe(0);
      await device.connect();
      expect(device.reported).toMatchObject({ model: { sequence: 5, digest: digestOf(base.bytes) } });
    }
    const end = heard.end(evil.desired.rollout);
    await lab.wish(evil.desired);
    expect(await end).toMatchObject({
      ...{ state: 'IDLE', error: { code: 'AIOT_DIGEST_MISMATCH' } },
      model: { sequence: 5, digest: digestOf(base.bytes) },
    });
    expect(phases).not.toContain('STAGED');
    await device.stop();
  });
});
