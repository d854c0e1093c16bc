import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ModelVersion } from '../../src/lib/api/api.js';
import { generateKeyPair, publicKeyOf } from '../../src/lib/core/crypto.js';
import type { Desired, Reported } from '../../src/lib/device/protocol/messages.js';
import { type Signer, withProof } from '../../src/lib/device/protocol/proof.js';
import { trustRootOf } from '../../src/lib/formats/manifest/envelope.js';
import { peekManifest, signManifest } from '../../src/lib/formats/manifest/manifest.js';
import { readIdentity } from '../../src/lib/provision/held-identity.js';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { pushTiny } from '../support/bundle.js';
import { anyBundle, pushBundle } from '../support/ddi.js';
import { type FakeDevice, fakeDevice } from '../support/fake-device.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';
import { rolloutNow } from '../support/rollout.js';

/** A device's proof of its update, and the consequences of a false proof. */
let own: TestPlatform;
let model: ModelVersion;
let other: ModelVersion;
const signers: Record<string, Signer> = {};
const devices: Record<string, FakeDevice> = {};
const names = ['pump', 'fan'];

beforeAll(async () => {
  own = await testPlatform();
  for (const name of names) {
    const out = join(own.folder, name);
    await provisionDevice({ client: own.client, name, type: 'virtual', out });
    const { key, certificate } = await readIdentity(out);
    signers[name] = { name, key, certificate };
    devices[name] = await fakeDevice(own.platform.urls.mqtts, out, name);
  }
  model = await pushTiny(own.client, own.key);
  other = await pushTiny(own.client, own.key, { seed: 1 });
});
afterAll(async () => {
  for (const { client } of Object.values(devices)) await client.endAsync(true);
  await own.stop();
});

const running = ({ name, version, sequence, digest }: ModelVersion) => ({ name, version, sequence, digest });

interface Offer {
  id: string;
  wish: Desired;
  /** The report that an honest device would send now. */
  honest: Reported;
  say(reported: Partial<Reported>): Promise<Awaited<ReturnType<typeof told>>>;
}

const told = async (id: string) => (await rolloutNow(own.client, id)).devices[0]!;

/** Offers the model to the pump in a rollout of its own. */
async function offer(policy: { requireProof?: boolean; soakMs?: number } = {}): Promise<Offer> {
  const pump = devices.pump!;
  const heard = pump.desired.length;
  const { name, version, sequence } = model;
  const { id } = await own.client.rollouts.start({
    releases: [{ kind: 'model', name, version, sequence }],
    selector: 'name=pump',
    policy: { maxFailures: '100%', minSuccess: 0, ...policy },
  });
  const wish = (await pump.heard(heard + 1))!;
  const honest: Reported = {
    ...{ t: Date.now(), type: 'virtual', state: 'COMMITTED', rollout: wish.rollout, model: running(model) },
    ...{ floor: 0, download: null, golden: { vectors: 3, passed: 3 }, error: null },
  };
  return {
    ...{ id, wish, honest },
    async say(reported) {
      await pump.report('COMMITTED', { ...honest, ...reported });
      return told(id);
    },
  };
}

/** Reports a different running version, so that the next rollout is not complete from the start. */
const reset = () => devices.pump!.report('IDLE', { rollout: null, model: running(other) });

const signed = (reported: Reported, changes: Partial<Signer> = {}, healthyS = 4) =>
  withProof(reported, { ...signers.pump!, ...changes }, healthyS).proof!;

describe('a device’s proof', () => {
  it('is reported as proven, with the exact bytes that were signed', async () => {
    const { honest, say } = await offer();
    const proof = signed(honest);
    const device = await say({ proof });
    expect(device).toMatchObject({
      state: 'committed',
      proof: {
        state: 'proven',
        golden: { vectors: 3, passed: 3 },
        healthyS: 4,
        signed: proof,
        refused: null,
      },
    });
    await reset();
  });

  it('is unsigned if the device does not sign, and counts unless a signature is required', async () => {
    const first = await offer();
    expect(await first.say({})).toMatchObject({ state: 'committed', proof: { state: 'said', signed: null } });
    await reset();
    const second = await offer({ requireProof: true });
    expect(await second.say({})).toMatchObject({
      ...{ state: 'failed', error: { code: 'AIOT_PROOF_MISSING' }, proof: { state: 'said' } },
    });
    await reset();
  });

  it('is repeated at the end of the soak, and marks the device as healthy', async () => {
    const { id, honest, say, wish } = await offer({ soakMs: 60_000 });
    expect(wish.soakMs).toBe(60_000);
    const first = await say({ proof: signed(honest, {}, 0) });
    expect(first.times.healthy).toBeUndefined();
    const later = { ...honest, t: honest.t + 60_000 };
    await say({ ...later, proof: signed(later, {}, 60) });
    const device = await told(id);
    expect(device).toMatchObject({ proof: { state: 'proven', healthyS: 60 } });
    expect(device.times.healthy).toBeGreaterThan(0);
    await own.client.rollouts.command(id, 'abort');
    await reset();
  });
});

