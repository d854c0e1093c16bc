import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { expect } from 'vitest';
import { digestOf, generateKeyPair, keyIdOf, publicKeyOf } from '../../src/lib/core/crypto.js';
import { deferred } from '../../src/lib/core/tasks.js';
import type { DeviceEvent } from '../../src/lib/device/events.js';
import type { SimulatedDevice } from '../../src/lib/device/native/device.js';
import type { Reported } from '../../src/lib/device/protocol/messages.js';
import type { UpdateCheck } from '../../src/lib/device/update/types.js';
import { createDelta } from '../../src/lib/formats/delta/patch.js';
import type { TrustRoot } from '../../src/lib/formats/manifest/envelope.js';
import type { UnsignedManifest } from '../../src/lib/formats/manifest/manifest.js';
import { cosign } from '../../src/lib/formats/manifest/root.js';
import { type Answer, type Attempt, type Forged, forged, json, type Lab, raw } from './attacker.js';
import { motionSamples } from './motion-bundle.js';

/** An attack on the update of a device that already runs a release. It applies to both kinds of device. */
export interface UpdateAttack {
  /**
   * The error code that the device reports. null = no visible error, because the device already has that release,
   * and keeps running its current bytes.
   */
  code: string | null;
  /** All checks that prevent the attack; empty if no switch disables them. */
  off: readonly UpdateCheck[];
  /** Earlier checks that are disabled during the attack, because they would hide it. */
  before?: readonly UpdateCheck[];
  /** Fields that override those of the running release's manifest. */
  base?: Partial<UnsignedManifest>;
  /** The device requires two signatures, the operator's and a colleague's. */
  twoKeys?: boolean;
  /** The expected code if a patch is offered. */
  delta?: string;
  /** Whether the attack takes more than a minute of device time. */
  slow?: boolean;
  make(base: Forged): Attempt;
}

/** Sequence of the release that a victim runs. */
export const baseSequence = 5;
const colleague = generateKeyPair().privatePem;
const stranger = generateKeyPair().privatePem;
const blobOf = (bytes: Uint8Array) => `/api/v1/blobs/${digestOf(bytes)}`;

/** The result of the last endless response: true if all of it was sent. */
export const endless = { tookAll: false };

/** A response with more bytes than a device accepts. */
function endlessAnswer(first: Uint8Array): Answer {
  endless.tookAll = false;
  return async (res) => {
    res.write(first);
    for (let i = 0; i < 256; i++) {
      if (res.destroyed) return;
      if (!res.write(Buffer.alloc(64 * 1024, 0x20)))
        await Promise.race([once(res, 'drain'), once(res, 'close')]);
    }
    if (res.destroyed) return;
    res.end();
    endless.tookAll = true;
  };
}

/** Sends the bytes one by one, this many ms apart. */
const drip =
  (bytes: Uint8Array, ms: number): Answer =>
  async (res) => {
    for (const byte of bytes) {
      if (res.destroyed) return;
      res.write(Uint8Array.of(byte));
      await delay(ms);
    }
    res.end();
  };

/** Ends the connection in the middle of each response. */
const brokenOff =
  (bytes: Uint8Array): Answer =>
  (res) => {
    res.writeHead(200, { 'content-length': bytes.length });
    res.write(bytes.subarray(0, bytes.length >> 1), () => res.destroy());
  };

const text = (envelope: object) => Buffer.from(JSON.stringify(envelope));

interface Battlefield {
  /** Returns the private key of the operator whose releases the victim accepts. */
  operator: () => string;
  /** Returns a model that is different for each seed. */
  bytesOf: (seed: number) => Uint8Array;
  /** Returns the attacker's address. */
  mirror: () => string;
}

