import { basename, dirname, join } from 'node:path';
import * as z from 'zod';
import { digestOf } from '../../core/crypto.js';
import { AiotError, hasCode, unless } from '../../core/errors.js';
import { readBytes, readJson } from '../../core/files.js';
import { namePattern } from '../../core/names.js';
import type { Project } from '../../core/project.js';
import type { Envelope } from '../../formats/manifest/envelope.js';
import type { UnsignedManifest } from '../../formats/manifest/manifest.js';
import { importTflite } from '../../formats/tflite/reader.js';
import { type ModelVersion, modelVersionSchema } from '../../registry/api.js';
import type { RegistryClient } from '../../registry/client.js';
import {
  isSignedEnough,
  pushAttempts,
  signedRelease,
  type TrustReader,
  waitForTurn,
} from '../../registry/signatures.js';
import { type Agree, toSign } from '../../registry/to-sign.js';
import { manifestAsked, signedBy } from '../../registry/vouched.js';
import { bundleProject } from '../bundle/bundle-project.js';
import { endOf, modeOf } from '../bundle/ends.js';
import { isSigned, packBundle, requireBundle, unpackAny } from '../bundle/pack.js';
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
  /** Sequence of the signed manifest. */
  sequence: z.int(),
  bytes: z.int(),
  /** The pushed file. */
  file: z.string(),
  /** `network`: a .tflite file alone, which devices cannot run. */
  kind: z.enum(['model', 'network']),
  /** The newest version before it that has the same contents, and so the same blob. */
  sameAs: z.int().nullable(),
});

export type PushResult = z.output<typeof pushResultSchema>;

/** The calls of the registry's client that a push needs. */
export type PushClient = ReleaseClient & { models: Pick<RegistryClient['models'], 'versions'> };

interface Common {
  client: PushClient;
  /** The operator's signing key, PKCS#8 PEM: it signs here and goes nowhere. */
  privatePem: string;
  /** Types of device that it is released for; a device of another type refuses it. */
  deviceTypes?: string[];
  /** Devices refuse it after this time, ms from now; absent = it stays valid. */
  validMs?: number | undefined;
}

interface PushOptions extends DataSource, Common {
  project: Project;
  /** Instead of the project's name for the model. */
  name?: string | undefined;
  /** Of a pipeline, whose step this is: it stands in the signed lineage. */
  run?: { id: string; cause: string | null } | undefined;
}

interface PushFileOptions extends Common {
  /** A .aiot bundle, signed or not, or a .tflite network. */
  path: string;
  /** Instead of the bundle's own name, or the file's. */
  name?: string | undefined;
}

/** Those that aiot itself knows how to run a model on. */
export const defaultDeviceTypes = ['virtual', 'esp32', 'pi'];

/**
 * Bundles the accepted network, uploads it, and pushes a manifest signed here.
 * @throws AIOT_USAGE (types of device), AIOT_GATE_FAILED, AIOT_MODEL_STALE, AIOT_MODEL_NOT_BUILT, and what the platform says
 */
export async function pushModel(options: PushOptions): Promise<PushResult> {
  const { project } = options;
  checkTypes(options.deviceTypes);
  const name = checkedName(options.name ?? modelName(project));
  // Whether the file is still the one of this digest is seen when it is bundled.
  const { digest } = await readQuantization(project);
  requireAccepted(await readEvaluation(project), digest, project);
  const { bytes, file } = await bundleProject({ ...options, name });
  return pushContent(options, { name, content: bytes, file, kind: 'model' });
}

/**
 * Pushes a bundle as it is, or a network alone. Who signed a bundle before does not matter: it is signed here.
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
  return { name, ...pushed, digest, bytes: content.length, file, kind, sameAs };
}

function checkTypes(deviceTypes: string[] = defaultDeviceTypes): void {
  const wrong = deviceTypes.find((type) => !namePattern.test(type));
  if (wrong === undefined && deviceTypes.length > 0) return;
  throw new AiotError(
    'AIOT_USAGE',
    `expected types of device such as virtual or esp32, got "${wrong ?? ''}"`,
  );
}

function checkedName(name: string): string {
  if (namePattern.test(name)) return name;
  throw new AiotError(
    'AIOT_USAGE',
    `expected a name of letters, digits, dot, dash or underscore, got "${name}"`,
    {
      next: 'Give it one: --name NAME',
    },
  );
}

/** Whether what was typed is a file to push rather than a name: by how it ends, or because it is a path. */
export function isModelFile(text: string): boolean {
  return /\.(aiot|tflite)$/i.test(text) || /[/\\]/.test(text);
}