describe('a lying device', () => {
  const stranger = generateKeyPair().privatePem;
  const attacks: Record<string, [code: string, make: (honest: Reported) => Partial<Reported>]> = {
    'signs with another key under its own certificate': [
      'AIOT_PROOF_INVALID',
      (honest) => ({ proof: signed(honest, { key: stranger }) }),
    ],
    'shows the proof of another device': [
      'AIOT_PROOF_INVALID',
      (honest) => ({ proof: withProof(honest, signers.fan, 0).proof! }),
    ],
    'signs in the name of another device': [
      'AIOT_PROOF_MISMATCH',
      (honest) => ({ proof: signed(honest, { name: 'fan' }) }),
    ],
    'proves a version other than the one it reports': [
      'AIOT_PROOF_MISMATCH',
      (honest) => ({ proof: signed({ ...honest, model: running(other) }) }),
    ],
    'proves bytes that the manifest does not name': [
      'AIOT_PROOF_MISMATCH',
      (honest) => {
        const lie = { ...honest, model: { ...running(model), digest: other.digest } };
        return { ...lie, proof: signed(lie) };
      },
    ],
    'reuses a proof of an earlier rollout': [
      'AIOT_PROOF_MISMATCH',
      (honest) => ({ proof: signed({ ...honest, rollout: 'ro_of_last_week' }) }),
    ],
    'changes a byte of the signed payload': [
      'AIOT_PROOF_INVALID',
      (honest) => {
        const proof = signed(honest);
        const payload = Buffer.from(proof.payload, 'base64')
          .toString()
          .replace('"healthyS":4', '"healthyS":9');
        return { proof: { ...proof, payload: Buffer.from(payload).toString('base64') } };
      },
    ],
  };
  it.each(Object.entries(attacks))('fails if it %s', async (_, [code, make]) => {
    const { honest, say } = await offer();
    expect(await say(make(honest))).toMatchObject({
      ...{ state: 'failed', error: { code } },
      proof: { state: 'refused', signed: null, refused: { code } },
    });
    await reset();
  });

  it('cannot replay an older proof, and its latest valid proof is kept', async () => {
    const { honest, say, id } = await offer({ soakMs: 60_000 });
    await say({ proof: signed(honest) });
    const before = { ...honest, t: honest.t - 1000 };
    expect(await say({ ...before, proof: signed(before, {}, 3600) })).toMatchObject({
      state: 'committed',
      proof: { state: 'proven', healthyS: 4, refused: { code: 'AIOT_PROOF_REPLAYED' } },
    });
    await own.client.rollouts.command(id, 'abort');
    await reset();
  });

  it('is not suspected merely because a clock is unset after a restart, but replays are still rejected', async () => {
    const { honest, say, id } = await offer({ soakMs: 60_000 });
    await say({ proof: signed(honest) });
    const unset = { ...honest, t: 0 };
    expect(await say({ ...unset, proof: signed(unset, {}, 60) })).toMatchObject({
      state: 'committed',
      proof: { state: 'proven', healthyS: 60, t: honest.t, refused: null },
    });
    const before = { ...honest, t: honest.t - 1000 };
    expect(await say({ ...before, proof: signed(before, {}, 3600) })).toMatchObject({
      proof: { healthyS: 60, refused: { code: 'AIOT_PROOF_REPLAYED' } },
    });
    await own.client.rollouts.command(id, 'abort');
    await reset();
  });

  it('proves nothing once it is revoked', async () => {
    const { honest } = await offer();
    const proof = signed(honest);
    const { Proofs } = await import('../../src/lib/platform/releases/rollout-plans.js');
    const parts = { devices: { find: () => ({ state: 'revoked', fingerprint: 'any' }) } };
    const proofs = new Proofs(parts as unknown as ConstructorParameters<typeof Proofs>[0]);
    expect(await proofs.check('pump', honest, proof)).toMatchObject({
      refused: { code: 'AIOT_PROOF_INVALID' },
    });
  });
});

describe('the proof of a release', () => {
  it('counts even if the release was re-signed meanwhile', async () => {
    const pump = devices.pump!;
    const heard = pump.desired.length;
    const release = await pushBundle(own, 'bundle', anyBundle(), ['virtual']);
    const { id } = await own.client.rollouts.start({ releases: [release], selector: 'name=pump' });
    const wish = (await pump.heard(heard + 1))!;
    const { name, version, sequence } = release;
    const before = peekManifest(await own.client.firmware.manifest(name, version));
    const anew = signManifest({ ...before, sequence: sequence + 1 }, own.key);
    await own.client.firmware.sign(name, version, anew);
    const { digest } = before.artifacts[0]!;
    const said: Reported = {
      ...{ t: Date.now(), type: 'virtual', kind: 'firmware', state: 'COMMITTED', rollout: wish.rollout },
      ...{ model: null, floor: 0, download: null, golden: null, error: null },
      firmware: { version: '1.0.0', release: { name, version, sequence, digest } },
    };
    await pump.report('COMMITTED', { ...said, proof: signed(said) });
    expect(await told(id)).toMatchObject({ state: 'committed', proof: { state: 'proven' } });
  });

  it('counts even if the signer of the release was replaced meanwhile', async () => {
    model = await pushTiny(own.client, own.key, { seed: 2 });
    const { honest, say } = await offer();
    const trust = trustRootOf(publicKeyOf(generateKeyPair().privatePem));
    await own.client.trust.put({ ...trust, version: 2 });
    expect(await say({ proof: signed(honest) })).toMatchObject({
      ...{ state: 'committed', proof: { state: 'proven' } },
    });
  });
});
