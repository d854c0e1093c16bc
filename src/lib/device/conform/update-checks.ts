import type { RolloutDeviceInfo } from '../../api/rollouts/schema.js';
import { digestOf, generateKeyPair } from '../../core/crypto.js';
import { AiotError } from '../../core/errors.js';
import type { Envelope } from '../../formats/manifest/envelope.js';
import { peekManifest, signManifest } from '../../formats/manifest/manifest.js';
import { type Reported, updateStates } from '../protocol/messages.js';
import { type Bench, type Check, ends, NotHeld, NotLooked, ownPrefix } from './bench.js';
import { unchanged } from './wish-checks.js';

/** Checks that install a model, if one was specified. The model remains installed. */
export const updateChecks: Check[] = [
  {
    id: 'update-committed',
    section: 'update',
    rule: 'installs a suitable model by a rollout, and reports COMMITTED',
    async run(bench) {
      const device = await rollOut(bench);
      if (device?.state !== 'committed')
        throw new NotHeld(
          `expected committed, got ${device?.state}: ${device?.error?.message ?? 'no reason'}`,
        );
    },
  },
  {
    id: 'update-states',
    section: 'update',
    rule: 'reports the states of an update in order',
    async run({ listener, model }) {
      if (!model) throw new NotLooked('it would install a model; allow this with --model NAME@VERSION');
      const begun = listener.seen.findLast(({ channel, value }) => channel === 'reported' && isBegun(value));
      const rollout = begun?.value?.rollout;
      if (rollout === undefined) throw new NotHeld('expected DOWNLOADING, got none');
      const states = listener.seen
        .filter(({ channel, value }) => channel === 'reported' && value?.rollout === rollout)
        .map(({ value }) => updateStates.indexOf(value?.state as (typeof updateStates)[number]));
      const back = states.findIndex((state, i) => state < (states[i - 1] ?? 0));
      if (back > 0)
        throw new NotHeld(
          `expected no ${updateStates[states[back]!]} after ${updateStates[states[back - 1]!]}`,
        );
      if (!states.includes(updateStates.indexOf('TRIAL'))) throw new NotHeld('expected TRIAL, got none');
    },
  },
];

/** Whether the report belongs to a rollout from the platform, not to one of these checks. */
function isBegun(report: Record<string, unknown> | null): boolean {
  return report?.state === 'DOWNLOADING' && !String(report.rollout).startsWith(ownPrefix);
}

async function rollOut(bench: Bench): Promise<RolloutDeviceInfo | undefined> {
  const { client, device, model, listener, patienceMs, signal } = bench;
  if (!model) throw new NotLooked('it would install a model; allow this with --model NAME@VERSION');
  const { sequence } = await client.models.get(model.name, model.version);
  const from = listener.seen.length;
  const { id } = await client.rollouts.start({
    releases: [{ kind: 'model', ...model, sequence }],
    selector: `name=${device.name}`,
    policy: { maxFailures: '100%', minSuccess: 0, deadlineMs: Math.max(patienceMs, 60_000) },
  });
  for await (const _ of client.rollouts.watch(id, signal ? { signal } : {}));
  // The device's last report may not have arrived yet.
  if (!(await listener.next((seen) => ends(seen, id), from, patienceMs)))
    throw new AiotError(
      'AIOT_PLATFORM_UNREACHABLE',
      "the device's final report on the rollout did not arrive",
      {
        retryable: true,
      },
    );
  const [told] = await client.rollouts.devices(id);
  return told;
}

const section = 'checks-in-order';

/** Maximum size of an envelope, bytes. */
const envelopeBytes = 65_536;

/**
 * Manifests that must be rejected before anything changes. Only manifests that can be made without the operator's key
 * are tested.
 */
