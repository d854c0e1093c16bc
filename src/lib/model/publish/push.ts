import { basename, dirname, join } from 'node:path';
import * as z from 'zod';
import { type ModelVersion, modelVersionSchema } from '../../api/api.js';
import type { RegistryClient } from '../../api/client.js';
import {
  isSignedEnough,
  pushAttempts,
  signedRelease,
  type TrustReader,
  waitForTurn,
} from '../../api/signatures.js';
import { type Agree, toSign } from '../../api/to-sign.js';
import { manifestAsked, signedBy } from '../../api/vouched.js';
import { digestOf } from '../../core/crypto.js';
import { AiotError, hasCode, unless } from '../../core/errors.js';
import { readBytes, readJson } from '../../core/files.js';
import { namePattern } from '../../core/names.js';
import type { Project } from '../../core/project.js';
import type { Envelope } from '../../formats/manifest/envelope.js';
import type { UnsignedManifest } from '../../formats/manifest/manifest.js';
import { importTflite } from '../../formats/tflite/read.js';
import { bundleProject } from '../bundle/bundle-project.js';
import { deviceNeed } from '../bundle/device-memory.js';
import { endOf, modeOf } from '../bundle/ends.js';
import { isSigned, packBundle, requireBundle, unpackAny, unpackBundle } from '../bundle/pack.js';
import { unknownProvenance } from '../bundle/schema.js';
import { filesOf, interfaceOf, modelPartOf } from '../bundle/signed-bundle.js';
import type { NetworkBundle } from '../bundle/types.js';
import { requireAccepted } from '../evaluate/evaluate-project.js';
import { modelName, readEvaluation, readQuantization } from '../files.js';
import type { DataSource } from '../material.js';

export const pushResultSchema = z.object({
  name: z.string(),
  version: z.int(),
  /** Digest of the bundle. */
  digest: z.string(),
  /** Sequence number of the signed manifest. */
  sequence: z.int(),
  bytes: z.int(),
  /** The pushed file. */
  file: z.string(),
  /** `network`: a bare .tflite file, which devices cannot run. */
  kind: z.enum(['model', 'network']),
  /** The newest previous version with the same contents, and therefore the same blob. */
  sameAs: z.int().nullable(),
  /** Minimum memory that the model needs on a 32-bit chip, bytes; null for a network. */
  memory: z.object({ active: z.int(), trial: z.int() }).nullable(),
  /** Training runs that were published with a project's model: number of new ones, and why they could not be published (null = they were). */
  runs: z.object({ added: z.int(), problem: z.string().nullable() }).optional(),
});

export type PushResult = z.output<typeof pushResultSchema>;

/** The registry client's calls that a push needs. */
export type PushClient = ReleaseClient & { models: Pick<RegistryClient['models'], 'versions'> };

interface Common {
  client: PushClient;
  /** The operator's signing key, PKCS#8 PEM, which is used locally and never sent. */
  privatePem: string;
  /** Device types for which the model is released; a device of another type rejects it. */
  deviceTypes?: string[];
  /** Devices reject the release after this time, ms from now; absent = it does not expire. */
  validMs?: number | undefined;
}

export interface PushOptions extends DataSource, Common {
  project: Project;
  /** Overrides the project's name for the model. */
  name?: string | undefined;
  /** The pipeline run to which this step belongs; recorded in the signed lineage. */
  run?: { id: string; cause: string | null } | undefined;
}

interface PushFileOptions extends Common {
  /** A .aiot bundle, signed or not, or a .tflite network. */
  path: string;
  /** Overrides the bundle's own name, or the file's. */
  name?: string | undefined;
}

/** Default device types: those on which aiot can run a model itself. A rollout checks whether the model fits in a device's memory. */
export const defaultDeviceTypes = [
  'virtual',
  'esp32',
  'esp32s3',
  'esp32c3',
  'esp32c6',
  'esp32h2',
  'esp32p4',
  'pi',
];

/**
 * Bundles the accepted network, uploads the bundle, and pushes a locally signed manifest.
 * @throws AIOT_USAGE (device types), AIOT_GATE_FAILED, AIOT_MODEL_STALE, AIOT_MODEL_NOT_BUILT, and any platform error
 */
export async function pushModel(options: PushOptions): Promise<PushResult> {
  const { project } = options;
  checkTypes(options.deviceTypes);
  const name = checkedName(options.name ?? modelName(project));
  // Bundling verifies that the file still has this digest.
  const { digest } = await readQuantization(project);
  requireAccepted(await readEvaluation(project), digest, project);
  const { bytes, file } = await bundleProject({ ...options, name });
  return pushContent(options, { name, content: bytes, file, kind: 'model' });
}

