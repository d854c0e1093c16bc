import { z } from 'zod';
import { AiotError, digestOf, namePattern, type Project, unless } from '../core/index.js';
import type { RegistryClient } from '../registry/index.js';
import { bundleProject } from './bundle/bundle-project.js';
import type { DataSource } from './dataset.js';
import { requireAccepted } from './evaluate/evaluate-project.js';
import { modelName, readEvaluation, readQuantization } from './files.js';
import { bundleOfFile } from './push-file.js';
import { type ReleaseClient, release } from './release.js';

export const pushResultSchema = z.object({
  name: z.string(),
  version: z.int(),
  /** Of the bundle. */
  digest: z.string(),
  /** Of the signed manifest. */
  sequence: z.int(),
  bytes: z.int(),
  /** What was pushed. */
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

export interface PushOptions extends DataSource, Common {
  project: Project;
  /** Instead of the project's name for the model. */
  name?: string | undefined;
  /** Of a pipeline, whose step this is: it stands in the signed lineage. */
  run?: { id: string; cause: string | null } | undefined;
}

export interface PushFileOptions extends Common {
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
