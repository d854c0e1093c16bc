import { z } from 'zod';
import { AiotError, digestOf, hasCode, namePattern, type Project, unless } from '../core/index.js';
import { type Manifest, signManifest } from '../formats/index.js';
import type { RegistryClient } from '../registry/index.js';
import { bundleProject } from './bundle/bundle-project.js';
import type { DataSource } from './dataset.js';
import { requireAccepted } from './evaluate/accepted.js';
import { buildFiles, modelName, readEvaluation, readNetwork } from './files.js';

export const pushResultSchema = z.object({
  name: z.string(),
  version: z.int(),
  /** Of the bundle. */
  digest: z.string(),
  /** Of the signed manifest. */
  sequence: z.int(),
  bytes: z.int(),
  file: z.string(),
  /** The newest version before it that has the same contents. */
  sameAs: z.int().nullable(),
});
export type PushResult = z.output<typeof pushResultSchema>;

/** The calls of the registry's client that a push needs. */
export type PushClient = {
  blobs: Pick<RegistryClient['blobs'], 'put'>;
  models: Pick<RegistryClient['models'], 'next' | 'push' | 'versions'>;
};

export interface PushOptions extends DataSource {
  project: Project;
  client: PushClient;
  /** The operator's signing key, PKCS#8 PEM: it signs here and goes nowhere. */
  privatePem: string;
  /** Instead of the project's name for the model. */
  name?: string;
  /** Types of device that it is released for; a device of another type refuses it. */
  deviceTypes?: string[];
}

/** Those that aiot itself knows how to run a model on. */
export const defaultDeviceTypes = ['virtual', 'esp32', 'pi'];

/** Another push may take a version between asking for it and signing it. */
const attempts = 3;

/**
 * Bundles the accepted int8 network, uploads it, and pushes a manifest signed here.
 * @throws AIOT_USAGE (types of device), AIOT_GATE_FAILED, AIOT_MODEL_STALE, AIOT_MODEL_NOT_BUILT, and what the platform says
 */
export async function pushModel(options: PushOptions): Promise<PushResult> {
  const { project, client, privatePem, deviceTypes = defaultDeviceTypes } = options;
  const wrong = deviceTypes.find((type) => !namePattern.test(type));
  if (wrong !== undefined || deviceTypes.length === 0) {
    throw new AiotError(
      'AIOT_USAGE',
      `expected types of device such as virtual or esp32, got "${wrong ?? ''}"`,
    );
  }
  const name = options.name ?? modelName(project);
  const int8 = await readNetwork(buildFiles(project).int8, 'quantize');
  requireAccepted(await readEvaluation(project), digestOf(int8.bytes), project);
  const { bytes, digest, file } = await bundleProject({ ...options, name });
  await client.blobs.put(digest, bytes);
  const before = (await unless('AIOT_NOT_FOUND', client.models.versions(name))) ?? [];
  const sameAs = before.find((pushed) => pushed.digest === digest)?.version ?? null;
  for (let attempt = 1; ; attempt++) {
    const { version, sequence } = await client.models.next(name);
    const manifest: Manifest = {
      spec: 'aiot-manifest/1',
      role: 'release',
      kind: 'model',
      name,
      version,
      sequence,
      floor: 0,
      issued: Date.now(),
      expires: null,
      deviceTypes,
      artifacts: [{ name: 'model.aiot', digest, bytes: bytes.length }],
    };
    try {
      await client.models.push(name, signManifest(manifest, privatePem));
      return { name, version, digest, sequence, bytes: bytes.length, file, sameAs };
    } catch (error) {
      const raced = hasCode(error, 'AIOT_VERSION_CONFLICT');
      if (!raced || attempt === attempts) throw error;
    }
  }
}