/**
 * Pushes a bundle unchanged, or a bare network. A bundle's previous signatures are ignored, because it is signed locally.
 * @throws AIOT_FILE_NOT_FOUND, AIOT_BUNDLE_MALFORMED, AIOT_TFLITE_MALFORMED, AIOT_TFLITE_UNSUPPORTED, and as `pushModel`
 */
export async function pushFile(options: PushFileOptions): Promise<PushResult> {
  checkTypes(options.deviceTypes);
  const { name, content, kind } = await bundleOfFile(options.path, options.name);
  return pushContent(options, { name: checkedName(name), content, file: options.path, kind });
}

interface Content {
  name: string;
  content: Uint8Array;
  file: string;
  kind: PushResult['kind'];
}

async function pushContent(options: Common, { name, content, file, kind }: Content): Promise<PushResult> {
  const { client, privatePem, deviceTypes = defaultDeviceTypes, validMs } = options;
  const digest = digestOf(content);
  const before = (await unless('AIOT_NOT_FOUND', client.models.versions(name))) ?? [];
  const sameAs = before.find((pushed) => pushed.digest === digest)?.version ?? null;
  const issued = Date.now();
  const expires = validMs === undefined ? null : issued + validMs;
  const pushed = await release(client, content, { name, issued, expires, deviceTypes }, privatePem);
  const memory = kind === 'network' ? null : memoryOf(content);
  return { name, ...pushed, digest, bytes: content.length, file, kind, sameAs, memory };
}

function memoryOf(content: Uint8Array): PushResult['memory'] {
  const { active, trial } = deviceNeed(unpackBundle(content));
  return { active, trial };
}

function checkTypes(deviceTypes: string[] = defaultDeviceTypes): void {
  const wrong = deviceTypes.find((type) => !namePattern.test(type));
  if (wrong === undefined && deviceTypes.length > 0) return;
  throw new AiotError('AIOT_USAGE', `expected device types such as virtual or esp32, got "${wrong ?? ''}"`);
}

function checkedName(name: string): string {
  if (namePattern.test(name)) return name;
  throw new AiotError(
    'AIOT_USAGE',
    `expected a name of letters, digits, dot, dash or underscore, got "${name}"`,
    {
      next: 'Specify a name: --name NAME',
    },
  );
}

/** Whether the argument is a file to push rather than a name: by its extension, or because it is a path. */
export function isModelFile(text: string): boolean {
  return /\.(aiot|tflite)$/i.test(text) || /[/\\]/.test(text);
}

/**
 * The content of a file to be pushed. A .aiot file is unchanged (without signatures). A .tflite file becomes a network-only bundle. It is
 * named after the model whose build folder contains the file, or otherwise after the file. The name is part of the content.
 * @throws AIOT_FILE_NOT_FOUND, AIOT_FILE_NOT_READABLE, AIOT_BUNDLE_MALFORMED, AIOT_TFLITE_MALFORMED, AIOT_TFLITE_UNSUPPORTED
 */
export async function bundleOfFile(
  path: string,
  name?: string,
): Promise<{ name: string; content: Uint8Array; kind: 'model' | 'network' }> {
  const bytes = await readBytes(path);
  // Checks the contents, not the name: a TFLite file has an identifier at byte 4.
  if (bytes.subarray(4, 8).toString('latin1') === 'TFL3' || /\.tflite$/i.test(path)) {
    const own = name ?? (await projectOf(path)) ?? basename(path).replace(/\.[^.]*$/, '');
    return { name: own, content: networkBundle(own, bytes, path), kind: 'network' };
  }
  requireBundle(bytes, path);
  try {
    const bundle = unpackAny(bytes, path);
    bundle.info.name = name ?? bundle.info.name;
    return { name: bundle.info.name, content: packBundle(bundle), kind: bundle.info.kind };
  } catch (error) {
    if (!(error instanceof AiotError) || error.message.startsWith(path)) throw error;
    throw error.reworded(`${path}: ${error.message}`, { cause: error, next: error.next });
  }
}

const named = z.object({ spec: z.string().startsWith('aiot-training/'), model: z.string() });

/**
 * The model whose build folder contains a file. The file's name is not enough, because network files have the same name in every build
 * folder.
 */