export function updateAttacks({ operator, bytesOf, mirror }: Battlefield): Record<string, UpdateAttack> {
  const evil = () => bytesOf(66);
  const next = (bytes: Uint8Array, key: string, changes: Partial<UnsignedManifest> = {}) =>
    forged(bytes, key, { sequence: 6, ...changes });
  /** A valid release whose content is replaced when served. */
  const served = (change: (made: Forged) => Record<string, Answer>, changes?: Partial<UnsignedManifest>) => {
    const made = next(bytesOf(1), operator(), changes);
    return { desired: made.desired, serve: { ...made.serve, ...change(made) } };
  };
  const oneArtifact = (bytes: Uint8Array, length: number) => ({
    artifacts: [{ name: 'model.aiot', digest: digestOf(bytes), bytes: length }],
  });
  return {
    'arbitrary installation: a manifest signed by a stranger': {
      code: 'AIOT_SIGNATURE_INVALID',
      off: ['signature'],
      make: () => next(evil(), stranger),
    },
    'arbitrary installation: a payload changed after signing': {
      code: 'AIOT_SIGNATURE_INVALID',
      off: ['signature'],
      make: () =>
        served(({ envelope, desired, bytes }) => {
          const payload = Buffer.from(envelope.payload, 'base64').toString();
          const [length, other] = [`"bytes":${bytes.length}`, `"bytes":${evil().length}`];
          const changed = payload.replace(digestOf(bytes), digestOf(evil())).replace(length, other);
          const answer = json({ ...envelope, payload: Buffer.from(changed).toString('base64') });
          return { [desired.manifest]: answer, [blobOf(evil())]: raw(evil()) };
        }),
    },
    'arbitrary installation: a signature with one bit changed': {
      code: 'AIOT_SIGNATURE_INVALID',
      off: ['signature'],
      make: () =>
        served(({ envelope, desired }) => {
          const signatures = envelope.signatures.map(({ keyid, sig }) => {
            const bytes = Buffer.from(sig, 'base64');
            bytes.writeUInt8(bytes.readUInt8(bytes.length - 1) ^ 1, bytes.length - 1);
            return { keyid, sig: bytes.toString('base64') };
          });
          return { [desired.manifest]: json({ ...envelope, signatures }) };
        }),
    },
    'arbitrary installation: the signature of another manifest': {
      code: 'AIOT_SIGNATURE_INVALID',
      off: ['signature'],
      make: () =>
        served(({ envelope, desired }) => {
          const { signatures } = next(bytesOf(2), operator(), { sequence: 9 }).envelope;
          return { [desired.manifest]: json({ ...envelope, signatures }) };
        }),
    },
    'arbitrary installation: different bytes under a valid manifest (a compromised image repository)': {
      code: 'AIOT_DIGEST_MISMATCH',
      off: ['digest'],
      make: () =>
        served(
          ({ bytes }) => ({ [blobOf(bytes)]: raw(evil().subarray(0, bytes.length)) }),
          // Only the digest differs, not the length.
          oneArtifact(bytesOf(1), Math.min(evil().length, bytesOf(1).length)),
        ),
    },
    'arbitrary installation: director and image repository compromised together, without the signing key': {
      code: 'AIOT_SIGNATURE_INVALID',
      off: ['signature'],
      make: () => next(evil(), stranger, { sequence: 9, deviceTypes: ['virtual', 'esp32'] }),
    },
    'endless data: a bundle that never ends': {
      code: 'AIOT_UPDATE_SIZE',
      off: ['length'],
      make: () => served(({ bytes }) => ({ [blobOf(bytes)]: endlessAnswer(bytes) })),
    },
    'endless data: a manifest that never ends': {
      code: 'AIOT_MANIFEST_MALFORMED',
      off: ['length'],
      make: () => served(({ envelope, desired }) => ({ [desired.manifest]: endlessAnswer(text(envelope)) })),
    },
    'slow retrieval: a bundle byte by byte': {
      code: 'AIOT_UPDATE_DOWNLOAD',
      off: [],
      slow: true,
      make: () => served(({ bytes }) => ({ [blobOf(bytes)]: drip(bytes, 20) })),
    },
    'slow retrieval: a manifest byte by byte': {
      code: 'AIOT_UPDATE_DOWNLOAD',
      off: [],
      slow: true,
      make: () => served(({ envelope, desired }) => ({ [desired.manifest]: drip(text(envelope), 200) })),
    },
    'wrong size: one byte more than signed': {
      code: 'AIOT_UPDATE_SIZE',
      off: ['length'],
      make: () => served(({ bytes }) => ({ [blobOf(bytes)]: raw(Buffer.concat([bytes, Buffer.of(0)])) })),
    },
    'wrong size: one byte less than signed': {
      code: 'AIOT_UPDATE_DOWNLOAD',
      off: ['length', 'digest'],
      make: () => served(({ bytes }) => ({ [blobOf(bytes)]: raw(bytes.subarray(0, -1)) })),
    },
    'wrong size: larger than a slot': {
      code: 'AIOT_UPDATE_SIZE',
      off: [],
      make: () => served(() => ({}), oneArtifact(bytesOf(1), 2 ** 31)),
    },
    'partial bundle: the second half is withheld': {
      code: 'AIOT_UPDATE_DOWNLOAD',
      off: ['length', 'digest'],
      make: () =>
        served(({ bytes }) => {
          const half = bytes.length >> 1;
          const answer: Answer = (res) => {
            const range = `bytes ${half}-${half - 1}/${bytes.length}`;
            // No further byte arrives, regardless of how often it is requested.
            if (res.req.headers.range !== undefined) res.writeHead(206, { 'content-range': range }).end();
            else res.end(bytes.subarray(0, half));
          };
          return { [blobOf(bytes)]: answer };
        }),
    },
    'partial bundle: every connection breaks in the middle': {
      code: 'AIOT_UPDATE_DOWNLOAD',
      off: [],
      make: () => served(({ bytes }) => ({ [blobOf(bytes)]: brokenOff(bytes) })),
    },
    'partial manifest: the end is withheld': {
      code: 'AIOT_MANIFEST_MALFORMED',
      off: [],
      make: () =>
        served(({ envelope, desired }) => ({ [desired.manifest]: raw(text(envelope).subarray(0, -9)) })),
    },
    'extraneous dependencies: an additional artifact': {
      code: 'AIOT_UPDATE_MISMATCH',
      off: ['artifacts'],
      make() {
        const bytes = bytesOf(1);
        const own = { name: 'model.aiot', digest: digestOf(bytes), bytes: bytes.length };
        const other = { name: 'helper.aiot', digest: digestOf(evil()), bytes: evil().length };
        return next(bytes, operator(), { artifacts: [own, other] });
      },
    },
    'fast-forward: a floor above the release’s own sequence': {
      code: 'AIOT_UPDATE_FLOOR',
      off: ['floor'],
      make: () => next(bytesOf(1), operator(), { floor: 2 ** 40 }),
    },
    'indefinite freeze: an expired manifest': {
      code: 'AIOT_UPDATE_EXPIRED',
      off: ['expiry'],
      make: () =>
        next(bytesOf(1), operator(), { issued: Date.now() - 7200_000, expires: Date.now() - 3600_000 }),
    },
    'indefinite freeze: a clock set back, against a later signed time': {
      code: 'AIOT_UPDATE_EXPIRED',
      off: ['expiry'],
      base: { issued: Date.now() + 30 * 86_400_000 },
      // By the device's own clock, it would be valid for another day.
      make: () => next(bytesOf(2), operator(), { expires: Date.now() + 86_400_000 }),
    },
    'malicious mirror: a manifest from another host': {
      code: 'AIOT_UPDATE_DOWNLOAD',
      off: ['origin'],
      make() {
        const { desired, serve, envelope } = next(bytesOf(1), operator());
        const elsewhere = `//localhost:${new URL(mirror()).port}/manifest`;
        return {
          desired: { ...desired, manifest: elsewhere },
          serve: { ...serve, '/manifest': json(envelope) },
        };
      },
    },
    'mix-and-match: a valid manifest of another model': {
      code: 'AIOT_UPDATE_MISMATCH',
      off: ['announced'],
      make() {
        const { desired, serve } = next(bytesOf(1), operator(), { name: 'other' });
        return { desired: { ...desired, name: 'motion' }, serve };
      },
    },
    'mix-and-match: a valid manifest of another version (a compromised director)': {
      code: 'AIOT_UPDATE_MISMATCH',
      off: ['announced'],
      make() {
        const { desired, serve } = next(bytesOf(1), operator(), { sequence: 7 });
        return { desired: { ...desired, version: 8, sequence: 8 }, serve };
      },
    },
    'mix-and-match: the bytes of another valid release': {
      code: 'AIOT_DIGEST_MISMATCH',
      off: ['digest'],
      make: () =>
        served(
          ({ bytes }) => ({ [blobOf(bytes)]: raw(bytesOf(2).subarray(0, bytes.length)) }),
          oneArtifact(bytesOf(1), Math.min(bytesOf(2).length, bytesOf(1).length)),
        ),
    },
    'mix-and-match: a patch for another base, and the whole release withheld': {
      code: 'AIOT_UPDATE_DOWNLOAD',
      off: [],
      delta: 'AIOT_DELTA_BASE',
      make() {
        const { desired, serve, bytes } = next(bytesOf(1), operator());
        const patch = createDelta(evil(), bytes);
        const delta = { base: digestOf(evil()), digest: digestOf(patch), bytes: patch.length };
        const kept = Object.fromEntries(Object.entries(serve).filter(([path]) => path !== blobOf(bytes)));
        return { desired: { ...desired, delta }, serve: { ...kept, [blobOf(patch)]: raw(patch) } };
      },
    },
    'mix-and-match: a patch with a different result, and the whole release withheld': {
      code: 'AIOT_UPDATE_DOWNLOAD',
      off: [],
      delta: 'AIOT_DELTA_RESULT',
      make(base) {
        // The patch yields as many bytes as were signed, but one of them differs.
        const [signed, made] = [Uint8Array.from(base.bytes), Uint8Array.from(base.bytes)];
        signed[600] = (signed[600] ?? 0) ^ 1;
        made[700] = (made[700] ?? 0) ^ 1;
        const { desired, serve } = next(signed, operator());
        const patch = createDelta(base.bytes, made);
        const delta = { base: digestOf(base.bytes), digest: digestOf(patch), bytes: patch.length };
        const kept = Object.fromEntries(Object.entries(serve).filter(([path]) => path !== blobOf(signed)));
        return { desired: { ...desired, delta }, serve: { ...kept, [blobOf(patch)]: raw(patch) } };
      },
    },
    'replay: the running release’s manifest, announced as a newer one': {
      code: 'AIOT_UPDATE_MISMATCH',
      off: ['announced', 'sequence'],
      make: ({ desired, serve }) => ({
        desired: { ...desired, rollout: 'replayed_newer', version: 9, sequence: 9 },
        serve,
      }),
    },
    'replay: the running release’s manifest, with different bytes': {
      code: null,
      off: [],
      make: ({ desired, serve, bytes }) => ({
        desired: { ...desired, rollout: 'replayed_bytes' },
        serve: { ...serve, [blobOf(bytes)]: raw(evil()) },
      }),
    },
    'replay: another release with the name, version and sequence of the running one': {
      code: null,
      off: [],
      make: () => next(evil(), operator(), { sequence: baseSequence }),
    },
    'rollback: an older release, signed when it was new': {
      code: 'AIOT_UPDATE_SEQUENCE',
      off: ['sequence'],
      make: () => next(bytesOf(2), operator(), { sequence: 2 }),
    },
    'rollback: another version with the running release’s sequence': {
      code: 'AIOT_UPDATE_SEQUENCE',
      off: ['sequence'],
      make: () => next(bytesOf(2), operator(), { sequence: baseSequence, version: 6 }),
    },
    'rollback: a sequence below the floor': {
      code: 'AIOT_UPDATE_FLOOR',
      before: ['sequence'],
      off: ['floor'],
      base: { floor: 4 },
      make: () => next(bytesOf(2), operator(), { sequence: 2 }),
    },
    'key compromise: one of two required keys': {
      code: 'AIOT_SIGNATURE_INVALID',
      off: ['threshold'],
      twoKeys: true,
      make: () => next(evil(), operator()),
    },
    'key compromise: the same signature twice': {
      code: 'AIOT_SIGNATURE_INVALID',
      off: ['threshold'],
      twoKeys: true,
      make() {
        const { desired, serve, envelope } = next(evil(), operator());
        const twice = { ...envelope, signatures: [...envelope.signatures, ...envelope.signatures] };
        return { desired, serve: { ...serve, [desired.manifest]: json(twice) } };
      },
    },
    'key compromise: one key of two, and a stranger’s': {
      code: 'AIOT_SIGNATURE_INVALID',
      off: ['threshold'],
      twoKeys: true,
      make() {
        const { desired, serve, envelope } = next(evil(), operator());
        return { desired, serve: { ...serve, [desired.manifest]: json(cosign(envelope, stranger)) } };
      },
    },
    'wrong software: a release for another type of device (a replay to another ECU)': {
      code: 'AIOT_UPDATE_DEVICE_TYPE',
      off: ['deviceType'],
      make: () => next(bytesOf(1), operator(), { deviceTypes: ['esp32'] }),
    },
    'wrong software: a release for a newer firmware': {
      code: 'AIOT_UPDATE_INTERFACE',
      off: ['interface'],
      make: () => next(bytesOf(1), operator(), { interface: 99 }),
    },
  };
}

