import { digestOf, generateKeyPair, publicKeyOf } from '../../src/lib/core/crypto.js';
import { AiotError } from '../../src/lib/core/errors.js';
import { judgeManifest } from '../../src/lib/device/update/downloading.js';
import { blankRecord, type DeviceRecord } from '../../src/lib/device/update/record.js';
import {
  type Envelope,
  signPayload,
  type TrustRoot,
  trustRootOf,
} from '../../src/lib/formats/manifest/envelope.js';
import { verifyManifest } from '../../src/lib/formats/manifest/manifest.js';
import { type Json, mutations } from './mutations.js';
import { operator, release, trust } from './update.js';

/** A manifest, and the device that receives it. */
export interface ManifestCase {
  what: string;
  trust: TrustRoot;
  envelope: string;
  desired: ReturnType<typeof release>['desired'];
  standing: Pick<DeviceRecord, 'floor' | 'sequence' | 'newestSigned' | 'secureVersion'> & {
    slotBytes: number;
  };
  now: number | null;
}

const digest = digestOf('anything');
const payload = {
  ...verifyManifest(release(new Uint8Array(100), 7).envelope, trust),
  floor: 2,
  secureVersion: 2,
  expires: 1_800_000_000_000 as number | null,
  model: {
    kind: 'model',
    signal: { fields: ['x'] },
    labels: { a: ['b', 'c'] },
    answer: null,
    quantization: { mode: 'int8', input: 'int8', output: 'int8' },
    metrics: { int8: {} },
    gates: [{ name: 'accuracy' }],
    evaluation: digest,
    dataset: { name: 'imu', digest },
    config: null,
    tools: { aiot: '1' },
    created: null,
  },
  files: [{ name: 'model.tflite', sha256: digest.slice(7), bytes: 9 }],
};
const standing = { floor: 2, sequence: 6, newestSigned: 1_600_000_000_000, slotBytes: 4096 };
const { desired } = release(new Uint8Array(100), 7);
const { model: _, secureVersion: __, ...withoutModel } = payload;
const firmware = { ...withoutModel, kind: 'firmware' as const };
const firmwareDesired = { ...desired, kind: 'firmware' as const };

const signed = (value: unknown) => JSON.stringify(signPayload(value as { spec: string }, operator));

const madeCase = (what: string, changes: Partial<ManifestCase> = {}): ManifestCase => ({
  what,
  trust,
  envelope: signed(payload),
  desired,
  standing,
  now: null,
  ...changes,
});

/** Returns the first check that fails in the TypeScript implementation. */
export function manifestVerdict({ trust, envelope, desired, standing, now }: ManifestCase): string {
  const record = { ...blankRecord, ...standing };
  const { kind } = desired;
  const { slotBytes } = standing;
  const traits = { type: 'virtual', kind, interface: 3, modes: ['int8' as const], slotBytes };
  try {
    if (envelope.length > 64 * 1024) return 'AIOT_MANIFEST_MALFORMED';
    let parsed: unknown;
    try {
      parsed = JSON.parse(envelope);
    } catch {
      return 'AIOT_MANIFEST_MALFORMED';
    }
    return judgeManifest(verifyManifest(parsed, trust), desired, record, traits, now)?.code ?? 'AIOT_OK';
  } catch (error) {
    if (error instanceof AiotError) return error.code;
    throw error;
  }
}

