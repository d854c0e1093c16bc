import { describe, expect, it } from 'vitest';
import { digestOf, generateKeyPair } from '../../src/lib/core/crypto.js';
import { AiotError } from '../../src/lib/core/errors.js';
import { lowestSecureVersion } from '../../src/lib/device/update/record.js';
import type { BundleSource } from '../../src/lib/device/update/types.js';
import { ownFirmware } from '../../src/lib/device/virtual/firmware.js';
import { createFlash, type Flash } from '../../src/lib/device/virtual/flash.js';
import { flashBytesFor } from '../../src/lib/device/virtual/store.js';
import type { Manifest } from '../../src/lib/formats/manifest/manifest.js';
import {
  anyRuntime,
  memorySource,
  quickClock,
  type Release,
  release,
  testUpdater,
} from '../support/update.js';

const bytes = (seed: number, length = 9000) =>
  Uint8Array.from({ length }, (_, i) => (i * 31 + seed * 7) & 0xff);
const newFlash = () => createFlash({ bytes: flashBytesFor(16_384) });

/** Runs one update to its end. */
async function take(flash: Flash, wanted: Release, more: Partial<Parameters<typeof testUpdater>[1]> = {}) {
  const device = await testUpdater(flash, { source: memorySource([wanted]), ...more });
  device.updater.desire(wanted.desired);
  await device.updater.settled();
  return { ...device, last: device.reports.at(-1)! };
}

