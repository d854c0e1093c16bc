import * as z from 'zod';
import { envelopeSchema, trustRootSchema } from '../formats/manifest/envelope.js';
import { conditionSchema, objectiveSchema, replicaSchema } from './condition.js';
import { deviceSchema, digest, name, time } from './fields.js';
import { pageQuerySchema, pageSchema } from './page.js';
import { relayStatusSchema } from './relay-api.js';

/**
 * Request and response bodies of the platform's API, /api/v1. The server uses these schemas for validation and
 * documentation; the client uses them for parsing. Times are in milliseconds since 1970. Errors are problems (RFC 9457;
 * problem.ts) with a suitable HTTP status.
 */

/** Output of a failed command with --json. */
export const errorBodySchema = z.object({
  error: z.object({ code: z.string(), message: z.string(), next: z.string().optional() }),
});

/** Addresses of a platform's listeners. */
export const platformUrlsSchema = z.object({
  /** The API, over TLS. */
  http: z.string(),
  mqtts: z.string(),
  /** MQTT without TLS; only with a plain listener. */
  mqtt: z.string().optional(),
  /** Listener for boards; only with a project that has boards. */
  boards: z.string().optional(),
  /** MQTT over WebSocket; only with a port for it. */
  wss: z.string().optional(),
  /** hawkBit's device API without TLS; only with a port for it. */
  ddi: z.string().optional(),
  /** The guide's services; only if they are enabled. */
  guide: z
    .object({ mqtt: z.string(), devices: z.string(), models: z.string(), datasets: z.string() })
    .optional(),
});
export type PlatformUrls = z.output<typeof platformUrlsSchema>;

/** GET /status */
export const statusSchema = z.object({
  version: z.string(),
  started: time,
  urls: platformUrlsSchema,
  ...conditionSchema.shape,
  /** All processes that share the database, the oldest first. */
  replicas: z.array(replicaSchema).default([]),
  /** Service level objectives; none for users whose rights are limited to some devices. */
  objectives: z.array(objectiveSchema).default([]),
  /** Present only with --events. */
  relay: relayStatusSchema.optional(),
  counts: z.object({
    devices: z.int(),
    online: z.int(),
    /** Number of models by name, without their versions. */
    models: z.int(),
    modelVersions: z.int(),
    datasets: z.int(),
    rollouts: z.int(),
  }),
});
export type Status = z.output<typeof statusSchema>;

/** PUT /blobs/{digest} (raw bytes), GET /blobs/{digest} (Range, ETag) */
export const blobSchema = z.object({ digest, bytes: z.int() });

/** POST /devices/{name}/state: a revoked device cannot be restored. */
export const deviceActionSchema = z.strictObject({ action: z.enum(['suspend', 'resume', 'revoke']) });

/** GET and PUT /trust. Any operator token may set the first trust root. Later roots must have a higher version. */
export const trustSchema = trustRootSchema;

/** Stages of a version. Each version begins in dev, and at most one version of each model is in production. */
export const stages = ['dev', 'staging', 'production'] as const;
export type Stage = (typeof stages)[number];

/** POST /models/{name}/versions/{version}/stage. `reason` overrides a failed gate. */
export const stageRequestSchema = z.strictObject({
  to: z.enum(stages),
  reason: z.string().trim().min(1).max(500).optional(),
});
export type StageRequest = z.output<typeof stageRequestSchema>;

/**
 * DELETE /models/{name}/versions/{version}. `blobRemoved`: whether the content was deleted too. The content is kept if anything else
 * refers to it.
 */
export const removedModelSchema = z.object({
  name,
  version: z.int(),
  digest,
  blobRemoved: z.boolean(),
});
export type RemovedModel = z.output<typeof removedModelSchema>;

/** GET /audit → {entries}, newest first: who did what, and when. */
export const auditEntrySchema = z.object({
  id: z.int(),
  at: time,
  /** The actor: `operator` or `user NAME`, each followed by the token's id, `device NAME`, or `platform`. */
  who: z.string(),
  action: z.string(),
  /** Subject of the entry, such as `har@3` or a device's name. */
  subject: z.string(),
  detail: z.record(z.string(), z.unknown()),
});
export type AuditEntry = z.output<typeof auditEntrySchema>;
export const auditQuerySchema = z.object({
  /** A version such as `har@3`, or a name, which selects all of its versions. */
  subject: z.string().max(100).optional(),
  ...pageQuerySchema.shape,
});

/** GET /models/{name}/next: values for the manifest that the operator signs. */
export const nextVersionSchema = z.object({ version: z.int(), sequence: z.int() });

/** POST /models/{name}/versions. The bundle's blob must exist; the platform derives the version's description from its bundle.json. */
export const pushRequestSchema = z.strictObject({ envelope: envelopeSchema });

/**
 * Metrics for one model on recordings that were not used to train it. Metrics that do not apply to its kind of output
 * are absent.
 */
