import { digestOf, generateKeyPair, publicKeyOf } from '../../src/lib/core/crypto.js';
import { AiotError } from '../../src/lib/core/errors.js';
import type { Clock } from '../../src/lib/core/time.js';
import type { Desired, Reported } from '../../src/lib/device/protocol/messages.js';
import type { ModelRuntime } from '../../src/lib/device/runtime.js';
import type { BundleSource, DeviceTraits } from '../../src/lib/device/update/types.js';
import { startUpdater, type Updater } from '../../src/lib/device/update/updater.js';
import { type FirmwareTraits, ownFirmware } from '../../src/lib/device/virtual/firmware.js';
import type { Flash } from '../../src/lib/device/virtual/flash.js';
import { createDeviceStore } from '../../src/lib/device/virtual/store.js';
import { createDelta } from '../../src/lib/formats/delta/patch.js';
import { type Envelope, trustRootOf } from '../../src/lib/formats/manifest/envelope.js';
import { type Manifest, signManifest } from '../../src/lib/formats/manifest/manifest.js';

export const operator = generateKeyPair().privatePem;
export const trust = trustRootOf(publicKeyOf(operator));

/** A clock whose sleeps return immediately. */
export const quickClock: Clock = { now: () => Date.now(), sleep: async () => {} };

export interface Release {
  envelope: Envelope;
  bytes: Uint8Array;
  desired: Desired;
}

/** A signed release of these bytes. */
export function release(
  bytes: Uint8Array,
  sequence: number,
  changes: Partial<Manifest> = {},
  key = operator,
): Release {
  const manifest: Manifest = {
    spec: 'aiot-manifest/1',
    role: 'release',
    kind: 'model',
    name: 'motion',
    version: sequence,
    sequence,
    floor: 0,
    issued: 1_700_000_000_000,
    expires: null,
    deviceTypes: ['virtual'],
    interface: 1,
    artifacts: [{ name: 'model.aiot', digest: digestOf(bytes), bytes: bytes.length }],
    ...changes,
  };
  return {
    envelope: signManifest(manifest, key),
    bytes,
    desired: {
      rollout: `rollout_${sequence}`,
      kind: 'model',
      name: manifest.name,
      version: manifest.version,
      sequence: manifest.sequence,
      manifest: `/api/v1/manifests/${sequence}`,
    },
  };
}

/** Returns a `desired` message that offers the release as a delta from `base`, and the patch. */
export function byDelta({ desired, bytes }: Release, base: Release): { desired: Desired; patch: Uint8Array } {
  const patch = createDelta(base.bytes, bytes);
  const delta = { base: digestOf(base.bytes), digest: digestOf(patch), bytes: patch.length };
  return { desired: { ...desired, delta }, patch };
}

/** Serves releases and patches from memory, in chunks of odd sizes. */
export function memorySource(
  releases: Release[],
  chunkBytes = 777,
  patches: Uint8Array[] = [],
): BundleSource {
  return {
    async manifest(path) {
      return releases.find(({ desired }) => desired.manifest === path)?.envelope;
    },
    async *blob(digest, from) {
      const blobs = [...releases.map(({ bytes }) => bytes), ...patches];
      const found = blobs.find((bytes) => digestOf(bytes) === digest);
      if (!found) throw new AiotError('AIOT_UPDATE_DOWNLOAD', `there is no ${digest}`);
      for (let at = from; at < found.length; at += chunkBytes) yield found.subarray(at, at + chunkBytes);
    },
  };
}

/** A runtime that accepts any bytes as a model, with three golden vectors that all pass. */
export const anyRuntime: ModelRuntime = {
  load: async () => ({
    fields: ['x'],
    rateHz: 100,
    classes: ['a', 'b'],
    arenaBytes: 1024,
    createPredictor: () => ({ push: () => null, reset: () => {} }),
  }),
  checkGolden: async () => ({ vectors: 3, passed: 3 }),
};

export interface TestUpdater {
  updater: Updater;
  reports: Reported[];
  /** Bytes of the active model. */
  active(): Uint8Array | null;
  /** The error with which the flash failed, if any. */
  died(): unknown;
}

/** An updater on this flash, whose ports respond immediately. */
export async function testUpdater(
  flash: Flash,
  options: {
    source: BundleSource;
    runtime?: ModelRuntime;
    trust?: typeof trust | null;
    clock?: Clock;
    firmware?: FirmwareTraits & Pick<DeviceTraits, 'kind' | 'secureVersion'>;
  },
): Promise<TestUpdater> {
  const reports: Reported[] = [];
  let active: Uint8Array | null = null;
  let died: unknown;
  const updater = await startUpdater({
    store: createDeviceStore(flash),
    traits: { type: 'virtual', ...(options.firmware ?? ownFirmware), deltas: true },
    clock: options.clock ?? quickClock,
    trust: options.trust === undefined ? trust : options.trust,
    source: options.source,
    runtime: options.runtime ?? anyRuntime,
    report: (reported) => reports.push(reported),
    heartbeat: async () => {},
    activate: async (bundle) => {
      active = bundle;
    },
    onDead: (error) => {
      died = error;
    },
  });
  return { updater, reports, active: () => active, died: () => died };
}
