import * as z from 'zod';
import { envelopeSchema, trustRootSchema } from '../formats/manifest/envelope.js';
import { conditionSchema } from './condition.js';
import { deviceSchema, digest, name, time } from './fields.js';
import { pageQuerySchema, pageSchema } from './page.js';
import { relayStatusSchema } from './relay-api.js';

/**
 * The bodies of the platform's API, /api/v1: the server checks and documents with these schemas, the client parses with
 * them. Times are milliseconds since 1970. Errors are problems (RFC 9457; problem.ts) with a fitting HTTP status.
 */

/** What a command prints with --json when it fails. */
export const errorBodySchema = z.object({
  error: z.object({ code: z.string(), message: z.string(), next: z.string().optional() }),
});

/** Where a platform listens. */
export const platformUrlsSchema = z.object({
  /** The API, over TLS. */
  http: z.string(),
  mqtts: z.string(),
  /** Only with a plain listener. */
  mqtt: z.string().optional(),
  /** Where boards connect to; only with a project that has some. */
  boards: z.string().optional(),
  /** MQTT over WebSocket; only with a port for it. */
  wss: z.string().optional(),
  /** hawkBit's device API without TLS; only with a port for it. */
  ddi: z.string().optional(),
  /** The guide's services; only with its compatibility. */
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
  /** Only with --events. */
  relay: relayStatusSchema.optional(),
  counts: z.object({
    devices: z.int(),
    online: z.int(),
    /** By name. */
    models: z.int(),
    modelVersions: z.int(),
    datasets: z.int(),
    rollouts: z.int(),
  }),
});
export type Status = z.output<typeof statusSchema>;

/** PUT /blobs/{digest} (raw bytes), GET /blobs/{digest} (Range, ETag) */
export const blobSchema = z.object({ digest, bytes: z.int() });

/** POST /devices/{name}/state: a revoked device never comes back. */
export const deviceActionSchema = z.strictObject({ action: z.enum(['suspend', 'resume', 'revoke']) });

/** GET and PUT /trust. The first is anybody's with an operator's token; a later one must have a higher version. */
export const trustSchema = trustRootSchema;

/** A version begins as dev; one of a name is in production. */
export const stages = ['dev', 'staging', 'production'] as const;
export type Stage = (typeof stages)[number];

/** POST /models/{name}/versions/{version}/stage. `reason` stands in for a gate that says no. */
export const stageRequestSchema = z.strictObject({
  to: z.enum(stages),
  reason: z.string().trim().min(1).max(500).optional(),
});
export type StageRequest = z.output<typeof stageRequestSchema>;

/** DELETE /models/{name}/versions/{version}. `blobRemoved`: no other version has the same content. */
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
  /** `operator` and the first digits of the token's digest. */
  who: z.string(),
  action: z.string(),
  /** `har@3`, or the name of a device. */
  subject: z.string(),
  detail: z.record(z.string(), z.unknown()),
});
export type AuditEntry = z.output<typeof auditEntrySchema>;
export const auditQuerySchema = z.object({
  /** `har@3`, or a name: then all of its versions. */
  subject: z.string().max(100).optional(),
  ...pageQuerySchema.shape,
});

/** GET /models/{name}/next: what the operator is to put into the manifest that it signs. */
export const nextVersionSchema = z.object({ version: z.int(), sequence: z.int() });

/** POST /models/{name}/versions: the bundle's blob must be there; the card is made from its bundle.json. */
export const pushRequestSchema = z.strictObject({ envelope: envelopeSchema });

/** Figures of one network on recordings never trained on. */
export const metricsSchema = z.object({
  windows: z.int(),
  accuracy: z.number(),
  macroF1: z.number(),
  /** Rows = truth, columns = prediction, in the order of the classes. */
  confusion: z.array(z.array(z.int())),
});

/** Figures of whatever kind of answer; those of a classifier are as above. */
export const figuresSchema = z.looseObject({
  windows: z.int(),
  accuracy: z.number().optional(),
  macroF1: z.number().optional(),
  confusion: z.array(z.array(z.int())).optional(),
});