/** Trust root of a device that requires two signatures. */
export function twoKeys(operator: string): TrustRoot {
  const keys = [operator, colleague].map(publicKeyOf);
  return {
    ...{ spec: 'aiot-trust/1' as const, version: 1 },
    keys: Object.fromEntries(
      keys.map((publicKey) => [keyIdOf(publicKey), { algorithm: 'ecdsa-p256-sha256' as const, publicKey }]),
    ),
    roles: { release: { keyids: keys.map(keyIdOf), threshold: 2 } },
  };
}

/** A release that the victim of this attack must accept. */
export function goodFor(
  attack: UpdateAttack,
  operator: string,
  bytes: Uint8Array,
  changes: Partial<UnsignedManifest>,
): Forged {
  const made = forged(bytes, operator, changes);
  if (!attack.twoKeys) return made;
  const envelope = cosign(made.envelope, colleague);
  return { ...made, envelope, serve: { ...made.serve, [made.desired.manifest]: json(envelope) } };
}

/** A device under attack, and the reports it sends. */
export interface Victim {
  device: SimulatedDevice;
  heard: Heard;
}

/** Collects the result of each rollout on a device. */
export class Heard {
  private readonly waiting = new Map<string, ReturnType<typeof deferred<Reported>>>();
  readonly onEvent = (event: DeviceEvent) => {
    if (event.event !== 'reported') return;
    const { state, error, rollout } = event.reported;
    const ended = state === 'COMMITTED' || (error && (state === 'IDLE' || state === 'ROLLED_BACK'));
    if (ended && rollout !== null) this.waiting.get(rollout)?.resolve(event.reported);
  };

