import * as z from 'zod';
import { deviceConfigSchema } from '../../formats/device-config.js';
import { chipNames } from '../../formats/esp-image/chips.js';
import { envelopeSchema } from '../../formats/manifest/envelope.js';
import { nextVersionSchema, pushRequestSchema, trustSchema } from '../api.js';
import { digest, name, time } from '../fields.js';
import { bundleKinds } from '../firmware/bundle.js';
import { pageQuerySchema, pageSchema } from '../page.js';
import { endpoint } from './endpoint.js';

/** GET /firmware → {firmware}, GET /firmware/{name} → {versions}, GET /firmware/{name}/versions/{version} */
export const firmwareVersionSchema = z.object({
  name,
  version: z.int(),
  /** Sequence number of the version's manifest, which increases over all firmware of the platform. */
  sequence: z.int(),
  /** Digest of the image. */
  digest,
  bytes: z.int(),
  pushed: time,
  /** The chip that the image was built for, according to its header; null = a program for a computer. */
  chip: z.enum(chipNames).nullable(),
  deviceTypes: z.array(z.string()),
  /** Format of a bundle for an update client; absent = not a bundle, but a chip's image or a program for a computer. */
  bundle: z.enum(bundleKinds).optional(),
  /** The application description in the image; null if the image has none. */
  app: z.object({ project: z.string(), version: z.string(), built: z.string(), idf: z.string() }).nullable(),
  /** Anti-rollback version: devices that require a higher one reject the firmware. Absent = 0. */
  secureVersion: z.int().optional(),
});
export type FirmwareVersion = z.output<typeof firmwareVersionSchema>;

/** An entry of GET /firmware. */
export const firmwareSummarySchema = z.object({
  name,
  versions: z.int(),
  latest: firmwareVersionSchema,
});
export type FirmwareSummary = z.output<typeof firmwareSummarySchema>;

export const firmwareListSchemas = {
  firmware: pageSchema('firmware', firmwareSummarySchema),
  versions: pageSchema('versions', firmwareVersionSchema),
};

/** GET /configs → {configs}, GET /configs/{name} → {versions}, GET /configs/{name}/versions/{version} */
export const configVersionSchema = z.object({
  name,
  version: z.int(),
  /** Sequence number of the version's manifest, which increases over all configurations of the platform. */
  sequence: z.int(),
  /** Digest of the document. */
  digest,
  bytes: z.int(),
  pushed: time,
  deviceTypes: z.array(z.string()),
  /** Settings in the document, with defaults filled in. */
  config: deviceConfigSchema,
});
export type ConfigVersion = z.output<typeof configVersionSchema>;

/** An entry of GET /configs. */
export const configSummarySchema = z.object({ name, versions: z.int(), latest: configVersionSchema });
export type ConfigSummary = z.output<typeof configSummarySchema>;

export const configListSchemas = {
  configs: pageSchema('configs', configSummarySchema),
  versions: pageSchema('versions', configVersionSchema),
};

/** A public key: SPKI DER in base64, and its SHA-256. */
export const publicKeySchema = z.object({ keyid: z.string(), publicKey: z.base64() });
export type PublicKey = z.output<typeof publicKeySchema>;

/** GET and POST /trust/root. */
export const trustChainSchema = z.object({
  /** Version of the root in force; null = the platform has no trust root yet. */
  version: z.int().nullable(),
  /** The newest root; null = the trust root is a plain list of keys, without roles. */
  root: envelopeSchema.nullable(),
  /** Keys with which the platform can sign timestamps, newest last. */
  timestampKeys: z.array(publicKeySchema),
});
export type TrustChain = z.output<typeof trustChainSchema>;

const number = z.coerce.number().int().min(1);
const params = z.object({ name: z.string(), version: number });

/** The sequence number of the requested manifest; absent = the newest. Rollouts continue with their original manifest. */
const manifestQuerySchema = z.object({ sequence: number.optional() });

/**
 * Endpoints for a kind of release with a single blob for each version. `one` and `all` are the kind's names in
 * summaries.
 */
function releases<
  const Noun extends 'firmware' | 'configs',
  Version extends typeof firmwareVersionSchema | typeof configVersionSchema,
  List extends z.ZodObject,
  Versions extends z.ZodObject<{ versions: z.ZodType }>,