describe('an update', () => {
  it('goes through its states in order, and reports each', async () => {
    const flash = newFlash();
    const wanted = release(bytes(1), 4, { floor: 3 });
    const { reports, last, active } = await take(flash, wanted);
    const states = reports.map(({ state }) => state);
    expect(states.filter((state, i) => state !== states[i - 1])).toEqual([
      ...['IDLE', 'DOWNLOADING', 'VERIFYING', 'STAGED', 'TRIAL', 'COMMITTED'],
    ]);
    expect(last).toMatchObject({
      state: 'COMMITTED',
      rollout: 'rollout_4',
      model: { name: 'motion', version: 4, sequence: 4, digest: digestOf(wanted.bytes) },
      floor: 3,
      golden: { vectors: 3, passed: 3 },
      error: null,
    });
    expect(reports.some(({ download }) => download && download.bytes > 0 && download.total === 9000)).toBe(
      true,
    );
    expect(active()).toEqual(Buffer.from(wanted.bytes));
  });

  it('is not repeated for a finished rollout, and needs no download for a running version', async () => {
    const flash = newFlash();
    const wanted = release(bytes(1), 1);
    await take(flash, wanted);
    const nothing: BundleSource = {
      manifest: async () => Promise.reject(new Error('asked')),
      // biome-ignore lint/correctness/useYield: it is never to be read
      async *blob() {
        throw new Error('asked');
      },
    };
    const again = await testUpdater(flash, { source: nothing });
    again.updater.desire(wanted.desired);
    again.updater.desire({ ...wanted.desired, rollout: 'another' });
    await again.updater.settled();
    expect(again.reports.map(({ state, rollout, error }) => [state, rollout, error])).toEqual([
      ['COMMITTED', 'rollout_1', null],
      ['COMMITTED', 'rollout_1', null],
      ['COMMITTED', 'another', null],
    ]);
  });

  it('can lower the version if the sequence rises', async () => {
    const flash = newFlash();
    await take(flash, release(bytes(1), 5));
    const { last } = await take(flash, release(bytes(2), 6, { version: 1 }));
    expect(last).toMatchObject({ state: 'COMMITTED', model: { version: 1, sequence: 6 } });
  });

  it('raises the lowest secure version when firmware is committed, and rejects firmware below it', async () => {
    const flash = newFlash();
    const firmware = { ...ownFirmware, kind: 'firmware' as const, secureVersion: 1 };
    const install = async (seed: number, sequence: number, secureVersion?: number) => {
      const wanted = release(bytes(seed), sequence, { kind: 'firmware', secureVersion });
      const desired = { ...wanted.desired, kind: 'firmware' as const };
      const { updater, last } = await take(flash, { ...wanted, desired }, { firmware });
      const { state, error } = last;
      return { state, code: error?.code, lowest: lowestSecureVersion(updater.state) };
    };
    const code = 'AIOT_UPDATE_SECURE_VERSION';
    expect(await install(1, 1)).toEqual({ state: 'IDLE', code, lowest: 1 });
    expect(await install(1, 2, 3)).toEqual({ state: 'COMMITTED', code: undefined, lowest: 3 });
    expect(await install(2, 3, 2)).toEqual({ state: 'IDLE', code, lowest: 3 });
    expect(await install(2, 4, 3)).toEqual({ state: 'COMMITTED', code: undefined, lowest: 3 });
  });

  const stranger = generateKeyPair().privatePem;
  const wrong: [string, string, Partial<Manifest>, Partial<Release>?][] = [
    ['is for another type of device', 'AIOT_UPDATE_DEVICE_TYPE', { deviceTypes: ['esp32'] }],
    ['has the sequence of what is committed', 'AIOT_UPDATE_SEQUENCE', { sequence: 5 }],
    ['has a lower sequence', 'AIOT_UPDATE_SEQUENCE', { sequence: 4 }],
    ['is below the floor', 'AIOT_UPDATE_FLOOR', { sequence: 2 }],
    ['has a floor above itself', 'AIOT_UPDATE_FLOOR', { floor: 9 }],
    ['ended before the newest signed time', 'AIOT_UPDATE_EXPIRED', { expires: 1_699_999_999_999 }],
    ['does not fit into a slot', 'AIOT_UPDATE_SIZE', { artifacts: [artifact({ bytes: 16_385 })] }],
    [
      'declares more bytes than there are',
      'AIOT_UPDATE_DOWNLOAD',
      { artifacts: [artifact({ bytes: 9001 })] },
    ],
    ['declares fewer bytes than there are', 'AIOT_UPDATE_SIZE', { artifacts: [artifact({ bytes: 8999 })] }],
    ['is not what was announced', 'AIOT_UPDATE_MISMATCH', { name: 'other' }],
    ['is for firmware', 'AIOT_UPDATE_MISMATCH', { kind: 'firmware' }],
    ['has no artifact of its own', 'AIOT_UPDATE_MISMATCH', { artifacts: [artifact({}), artifact({})] }],
  ];
  function artifact(changes: object) {
    return { name: 'model.aiot', digest: digestOf(bytes(2)), bytes: 9000, ...changes };
  }

  /** Creates a device that runs sequence 5 with a floor of 3. */
  async function settled(): Promise<Flash> {
    const flash = newFlash();
    await take(flash, release(bytes(1), 5, { floor: 3 }));
    return flash;
  }
  const runsOn = { model: { sequence: 5, digest: digestOf(bytes(1)) }, floor: 3 };

  it.each(wrong)('whose manifest %s is rejected with %s, and changes nothing', async (_, code, changes) => {
    const wanted = release(bytes(2), 6, changes);
    // The announcement agrees with the manifest, except in the case that tests a mismatch.
    const desired = { ...wanted.desired, rollout: 'r', kind: 'model' as const, name: 'motion' };
    const { last } = await take(await settled(), { ...wanted, desired });
    expect(last).toMatchObject({ ...runsOn, state: 'IDLE', rollout: 'r', error: { code } });
  });

  it('is rejected if it is signed with an unknown key', async () => {
    const { last } = await take(await settled(), release(bytes(2), 6, {}, stranger));
    expect(last).toMatchObject({ ...runsOn, state: 'IDLE', error: { code: 'AIOT_SIGNATURE_INVALID' } });
  });

  it('is rejected if its payload was changed after signing', async () => {
    const wanted = release(bytes(2), 6);
    const payload = Buffer.from(wanted.envelope.payload, 'base64').toString().replace('virtual', 'esp32xx');
    wanted.envelope = { ...wanted.envelope, payload: Buffer.from(payload).toString('base64') };
    const { last } = await take(await settled(), wanted);
    expect(last).toMatchObject({ ...runsOn, error: { code: 'AIOT_SIGNATURE_INVALID' } });
  });

  it('is rejected by a device without trusted keys', async () => {
    const { last } = await take(newFlash(), release(bytes(2), 6), { trust: null });
    expect(last).toMatchObject({ model: null, state: 'IDLE', error: { code: 'AIOT_SIGNATURE_INVALID' } });
  });

  it('is rejected if its envelope is invalid', async () => {
    const wanted = release(bytes(2), 6);
    const source = { ...memorySource([wanted]), manifest: async () => ({ hello: 'world' }) };
    const { last } = await take(await settled(), wanted, { source });
    expect(last).toMatchObject({ ...runsOn, error: { code: 'AIOT_MANIFEST_MALFORMED' } });
  });

  it('is rejected if its bytes were changed in transit, and can be installed afterward', async () => {
    const flash = await settled();
    const wanted = release(bytes(2), 6);
    const tampered: BundleSource = {
      ...memorySource([wanted]),
      async *blob() {
        yield bytes(3);
      },
    };
    const { last } = await take(flash, wanted, { source: tampered });
    expect(last).toMatchObject({ ...runsOn, state: 'IDLE', error: { code: 'AIOT_DIGEST_MISMATCH' } });
    const again = { ...wanted, desired: { ...wanted.desired, rollout: 'again' } };
    expect((await take(flash, again)).last).toMatchObject({ state: 'COMMITTED', model: { sequence: 6 } });
  });

  it.each([
    ['fail', { ...anyRuntime, checkGolden: async () => ({ vectors: 3, passed: 2 }) }],
    ['are missing', { ...anyRuntime, checkGolden: async () => ({ vectors: 0, passed: 0 }) }],
    ['cannot be run', { ...anyRuntime, checkGolden: async () => Promise.reject(new Error('no memory')) }],
  ])('is rolled back if its golden vectors %s', async (_, runtime) => {
    const flash = await settled();
    const { last } = await take(flash, release(bytes(2), 6), { runtime });
    expect(last).toMatchObject({ ...runsOn, state: 'ROLLED_BACK', error: { code: 'AIOT_GOLDEN_MISMATCH' } });
    expect((await take(flash, release(bytes(2), 7))).last).toMatchObject({ state: 'COMMITTED' });
  });

  it('resumes an interrupted download', async () => {
    const wanted = release(bytes(2, 12_000), 6);
    const asked: number[] = [];
    const whole = memorySource([wanted]);
    const broken: BundleSource = {
      ...whole,
      async *blob(digest, from, signal) {
        asked.push(from);
        let sent = 0;
        for await (const chunk of whole.blob(digest, from, signal)) {
          yield chunk;
          sent += chunk.length;
          if (sent > 5000) throw new AiotError('AIOT_UPDATE_DOWNLOAD', 'cut', { retryable: true });
        }
      },
    };
    const { last } = await take(await settled(), wanted, { source: broken });
    expect(last).toMatchObject({ state: 'COMMITTED', model: { sequence: 6 } });
    expect(asked).toEqual([0, 5439, 10_878]);
  });

  it('is abandoned if nothing arrives after several retries', async () => {
    const waits: number[] = [];
    const clock = {
      ...quickClock,
      sleep: async (ms: number) => {
        waits.push(ms);
      },
    };
    const away: BundleSource = {
      manifest: async () => {
        throw new AiotError('AIOT_UPDATE_DOWNLOAD', 'nobody there', { retryable: true });
      },
      async *blob() {},
    };
    const { last } = await take(await settled(), release(bytes(2), 6), { source: away, clock });
    expect(last).toMatchObject({ ...runsOn, state: 'IDLE', error: { code: 'AIOT_UPDATE_DOWNLOAD' } });
    expect(waits).toEqual([200, 400, 800, 1600, 3200]);
  });

  it('ends when it is withdrawn, and is replaced by a newer one', async () => {
    const flash = await settled();
    const [six, seven] = [release(bytes(2), 6), release(bytes(3), 7)];
    const whole = memorySource([six, seven]);
    const hanging: BundleSource = {
      ...whole,
      async *blob(digest, from, signal) {
        if (digest === digestOf(six.bytes)) {
          await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
        }
        yield* whole.blob(digest, from, signal);
      },
    };
    const device = await testUpdater(flash, { source: hanging });
    device.updater.desire(six.desired);
    device.updater.desire(null);
    await device.updater.settled();
    expect(device.reports.at(-1)).toMatchObject({ ...runsOn, state: 'IDLE', rollout: null, error: null });
    device.updater.desire(six.desired);
    device.updater.desire(seven.desired);
    await device.updater.settled();
    expect(device.reports.at(-1)).toMatchObject({ state: 'COMMITTED', model: { sequence: 7 } });
  });
});