  end(rollout: string): Promise<Reported> {
    const end = this.waiting.get(rollout) ?? deferred<Reported>();
    this.waiting.set(rollout, end);
    return end.promise;
  }
}

async function play(lab: Lab, { heard }: Victim, { desired, serve = {} }: Attempt): Promise<Reported> {
  lab.serve(serve);
  const end = heard.end(desired.rollout);
  await lab.wish(desired);
  return end;
}

const samples = motionSamples(200, 9);
const recording = {
  ...{ id: 'after', label: null, device: null, rateHz: 100, startedAt: 1_795_168_000_000 },
  fields: ['x', 'y', 'z'],
  columns: [0, 1, 2].map((field) => Float64Array.from(samples, (sample) => sample[field] ?? 0)),
};

/**
 * Verifies that a device rejects an attack with the expected code, keeps running and predicting with the previous
 * release, and accepts the next valid release. The device is connected, and blank at first.
 */
export async function expectRefused(
  lab: Lab,
  attack: UpdateAttack,
  victim: Victim,
  bytesOf: (seed: number) => Uint8Array,
): Promise<void> {
  const operator = lab.own.key;
  const base = goodFor(attack, operator, bytesOf(5), { sequence: baseSequence, ...attack.base });
  expect(await play(lab, victim, base)).toMatchObject({ state: 'COMMITTED', error: null });
  const runs = { version: baseSequence, sequence: baseSequence, digest: digestOf(base.bytes) };
  const { code } = attack;
  expect(await play(lab, victim, attack.make(base))).toMatchObject({
    ...{ state: code === null ? 'COMMITTED' : 'IDLE', model: runs, error: code === null ? null : { code } },
    ...(attack.delta === undefined ? {} : { delta: { error: { code: attack.delta } } }),
  });
  expect(victim.device.online).toBe(true);
  const answers = await victim.device.replay(recording, { stream: 'after', speed: 'max', predict: true });
  expect(answers.inferences).toBeGreaterThan(0);
  const good = goodFor(attack, operator, bytesOf(7), { sequence: 100, version: 100 });
  expect(await play(lab, victim, good)).toMatchObject({ state: 'COMMITTED', model: { version: 100 } });
}