/** Figures over all recordings, each tested on once by a float network that was not trained on it. */
export const foldsFiguresSchema = z.object({
  folds: z.int(),
  windows: z.int(),
  /** Recordings, or groups of a table's rows; null where each row stands for itself. */
  groups: z.int().nullable(),
  accuracy: z.number().nullable(),
  /** 95 %, of the accuracy. */
  interval: z.tuple([z.number(), z.number()]).nullable(),
  macroF1: z.number().nullable(),
  rmse: z.number().nullable(),
  /** After the vote within each recording. */
  voted: z.object({ accuracy: z.number(), macroF1: z.number() }).nullable(),
});
export type FoldsFigures = z.output<typeof foldsFiguresSchema>;

/** One limit of model.accept, and whether the quantized network keeps it. */
export const gateSchema = z.object({
  name: z.string(),
  limit: z.number(),
  /** null = not measured, and so not kept. */
  got: z.number().nullable(),
  passed: z.boolean(),
});

/** A file that came in by a door that asks for no signature. */
export const originSchema = z.object({
  /** Which door: `architects-guide`. */
  source: z.string(),
  /** What it was called there. */
  file: z.string(),
  digest,
  bytes: z.int(),
});
export type Origin = z.output<typeof originSchema>;

/** GET /models → {models: [...]}, GET /models/{name} → {versions}, GET /models/{name}/versions/{version} */
export const modelVersionSchema = z.object({
  name,
  version: z.int(),
  /** Of the newest manifest for this version: a rollback signs one anew, with a higher sequence. 0 = nobody signed it. */
  sequence: z.int(),
  /** Somebody whom the trust root names has signed it; otherwise it is never promoted and never rolled out. */
  trusted: z.boolean(),
  /** What it was when it came in without a signature: its content stays as it was. */
  origin: originSchema.nullable(),
  /** The bundle's. */
  digest,
  bytes: z.int(),
  pushed: time,
  stage: z.enum(stages),
  /** `network`: a .tflite file alone, which devices cannot run. `upload`: nobody has looked into it yet. */
  kind: z.enum(['model', 'network', 'upload']),
  /** What it answers with; null = not known. */
  answer: z.looseObject({ kind: z.string() }).nullable(),
  /** How its numbers are kept. */
  mode: z.string(),
  classes: z.array(z.string()),
  arenaBytes: z.int().nullable(),
  /** `int8` is the quantized network, whatever its mode; null = never evaluated. */
  metrics: z
    .object({
      float: figuresSchema,
      int8: figuresSchema,
      voted: figuresSchema.nullable(),
      /** Absent where folds were not measured before the model was bundled. */
      folds: foldsFiguresSchema.optional(),
    })
    .nullable(),
  /** The limits that it was let through when it was pushed. */
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
  /** The version in production. */
  production: z.int().nullable(),
});
export type ModelSummary = z.output<typeof modelSummarySchema>;

/** POST /manifests: a manifest signed anew, with a higher sequence, for a version that is there: a rollback. */
export const manifestRequestSchema = z.strictObject({ envelope: envelopeSchema });

/** GET /models/{name}/versions/{version}/live: inferences counted against the labels of their recordings. */
export const liveSchema = z.object({
  /** Inferences whose recording has a label of a known class. */
  windows: z.int(),
  /** Inferences without a truth. */
  unlabelled: z.int(),
  accuracy: z.number(),
  macroF1: z.number(),
  voted: z.object({ accuracy: z.number(), macroF1: z.number() }),
  /** Rows = truth, columns = answer by window, in the order of the classes. */
  confusion: z.array(z.array(z.int())),
  latencyMs: z.object({ p50: z.number(), p99: z.number() }),
  devices: z.record(z.string(), z.int()),
});
export type LiveFigures = z.output<typeof liveSchema>;

/** The answers that carry lists. */
export const listSchemas = {
  devices: z.object({ devices: z.array(deviceSchema) }),
  models: pageSchema('models', modelSummarySchema),
  versions: pageSchema('versions', modelVersionSchema),
  audit: pageSchema('entries', auditEntrySchema),
};
