import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildShim } from '../../chaos/faults/shim.js';
import { deferred } from '../../src/lib/core/tasks.js';
import type { DeviceEvent } from '../../src/lib/device/events.js';
import { nativeProgram } from '../../src/lib/device/native/build.js';
import { createNativeDevice } from '../../src/lib/device/native/device.js';
import type { Reported } from '../../src/lib/device/protocol/messages.js';
import type { UnsignedManifest } from '../../src/lib/formats/manifest/manifest.js';
import { type Attempt, forged, json, type Lab, openLab } from '../support/attacker.js';
import { motionBundle } from '../support/motion-bundle.js';
import { nativeVictims } from '../support/native-victim.js';
import { describeReal } from '../support/real.js';
import { rootAttacks } from '../support/root-attacks.js';
import { hour, newKey, rootsKit } from '../support/roots-kit.js';

describeReal('native', 'root and timestamp attacks on the firmware core', () => {
  let lab: Lab;
  let program: string;
  const operator = () => lab.own.key;
  const kit = rootsKit(operator);
  const { one, two, three, thief, rootOf, signed, second, stamp, world } = kit;

  beforeAll(async () => {
    program = await nativeProgram();
    lab = await openLab();
  }, 300_000);
  afterAll(async () => {
    await remove();
    await lab.close();
  });

  const { blank, remove } = nativeVictims(() => lab);

  async function started(identityDir: string, onEvent: (event: DeviceEvent) => void) {
    const device = await createNativeDevice({ identityDir, program, onEvent });
    await device.connect();
    return device;
  }

  async function attempt(folder: string, { desired, serve = {} }: Attempt): Promise<Reported> {
    lab.serve(serve);
    const ended = deferred<Reported>();
    const device = await started(folder, (event) => {
      if (event.event !== 'reported' || event.reported.rollout !== desired.rollout) return;
      if (event.reported.state === 'COMMITTED' || event.reported.error) ended.resolve(event.reported);
    });
    try {
      await lab.wish(desired);
      return await ended.promise;
    } finally {
      await device.stop();
    }
  }

  const made = (seed: number, key: string, changes: Partial<UnsignedManifest> = {}) =>
    forged(motionBundle(seed), key, changes);

  // Attacks on the device's memory and clock are tested below.
  const attacks = Object.entries(rootAttacks({ kit, lab: () => lab, operator }));
  it.each(attacks.filter(([what]) => !/older timestamp|clock set back/.test(what)))(
    'are rejected: %s',
    async (_, { code, make }) => {
      const { desired, serve } = await make();
      expect(await attempt(await blank(), { desired, ...(serve ? { serve } : {}) })).toMatchObject({
        ...{ state: 'IDLE', model: null, error: { code } },
      });
    },
  );

  describe('a clock set back by minutes on a device that has seen a newer timestamp', () => {
    const back = 4 * 60_000;
    let shim: string;
    let folder: string;
    beforeAll(async () => {
      folder = await mkdtemp(join(tmpdir(), 'aiot-clock-back-'));
      shim = buildShim(folder);
    });
    afterAll(() => rm(folder, { recursive: true, force: true }));

    async function setBack(act: () => Promise<Reported>): Promise<Reported> {
      const control = Buffer.alloc(16);
      control.writeBigInt64LE(BigInt(-back / 1000));
      await writeFile(join(folder, 'control'), control);
      process.env.LD_PRELOAD = shim;
      process.env.CHAOS_SHIM = join(folder, 'control');
      try {
        return await act();
      } finally {
        delete process.env.LD_PRELOAD;
        delete process.env.CHAOS_SHIM;
      }
    }

    /** An expiry time that has passed, but is still in the future for the clock that was set back. */
    const ended = () => Date.now() - back / 2;
    it.each([
      [
        'AIOT_TIMESTAMP_EXPIRED',
        () => {
          const release = made(2, operator(), { sequence: 2 });
          const changes = { version: 2, issued: Date.now() - 2 * hour, expires: ended() };
          return world({ made: release, timestamp: stamp([release.envelope], changes) });
        },
      ],
      [
        'AIOT_TRUST_ROOT_EXPIRED',
        () => {
          const release = made(2, operator(), { sequence: 2 });
          const root = signed(rootOf({ version: 3, expires: ended() }), one, two);
          const changes = { version: 2, issued: Date.now() - 2 * hour };
          const timestamp = stamp([release.envelope], { ...changes, root: { ...stampRoot, version: 3 } });
          return world({ made: release, roots: [second(), root], timestamp });
        },
      ],
    ])('does not make expired metadata valid again: %s', async (code, attack) => {
      const victim = await blank();
      expect(await attempt(victim, world({ made: made(1, operator()) }))).toMatchObject({
        state: 'COMMITTED',
      });
      expect(await setBack(() => attempt(victim, attack()))).toMatchObject({
        ...{ state: 'IDLE', model: { sequence: 1 }, error: { code } },
      });
      // A device that has seen no timestamp relies on its clock alone.
      const stranger = await blank();
      expect(await setBack(() => attempt(stranger, attack()))).toMatchObject({ state: 'COMMITTED' });
    });
  });

  describe('a device that keeps its folder', () => {
    const fresh = newKey();
    const third = () => signed(rootOf({ version: 3, targets: fresh }), one, three);
    let folder: string;
    beforeAll(async () => {
      folder = await blank();
    });

    it('accepts an update that root, timestamp and manifest agree on', async () => {
      const far = 2 ** 52;
      const first = made(1, operator(), { sequence: far, floor: far });
      const timestamp = stamp([first.envelope], { version: 5 });
      expect(await attempt(folder, world({ made: first, timestamp }))).toMatchObject({
        ...{ state: 'COMMITTED', floor: far },
      });
    });

    it('remembers the newest timestamp across restarts', async () => {
      const next = made(2, operator(), { sequence: 6 });
      const older = stamp([next.envelope], { version: 4 });
      expect(await attempt(folder, world({ made: next, timestamp: older }))).toMatchObject({
        error: { code: 'AIOT_TIMESTAMP_ROLLBACK' },
      });
      const another = made(2, operator(), { sequence: 7 });
      const expired = stamp([another.envelope], { version: 6, issued: 5, expires: 10 });
      expect(await attempt(folder, world({ made: another, timestamp: expired }))).toMatchObject({
        error: { code: 'AIOT_TIMESTAMP_EXPIRED' },
      });
    });

    it('accepts a new signing key, and restarts its counter for that key', async () => {
      const next = made(3, fresh, { sequence: 3 });
      const timestamp = stamp([next.envelope], { version: 7, root: { ...stampRoot, version: 3 } });
      const reported = await attempt(folder, world({ made: next, roots: [second(), third()], timestamp }));
      expect(reported).toMatchObject({ state: 'COMMITTED', floor: 0, model: { sequence: 3 } });
    });

    it('rejects updates signed with the old key or a thief’s key', async () => {
      for (const key of [operator(), thief]) {
        const stolen = made(4, key, { sequence: 9 });
        // The root chain is withheld because the device has already followed it.
        const timestamp = stamp([stolen.envelope], { version: 8 });
        expect(await attempt(folder, world({ made: stolen, roots: [], timestamp }))).toMatchObject({
          error: { code: 'AIOT_SIGNATURE_INVALID' },
        });
      }
    });

    it('warns of an expired timestamp, and keeps running', async () => {
      lab.serve({ '/api/v1/trust/timestamp': json(stamp([], { version: 9, issued: 5, expires: 10 })) });
      const told = deferred<DeviceEvent>();
      const device = await started(folder, (event) => {
        if (event.event === 'log') told.resolve(event);
      });
      expect(await told.promise).toMatchObject({ level: 'warn', code: 'AIOT_TIMESTAMP_EXPIRED' });
      expect(device.online).toBe(true);
      await device.stop();
    });
  });
});

/** Only the version is checked in a timestamp's reference to the newest root. */
const stampRoot = { version: 2, digest: `sha256:${'0'.repeat(64)}` };