async function projectOf(path: string): Promise<string | undefined> {
  const training = await readJson(join(dirname(path), 'training.json')).catch(() => null);
  const read = named.safeParse(training);
  return read.success ? read.data.model : undefined;
}

/**
 * A bare .tflite file as a bundle. The bundle can be stored and verified, but no device runs it, because the meaning of its inputs and
 * outputs is unknown.
 * @throws AIOT_TFLITE_MALFORMED, AIOT_TFLITE_UNSUPPORTED, AIOT_MODEL_UNFIT (more than one input or output)
 */
export function networkBundle(name: string, model: Uint8Array, file: string): Uint8Array {
  try {
    const { graph } = importTflite(model);
    const mode = modeOf(graph);
    const info: NetworkBundle['info'] = {
      spec: 'aiot-bundle/2',
      kind: 'network',
      name,
      quantization: { mode },
      input: endOf(graph, 'inputs'),
      output: endOf(graph, 'outputs'),
    };
    return packBundle({ info, model, golden: [], lineage: unknownProvenance(digestOf(model), mode) });
  } catch (error) {
    if (!(error instanceof AiotError)) throw error;
    throw error.reworded(`${file}: ${error.message}`, { cause: error, next: error.next });
  }
}

interface ReleaseOptions {
  name: string;
  version: number;
  sequence: number;
  /** ms since 1970 */
  issued: number;
  /** ms since 1970, null = it does not expire. */
  expires: number | null;
  deviceTypes: string[];
}

/** The unsigned manifest of a bundle's content. @throws AIOT_BUNDLE_MALFORMED */
export function manifestOf(content: Uint8Array, options: ReleaseOptions): UnsignedManifest {
  const bundle = unpackAny(content);
  return {
    spec: 'aiot-manifest/1',
    role: 'release',
    kind: 'model',
    floor: 0,
    ...options,
    interface: interfaceOf(bundle),
    artifacts: [{ name: 'model.aiot', digest: digestOf(content), bytes: content.length }],
    model: modelPartOf(bundle),
    files: filesOf(content),
  };
}

/** The registry client's calls that a release needs. */
type ReleaseClient = TrustReader & {
  blobs: Pick<RegistryClient['blobs'], 'put'>;
  models: Pick<RegistryClient['models'], 'next' | 'push'>;
};

/** Maximum envelope size that devices read (docs/reference/protocol.md), in bytes. */
const largestEnvelope = 64 * 1024;

/**
 * Uploads a bundle's content, and pushes a locally signed manifest as the next version. @throws AIOT_MODEL_UNFIT (manifest too large),
 * AIOT_VERSION_CONFLICT, and any platform error
 */
export async function release(
  client: ReleaseClient,
  content: Uint8Array,
  options: Omit<ReleaseOptions, 'version' | 'sequence'>,
  privatePem: string,
): Promise<{ version: number; sequence: number }> {
  const { name } = options;
  const digest = digestOf(content);
  await client.blobs.put(digest, content);
  for (let attempt = 1; ; attempt++) {
    const next = await client.models.next(name);
    try {
      const manifest = manifestOf(content, { ...options, ...next });
      const envelope = await signedRelease(client, manifest, privatePem);
      requireSmall(envelope);
      await client.models.push(name, envelope);
      return next;
    } catch (error) {
      if (attempt === pushAttempts) throw error;
      // The blob may have been removed together with the last version that had the same content.
      if (hasCode(error, 'AIOT_NOT_FOUND')) await client.blobs.put(digest, content);
      else if (!hasCode(error, 'AIOT_VERSION_CONFLICT')) throw error;
    }
    await waitForTurn(attempt);
  }
}

function requireSmall(envelope: Envelope): void {
  const { length } = JSON.stringify(envelope);
  if (length <= largestEnvelope) return;
  throw new AiotError(
    'AIOT_MODEL_UNFIT',
    `the manifest has ${length} bytes, but devices read at most ${largestEnvelope}`,
    {
      next: 'Use fewer features or labels in aiot.yaml.',
    },
  );
}

export const signResultSchema = modelVersionSchema.extend({
  /** Whether the version was already signed, so that nothing was done. */
  unchanged: z.boolean(),
});

type SignResult = z.output<typeof signResultSchema>;