/** Cases for each check, and with mutations of payload and envelope. */
export function manifestCases(): ManifestCase[] {
  const other = generateKeyPair().privatePem;
  const both = trustOf([operator, other], 2);
  const float = { mode: 'float32', input: 'float32', output: 'float32' };
  const twice = (keys: string[]) => {
    const [first, ...more] = keys.map((key) => signPayload(payload, key));
    return JSON.stringify({
      ...first,
      signatures: [first!, ...more].flatMap(({ signatures }) => signatures),
    });
  };
  const envelope = JSON.parse(signed(payload)) as Envelope;
  const judged: [string, Partial<ManifestCase>][] = [
    ['good', {}],
    ['another name', { desired: { ...desired, name: 'other' } }],
    ['another version', { desired: { ...desired, version: 8 } }],
    ['another sequence', { desired: { ...desired, sequence: 8 } }],
    ['below the floor', { standing: { ...standing, floor: 8 } }],
    ['committed already', { standing: { ...standing, sequence: 7 } }],
    ['too large', { standing: { ...standing, slotBytes: 99 } }],
    ['just fits', { standing: { ...standing, slotBytes: 100 } }],
    ['expired by the newest signed time', { standing: { ...standing, newestSigned: 1_800_000_000_000 } }],
    ['expired by the clock', { now: 1_800_000_000_000 }],
    ['not yet expired', { now: 1_799_999_999_999 }],
    ['a clock set back', { now: 5 }],
    ['a network alone', { envelope: signed({ ...payload, model: { ...payload.model, kind: 'network' } }) }],
    [
      'a float network',
      { envelope: signed({ ...payload, model: { ...payload.model, quantization: float } }) },
    ],
    [
      'decision trees',
      { envelope: signed({ ...payload, interface: 3, model: { ...payload.model, quantization: float } }) },
    ],
    ['a newer interface', { envelope: signed({ ...payload, interface: 4 }) }],
    ['a model, whose secure version does not count', { standing: { ...standing, secureVersion: 3 } }],
    ...([undefined, 0, 2, 3, 4] as const).map((secureVersion): [string, Partial<ManifestCase>] => [
      `firmware of secure version ${secureVersion} for a device that requires 3`,
      {
        envelope: signed({ ...firmware, secureVersion }),
        desired: firmwareDesired,
        standing: { ...standing, secureVersion: 3 },
      },
    ]),
    ['firmware without secure versions', { envelope: signed(firmware), desired: firmwareDesired }],
    ['an unknown key', { envelope: JSON.stringify(signPayload(payload, other)) }],
    ['one of two signatures', { trust: both }],
    ['two of two', { trust: both, envelope: twice([operator, other]) }],
    ['the same key twice', { trust: both, envelope: twice([operator, operator]) }],
    ['a bad signature before a good one', { envelope: twice([other, operator]) }],
    ['a key that is not of the role', { trust: { ...both, roles: trustOf([other], 1).roles } }],
    ['a key under the name of another', { trust: misnamed() }],
    ['an envelope of more than 64 KiB', { envelope: `${signed(payload)}${' '.repeat(64 * 1024)}` }],
    ['no JSON', { envelope: signed(payload).slice(0, -1) }],
    ['a payload that is no JSON', { envelope: signedText('{"spec":"aiot-manifest/1"') }],
    ['white space', { envelope: JSON.stringify(envelope, null, 2) }],
    [
      'members in another order',
      { envelope: JSON.stringify({ signatures: envelope.signatures, payload: envelope.payload }) },
    ],
  ];
  return [
    ...judged.map(([what, changes]) => madeCase(what, changes)),
    ...mutations(payload as unknown as Json).map(({ what, value }) =>
      madeCase(`payload${what}`, { envelope: signed(value) }),
    ),
    ...mutations(envelope as unknown as Json).map(({ what, value }) =>
      madeCase(`envelope${what}`, { envelope: JSON.stringify(value) }),
    ),
  ];
}

function trustOf(keys: string[], threshold: number): TrustRoot {
  const roots = keys.map((key) => trustRootOf(publicKeyOf(key)));
  return {
    ...roots[0]!,
    keys: Object.assign({}, ...roots.map(({ keys: one }) => one)),
    roles: { release: { keyids: roots.flatMap(({ roles }) => roles.release.keyids), threshold } },
  };
}

function misnamed(): TrustRoot {
  const id = 'ab'.repeat(32);
  const [key] = Object.values(trust.keys);
  return { ...trust, keys: { [id]: key! }, roles: { release: { keyids: [id], threshold: 1 } } };
}

function signedText(text: string): string {
  const { signatures } = signPayload({ spec: '' }, operator);
  return JSON.stringify({ payload: Buffer.from(text).toString('base64'), signatures });
}
