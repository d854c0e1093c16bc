import * as z from 'zod';
import { digestPattern } from '../../core/crypto.js';
import { namePattern } from '../../core/names.js';
import { modelVersionSchema } from '../api.js';
import { toSignSchema } from '../to-sign.js';
import { endpoint } from './endpoint.js';

/** Maximum size of a file that the platform inspects, bytes. It is read into memory. */
export const largestModelFile = 64 * 1024 ** 2;

const params = z.object({ digest: z.string().regex(digestPattern) });

const described = {
  /** Name of the file, for messages and as the version's origin. */
  file: z.string().min(1).max(255).optional(),
  /** Name of the model. Required for a .tflite file; a bundle and a manifest contain it. */
  name: z.string().regex(namePattern).optional(),
};

/** An uploaded file, and how it can become a version of a model. */
export const modelFileSchema = z.object({
  digest: z.string(),
  bytes: z.int(),
  /** `manifest`: signatures without the bundle, which is a separate file. `network`: a .tflite file. */
  form: z.enum(['bundle', 'signed-bundle', 'manifest', 'network']),
  /** Name of the model. */
  name: z.string(),
  /** `network`: a model without its features and labels, which devices do not run. */
  kind: z.enum(['model', 'network']),
  classes: z.array(z.string()),
  /** Data type of the model; null = unknown, because its bundle has not been uploaded. */
  mode: z.string().nullable(),
  /** The signed manifest with its signers; null = the file is not signed. */
  release: toSignSchema.nullable(),
  /** Number of valid signatures, and the number that the trust root requires (0 = there is no trust root). */
  signatures: z.object({ valid: z.int(), required: z.int() }),
  /** Effect of publishing: a new version, or another signature on an existing one; null = it cannot be published. */
  publish: z.object({ version: z.int(), adds: z.enum(['version', 'signature']) }).nullable(),
  /** The version that the file becomes without its signatures; null = it cannot be stored, or already is. */
  store: z.object({ version: z.int() }).nullable(),
  /** The version that already has this manifest or, if the file cannot be published, the newest with this content; null = none. */
  existing: z.int().nullable(),
  /** Why a signed file cannot be published. */
  problem: z.object({ code: z.string(), message: z.string(), next: z.string() }).nullable(),
});
export type ModelFile = z.output<typeof modelFileSchema>;

/** Models from files that were uploaded as blobs, and are signed elsewhere. */
export const modelFiles = {
  inspect: endpoint('GET /model-files/:digest', {
    reach: 'shared',
    summary: 'Inspect an uploaded model file before it is published',
    description:
      'The file is a blob: a .aiot bundle, signed or not, a .tflite file, or a manifest as written by `aiot trust sign`. Every byte and all signatures are checked.',
    access: 'ci',
    params,
    query: z.object(described),
    result: modelFileSchema,
    errors: [
      'AIOT_BUNDLE_MALFORMED',
      'AIOT_BUNDLE_TAMPERED',
      'AIOT_MANIFEST_MALFORMED',
      'AIOT_MODEL_UNFIT',
      'AIOT_TFLITE_MALFORMED',
      'AIOT_TFLITE_UNSUPPORTED',
      'AIOT_UPDATE_INTERFACE',
    ],
  }),
  /** Makes the file a version. `publish` requires enough signatures; `store` ignores them, and the version waits for a signature. */
  add: endpoint('POST /model-files/:digest', {
    reach: 'shared',
    summary: 'Publish a signed model file, or store it until it is signed',
    access: 'ci',
    params,
    body: z.strictObject({ action: z.enum(['publish', 'store']), ...described }),
    result: modelVersionSchema,
    location: ({ name, version }) => ['models', name, 'versions', version],
    errors: [
      'AIOT_BUNDLE_MALFORMED',
      'AIOT_BUNDLE_TAMPERED',
      'AIOT_DIGEST_MISMATCH',
      'AIOT_MANIFEST_MALFORMED',
      'AIOT_MODEL_UNFIT',
      'AIOT_SIGNATURE_INVALID',
      'AIOT_SIGNATURES_MISSING',
      'AIOT_TFLITE_MALFORMED',
      'AIOT_TFLITE_UNSUPPORTED',
      'AIOT_TRUST_MISSING',
      'AIOT_UPDATE_INTERFACE',
      'AIOT_VERSION_CONFLICT',
    ],
  }),
};