export const manifestChecks: Check[] = [
  {
    id: 'manifest-missing',
    section,
    rule: 'rejects a missing manifest with AIOT_UPDATE_DOWNLOAD',
    run: (bench) => refuses(bench, {}, 'AIOT_UPDATE_DOWNLOAD'),
  },
  {
    id: 'manifest-garbage',
    section,
    rule: 'rejects content that is not an envelope with AIOT_MANIFEST_MALFORMED',
    async run(bench) {
      for (const text of ['no envelope', '{"payload":7}'])
        await refuses(bench, { manifest: await put(bench, Buffer.from(text)) }, 'AIOT_MANIFEST_MALFORMED');
    },
  },
  {
    id: 'manifest-oversized',
    section,
    rule: 'rejects an envelope larger than 64 KiB with AIOT_MANIFEST_MALFORMED',
    async run(bench) {
      const envelope = strangersEnvelope();
      const bytes = Buffer.from(JSON.stringify(envelope).padEnd(envelopeBytes + 1));
      await refuses(bench, { manifest: await put(bench, bytes) }, 'AIOT_MANIFEST_MALFORMED');
    },
  },
  {
    id: 'manifest-unknown-key',
    section,
    rule: 'rejects a signature by an untrusted key with AIOT_SIGNATURE_INVALID',
    async run(bench) {
      const manifest = await put(bench, Buffer.from(JSON.stringify(strangersEnvelope())));
      await refuses(bench, { manifest }, 'AIOT_SIGNATURE_INVALID');
    },
  },
  {
    id: 'manifest-wrong-signature',
    section,
    rule: 'rejects a signature that does not match its key with AIOT_SIGNATURE_INVALID',
    async run(bench) {
      const trust = await bench.client.trust.get();
      const keyid = trust?.roles.release.keyids[0];
      if (keyid === undefined) throw new NotLooked('the platform has no trust root yet');
      const { payload, signatures } = strangersEnvelope();
      const forged = { payload, signatures: signatures.map(({ sig }) => ({ keyid, sig })) };
      const manifest = await put(bench, Buffer.from(JSON.stringify(forged)));
      await refuses(bench, { manifest }, 'AIOT_SIGNATURE_INVALID');
    },
  },
  {
    id: 'manifest-mismatch',
    section,
    rule: 'rejects a release other than the announced one with AIOT_UPDATE_MISMATCH',
    async run(bench) {
      const [release] = await releases(bench);
      if (!release) throw new NotLooked('the registry contains no model: aiot model push');
      const { name, version, sequence } = release;
      // A valid manifest, announced with another version. A device that does not compare the versions would accept it.
      await refuses(bench, { ...at(release), name, sequence, version: version + 1 }, 'AIOT_UPDATE_MISMATCH');
    },
  },
  {
    id: 'manifest-other-type',
    section,
    rule: 'rejects a release for other device types with AIOT_UPDATE_DEVICE_TYPE',
    async run(bench) {
      const { type } = bench.device;
      const release = (await releases(bench)).find(({ deviceTypes }) => !deviceTypes.includes(type));
      if (!release) throw new NotLooked(`the registry has no model for types other than ${type}`);
      await refuses(bench, at(release), 'AIOT_UPDATE_DEVICE_TYPE');
    },
  },
  {
    id: 'manifest-older',
    section,
    rule: 'rejects a release older than the current one with AIOT_UPDATE_SEQUENCE or AIOT_UPDATE_FLOOR',
    async run(bench) {
      const { model } = ((await bench.ask('status')).result ?? {}) as Partial<Reported>;
      if (!model) throw new NotLooked('it has no active model');
      const { type } = bench.device;
      const release = (await releases(bench)).find(
        ({ sequence, deviceTypes }) => sequence < model.sequence && deviceTypes.includes(type),
      );
      if (!release) throw new NotLooked('the registry has no older model for it than the active one');
      await refuses(bench, at(release), 'AIOT_UPDATE_SEQUENCE', 'AIOT_UPDATE_FLOOR');
    },
  },
];

/** Checks that the desired release is rejected with one of these codes and that the device's release is unchanged. @throws NotHeld */
async function refuses(bench: Bench, wish: Parameters<Bench['wish']>[0], ...codes: string[]): Promise<void> {
  await unchanged(bench, async () => {
    const { state, error } = await bench.wish(wish);
    const got = state === 'IDLE' ? error?.code : state;
    if (got === undefined || !codes.includes(got))
      throw new NotHeld(`expected ${codes.join(' or ')}, got ${got}: ${error?.message}`);
  });
}

/** Uploads a blob for the device and returns its path. Nothing refers to the blob, so the platform deletes it within a day. */
async function put(bench: Bench, bytes: Buffer): Promise<string> {
  const digest = digestOf(bytes);
  await bench.client.blobs.put(digest, bytes);
  return `/api/v1/blobs/${digest}`;
}

/** A well-formed manifest signed by an unknown key. */
function strangersEnvelope(): Envelope {
  const { privatePem } = generateKeyPair();
  const about = { kind: 'model', name: 'conform', version: 1, sequence: Number.MAX_SAFE_INTEGER } as const;
  const artifact = { name: 'model.aiot', digest: digestOf(Buffer.from('')), bytes: 1 };
  return signManifest(
    {
      ...{ spec: 'aiot-manifest/1', role: 'release', ...about, floor: 0, issued: 0, expires: null },
      deviceTypes: ['virtual'],
      artifacts: [artifact],
    },
    privatePem,
  );
}

interface Release {
  name: string;
  version: number;
  sequence: number;
  deviceTypes: string[];
}

const at = ({ name, version, sequence }: Release) => ({
  name,
  version,
  sequence,
  manifest: `/api/v1/manifests/${sequence}`,
});

/** Maximum number of the registry's releases to examine, newest first. */
const mostReleases = 20;

/** The registry's signed models, newest first. */
async function releases({ client }: Bench): Promise<Release[]> {
  const models = await client.models.list();
  const versions = await Promise.all(models.map(({ name }) => client.models.versions(name)));
  const signed = versions.flat().filter(({ trusted, sequence }) => trusted && sequence > 0);
  const newest = signed.sort((a, b) => b.sequence - a.sequence).slice(0, mostReleases);
  return Promise.all(
    newest.map(async ({ name, version, sequence }) => {
      const { deviceTypes } = peekManifest(await client.manifests.get(sequence));
      return { name, version, sequence, deviceTypes };
    }),
  );
}