/**
 * The content of a file that is to be pushed: of a .aiot file as it is (signatures left out), of a .tflite file as a network
 * alone, named after the model in whose build folder it lies, else after the file. Another name makes other content of it, for the name is in it.
 * @throws AIOT_FILE_NOT_FOUND, AIOT_FILE_NOT_READABLE, AIOT_BUNDLE_MALFORMED, AIOT_TFLITE_MALFORMED, AIOT_TFLITE_UNSUPPORTED
 */
export async function bundleOfFile(
  path: string,
  name?: string,
): Promise<{ name: string; content: Uint8Array; kind: 'model' | 'network' }> {
  const bytes = await readBytes(path);
  // By the contents, not the name: a TFLite file has its mark at byte 4.
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
    throw new AiotError(error.code, `${path}: ${error.message}`, { cause: error, next: error.next });
  }
}

const named = z.object({ spec: z.string().startsWith('aiot-training/'), model: z.string() });

/** The model of the build folder that a file lies in: all of them call their networks alike. */
async function projectOf(path: string): Promise<string | undefined> {
  const training = await readJson(join(dirname(path), 'training.json')).catch(() => null);
  const read = named.safeParse(training);
  return read.success ? read.data.model : undefined;
}

/**
 * A .tflite file by itself as a bundle: it can be stored and verified, and no device runs it, for nobody said what goes
 * into it and what its outputs mean.
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
    throw new AiotError(error.code, `${file}: ${error.message}`, { cause: error, next: error.next });
  }
}

interface ReleaseOptions {
  name: string;
  version: number;
  sequence: number;
  /** ms since 1970 */
  issued: number;
  /** ms since 1970, null = it stays valid. */
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
    files: filesOf(bundle),
  };
}

/** The calls of the registry's client that a release needs. */
type ReleaseClient = TrustReader & {
  blobs: Pick<RegistryClient['blobs'], 'put'>;
  models: Pick<RegistryClient['models'], 'next' | 'push'>;
};

/** Devices read no larger envelope (docs/protocol.md), bytes. */
const largestEnvelope = 64 * 1024;

/** Uploads a bundle's content and pushes a manifest of it, signed here, as the next version. @throws AIOT_MODEL_UNFIT (too much to tell), AIOT_VERSION_CONFLICT, and what the platform says */
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
      // The blob went with the last version that had the same content, which was removed in between.
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
    `the manifest has ${length} bytes: devices read at most ${largestEnvelope}`,
    {
      next: 'Name fewer features or labels in aiot.yaml.',
    },
  );
}

export const signResultSchema = modelVersionSchema.extend({
  /** It was signed before: nothing was done. */
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
  /** The operator's signing key, PKCS#8 PEM: it signs here and goes nowhere. */
  privatePem: string;
  deviceTypes?: string[];
  /** Devices refuse it after this time, ms from now; absent = it stays valid. */
  validMs?: number | undefined;
  /** Asked before what only others have signed is signed again. */
  agree?: Agree;
}

/**
 * Vouches for a version that came in by a door without signatures: gets it, checks each byte of it, makes a bundle of a
 * .tflite file, and signs that. What came in stays as it was; the version is the bundle from then on.
 * @throws AIOT_NOT_FOUND, AIOT_DIGEST_MISMATCH, AIOT_MODEL_UNFIT (neither a network nor a bundle), AIOT_TFLITE_MALFORMED,
 * AIOT_TFLITE_UNSUPPORTED, AIOT_BUNDLE_MALFORMED, AIOT_UPDATE_MISMATCH, AIOT_INTERRUPTED (not agreed to)
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

/** Makes the manifest to sign from its sequence. */
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

/** A release signed by keys that are no longer valid is signed again unchanged; null = valid keys have signed it, this user's among them. */
async function againOf(options: SignOptions, card: ModelVersion): Promise<Make | null> {
  const { client, model, privatePem, validMs, agree } = options;
  const envelope = await client.manifests.get(card.sequence);
  const before = manifestAsked(envelope, { kind: 'model', ...model });
  const own = signedBy(envelope, privatePem);
  // An older version that only colleagues have signed is rolled out again only with this user's own signature.
  if (own && (await isSignedEnough(client, envelope))) return null;
  if (agree && !own && !(await agree(await toSign(client, envelope, before)))) {
    throw new AiotError('AIOT_INTERRUPTED', 'stopped: nothing was signed');
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
    throw new AiotError('AIOT_MODEL_UNFIT', `${what} is neither a .tflite network nor a .aiot bundle`, {
      next: 'Convert it first (aiot model import FILE), then push what comes out of it.',
      cause: error,
    });
  }
  const bundle = unpackAny(bytes, what);
  if (bundle.info.name === name && !isSigned(bytes)) return bytes;
  throw new AiotError(
    'AIOT_MODEL_UNFIT',
    `${what} is the bundle of ${bundle.info.name}${isSigned(bytes) ? ', signed' : ''}, and came in as ${name}`,
    { next: 'Download it, look at it, and push it: aiot model push FILE' },
  );
}