>(
  noun: Noun,
  [one, all]: readonly [string, string],
  { version, list, versions }: { version: Version; list: List; versions: Versions },
) {
  return {
    list: endpoint(`GET /${noun}`, {
      reach: 'shared',
      summary: `${all}, by name`,
      query: pageQuerySchema,
      result: list,
      list: noun as Noun & keyof z.output<List> & string,
    }),
    /** Returns versions, newest first. */
    versions: endpoint(`GET /${noun}/:name`, {
      reach: 'shared',
      summary: `Versions of one ${one}, newest first`,
      query: pageQuerySchema,
      result: versions,
      list: 'versions' as 'versions' & keyof z.output<Versions> & string,
    }),
    /** Returns the version and the sequence number for the operator's next manifest. */
    next: endpoint(`GET /${noun}/:name/next`, {
      reach: 'shared',
      summary: `Values to sign for the next ${one} version`,
      result: nextVersionSchema,
    }),
    /** Pushes a version. Its blob must already exist. */
    push: endpoint(`POST /${noun}/:name/versions`, {
      reach: 'shared',
      summary: `Push a signed ${one} version`,
      access: 'ci',
      body: pushRequestSchema,
      takes: ['envelope'],
      result: version,
      location: (card: { name: string; version: number }) => [noun, card.name, 'versions', card.version],
      errors: ['AIOT_SIGNATURE_INVALID', 'AIOT_VERSION_CONFLICT'],
    }),
    get: endpoint(`GET /${noun}/:name/versions/:version`, {
      reach: 'shared',
      summary: `One ${one} version`,
      params,
      result: version,
    }),
    /** Returns the newest manifest, or the manifest with the given sequence number. */
    manifest: endpoint(`GET /${noun}/:name/versions/:version/manifest`, {
      reach: 'shared',
      summary: `The signed manifest of a ${one} version`,
      access: 'devices',
      params,
      query: manifestQuerySchema,
      takes: ['sequence'],
      result: envelopeSchema,
    }),
    /** Stores a newly signed manifest, with the next sequence number. */
    sign: endpoint(`POST /${noun}/:name/versions/:version/manifest`, {
      reach: 'shared',
      summary: `Sign a ${one} version again, with the next sequence number`,
      access: 'ci',
      params,
      body: pushRequestSchema,
      takes: ['envelope'],
      result: version,
      errors: ['AIOT_SIGNATURE_INVALID', 'AIOT_VERSION_CONFLICT'],
    }),
  };
}

export const firmware = releases('firmware', ['firmware', 'Firmware'], {
  version: firmwareVersionSchema,
  list: firmwareListSchemas.firmware,
  versions: firmwareListSchemas.versions,
});

export const configs = releases('configs', ['configuration', 'Configurations'], {
  version: configVersionSchema,
  list: configListSchemas.configs,
  versions: configListSchemas.versions,
});

/** The trust root, which contains the keys that may sign. Devices request it too. */
export const trust = {
  /** The trust root; null before the first `put`. */
  get: endpoint('GET /trust', {
    reach: 'shared',
    summary: 'Keys that may sign releases',
    access: 'devices',
    result: z.object({ trust: trustSchema.nullable() }),
    list: 'trust',
  }),
  put: endpoint('PUT /trust', {
    summary: 'Set the trust root',
    body: trustSchema,
    result: trustSchema,
    errors: ['AIOT_TRUST_CONFLICT'],
  }),
  chain: endpoint('GET /trust/root', {
    reach: 'shared',
    summary: "The newest root, and the platform's timestamp keys",
    access: 'devices',
    result: trustChainSchema,
  }),
  root: endpoint('GET /trust/root/:version', {
    reach: 'shared',
    summary: 'A trust root by its version',
    access: 'devices',
    params: z.object({ version: number }),
    result: envelopeSchema,
  }),
  putRoot: endpoint('POST /trust/root', {
    summary: 'Set the next root, signed by the previous root keys and its own',
    body: envelopeSchema,
    result: trustChainSchema,
    errors: ['AIOT_TRUST_SIGNATURES', 'AIOT_TRUST_VERSION', 'AIOT_TRUST_ROOT_EXPIRED'],
  }),
  timestamp: endpoint('GET /trust/timestamp', {
    reach: 'shared',
    summary: 'The newest versions, signed for one day',
    access: 'devices',
    result: envelopeSchema,
    errors: ['AIOT_NOT_FOUND'],
  }),
  newTimestampKey: endpoint('POST /trust/timestamp/keys', {
    summary: 'Create another timestamp key, which is used once a root contains it',
    result: publicKeySchema,
  }),
};