export const figuresSchema = z.looseObject({
  windows: z.int(),
  accuracy: z.number().optional(),
  macroF1: z.number().optional(),
  /** Rows = truth, columns = prediction, in the order of the classes. */
  confusion: z.array(z.array(z.int())).optional(),
});

/** Cross-validation metrics over all recordings. Each recording is tested once, by a float model that was not trained on it. */
export const foldsFiguresSchema = z.object({
  folds: z.int(),
  windows: z.int(),
  /** Number of recordings, or of groups of a table's rows; null if each row is its own group. */
  groups: z.int().nullable(),
  accuracy: z.number().nullable(),
  /** 95 % confidence interval of the accuracy. */
  interval: z.tuple([z.number(), z.number()]).nullable(),
  macroF1: z.number().nullable(),
  rmse: z.number().nullable(),
  /** Metrics after the predictions are smoothed within each recording. */
  voted: z.object({ accuracy: z.number(), macroF1: z.number() }).nullable(),
});
export type FoldsFigures = z.output<typeof foldsFiguresSchema>;

/** One limit of model.accept, and whether the quantized model meets it. */
export const gateSchema = z.object({
  name: z.string(),
  limit: z.number(),
  /** The measured value; null = not measured, so the limit is not met. */
  got: z.number().nullable(),
  passed: z.boolean(),
});

/** Origin of a file that was uploaded without a signature. */
export const originSchema = z.object({
  /** The source, such as `architects-guide`. */
  source: z.string(),
  /** Original file name. */
  file: z.string(),
  digest,
  bytes: z.int(),
});
export type Origin = z.output<typeof originSchema>;

/** GET /models → {models: [...]}, GET /models/{name} → {versions}, GET /models/{name}/versions/{version} */
export const modelVersionSchema = z.object({
  name,
  version: z.int(),
  /** Sequence number of the newest manifest for this version, which increases when a rollback signs a new manifest. 0 = unsigned. */
  sequence: z.int(),
  /** Whether a key in the trust root has signed the version. Otherwise, it cannot be promoted or rolled out. */
  trusted: z.boolean(),
  /** Origin of an unsigned upload, whose content is stored unchanged; null = a signed version. */
  origin: originSchema.nullable(),
  /** Digest of the bundle. */
  digest,
  bytes: z.int(),
  pushed: time,
  stage: z.enum(stages),
  /** `network`: a .tflite file without a bundle, which devices cannot run. `upload`: not examined yet. */
  kind: z.enum(['model', 'network', 'upload']),
  /** The kind of the model's output; null = unknown. */
  answer: z.looseObject({ kind: z.string() }).nullable(),
  /** Data type of the model. */
  mode: z.string(),
  classes: z.array(z.string()),
  arenaBytes: z.int().nullable(),
  /**
   * Metrics of the float model and of the quantized one (always named `int8`, regardless of its data type); null = never evaluated.
   */
  metrics: z
    .object({
      float: figuresSchema,
      int8: figuresSchema,
      voted: figuresSchema.nullable(),
      /** Absent if cross-validation was not run before the model was bundled. */
      folds: foldsFiguresSchema.optional(),
    })
    .nullable(),
  /** The limits in `model.accept`, as checked when the version was pushed. */
  gates: z.array(gateSchema),
  lineage: z
    .looseObject({
      dataset: z.object({ name: z.string(), digest, recordings: z.int(), samples: z.int() }),
    })
    .nullable(),
});
export type ModelVersion = z.output<typeof modelVersionSchema>;

/** One line of GET /models. */
export const modelSummarySchema = z.object({
  name,
  versions: z.int(),
  latest: modelVersionSchema,
  /** The version in production; null = none. */
  production: z.int().nullable(),
});
export type ModelSummary = z.output<typeof modelSummarySchema>;

/** POST /manifests: stores a newly signed manifest with a higher sequence number for an existing version, as a rollback needs. */
export const manifestRequestSchema = z.strictObject({ envelope: envelopeSchema });

/** GET /models/{name}/versions/{version}/live: compares the devices' predictions with the labels of their recordings. */
export const liveSchema = z.object({
  /** Number of predictions whose recording is labeled with a known class. */
  windows: z.int(),
  /** Number of predictions whose recording has no label. */
  unlabelled: z.int(),
  accuracy: z.number(),
  macroF1: z.number(),
  voted: z.object({ accuracy: z.number(), macroF1: z.number() }),
  /** Rows = truth, columns = prediction for each window, in the order of the classes. */
  confusion: z.array(z.array(z.int())),
  latencyMs: z.object({ p50: z.number(), p99: z.number() }),
  devices: z.record(z.string(), z.int()),
});
export type LiveFigures = z.output<typeof liveSchema>;

/** Response schemas that contain lists. */
export const listSchemas = {
  devices: z.object({ devices: z.array(deviceSchema) }),
  models: pageSchema('models', modelSummarySchema),
  versions: pageSchema('versions', modelVersionSchema),
  audit: pageSchema('entries', auditEntrySchema),
};