interface SignOptions {
  client: TrustReader & {
    blobs: Pick<RegistryClient['blobs'], 'get' | 'put'>;
    models: Pick<RegistryClient['models'], 'get' | 'next'>;
    manifests: Pick<RegistryClient['manifests'], 'get' | 'post'>;
  };
  model: { name: string; version: number };
  /** The operator's signing key, PKCS#8 PEM, which is used locally and never sent. */
  privatePem: string;
  deviceTypes?: string[];
  /** Devices reject the release after this time, ms from now; absent = it does not expire. */
  validMs?: number | undefined;
  /** Asks for confirmation before signing a version that only other users have signed. */
  agree?: Agree;
}

/**
 * Signs a version that was uploaded through an interface without signatures: fetches it, verifies each byte, converts a .tflite file to a
 * bundle, and signs the bundle. The upload itself does not change, but the version then refers to the bundle.
 * @throws AIOT_NOT_FOUND, AIOT_DIGEST_MISMATCH, AIOT_MODEL_UNFIT (neither a network nor a bundle), AIOT_TFLITE_MALFORMED,
 *   AIOT_TFLITE_UNSUPPORTED, AIOT_BUNDLE_MALFORMED, AIOT_UPDATE_MISMATCH, AIOT_INTERRUPTED (not confirmed)
 */
export async function signModel(options: SignOptions): Promise<SignResult> {
  const { client, model, privatePem } = options;
  const card = await client.models.get(model.name, model.version);
  const make = card.trusted ? await againOf(options, card) : await anewOf(options, card);
  if (!make) return { ...card, unchanged: true };
  for (let attempt = 1; ; attempt++) {
    const { sequence } = await client.models.next(model.name);
    const envelope = await signedRelease(client, make(sequence), privatePem);
    try {
      return { ...(await client.manifests.post(envelope)), unchanged: false };
    } catch (error) {
      if (attempt === pushAttempts || !hasCode(error, 'AIOT_VERSION_CONFLICT')) throw error;
    }
    await waitForTurn(attempt);
  }
}

/** Creates the manifest to sign for a given sequence number. */
type Make = (sequence: number) => UnsignedManifest;

async function anewOf(options: SignOptions, card: ModelVersion): Promise<Make> {
  const { client, model, deviceTypes = defaultDeviceTypes, validMs } = options;
  const content = contentOf(card, await (await client.blobs.get(card.digest)).bytes());
  await client.blobs.put(digestOf(content), content);
  return (sequence) => {
    const issued = Date.now();
    const expires = validMs === undefined ? null : issued + validMs;
    return manifestOf(content, { ...model, sequence, issued, expires, deviceTypes });
  };
}

/** Re-signs a release unchanged if its keys are no longer valid; null = it is already signed by valid keys, including this user's. */
async function againOf(options: SignOptions, card: ModelVersion): Promise<Make | null> {
  const { client, model, privatePem, validMs, agree } = options;
  const envelope = await client.manifests.get(card.sequence);
  const before = manifestAsked(envelope, { kind: 'model', ...model });
  const own = signedBy(envelope, privatePem);
  // An older version that only colleagues have signed needs this user's own signature before it can be rolled out again.
  if (own && (await isSignedEnough(client, envelope))) return null;
  if (agree && !own && !(await agree(await toSign(client, envelope, before)))) {
    throw new AiotError('AIOT_INTERRUPTED', 'canceled: nothing was signed');
  }
  const usual = before.expires === null ? null : before.expires - before.issued;
  const valid = validMs ?? usual;
  return (sequence) => {
    const issued = Date.now();
    return { ...before, sequence, issued, expires: valid === null ? null : issued + valid };
  };
}

function contentOf({ name, version, origin }: ModelVersion, bytes: Buffer): Uint8Array {
  const what = origin?.file ?? `${name}@${version}`;
  if (bytes.subarray(4, 8).toString('latin1') === 'TFL3') return networkBundle(name, bytes, what);
  try {
    requireBundle(bytes, what);
  } catch (error) {
    throw new AiotError('AIOT_MODEL_UNFIT', `${what} is neither a .tflite model nor a .aiot bundle`, {
      next: 'Convert it first with `aiot model import FILE`, then push the result.',
      cause: error,
    });
  }
  const bundle = unpackAny(bytes, what);
  if (bundle.info.name === name && !isSigned(bytes)) return bytes;
  throw new AiotError(
    'AIOT_MODEL_UNFIT',
    `${what} is the bundle of ${bundle.info.name}${isSigned(bytes) ? ', signed' : ''}, but was uploaded as ${name}`,
    { next: 'Download and inspect it, then push it with `aiot model push FILE`.' },
  );
}
