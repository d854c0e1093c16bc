import * as z from 'zod';
import { digestPattern } from '../../core/crypto.js';
import { namePattern } from '../../core/names.js';

/**
 * Device protocol v1, as docs/protocol.md tells it. All payloads are JSON objects; unknown members are ignored, so that
 * a newer device can talk to an older platform. Times are milliseconds since 1970.
 */
const name = z.string().regex(namePattern);
const time = z.int().min(0);
const digest = z.string().regex(digestPattern);

export { name as deviceName };

/** What is updated: each kind has slots, versions and a rollback of its own. */
export const updateKinds = ['model', 'firmware', 'config'] as const;

/**
 * Telemetry: one sample, or a batch in columns. Besides these members a message carries the stream's fields:
 * numbers, or arrays of equal length whose samples lie 1000/rate ms apart from `t` on.
 */
export const telemetrySchema = z.looseObject({
  /**
   * Rises by one a message, from 0: in one recording of one stream, or where no recording is named, in the stream since
   * the device's start. Gaps and repeats are seen by it, and a recording that is sent again has the same numbers.
   */
  seq: z.int().min(0).optional(),
  /** Time of the first sample; absent = when it arrives. */
  t: z.number().optional(),
  /** Samples a second, Hz; needed for a batch. */
  rate: z.number().positive().optional(),
  /** Groups samples into one continuous take. */
  recording: name.optional(),
});
export type Telemetry = z.output<typeof telemetrySchema>;

/** Members of a telemetry message that are no fields, so that no field may be named like one. */
export const telemetryMembers: ReadonlySet<string> = new Set(Object.keys(telemetrySchema.shape));

/** The model's answer for one window. */
export const inferenceSchema = z.looseObject({
  /** Rises by one a message since the device's start. */
  seq: z.int().min(0),
  /** When it was answered. */
  t: time,
  model: z.object({ name, version: z.int().min(1) }),
  recording: name.optional(),
  /** Number of the window since the pipeline was reset, from 0. */
  window: z.int().min(0),
  /** null where the model answers with values. */
  label: z.string().nullable(),
  /** Label after the vote. */
  voted: z.string().nullable(),
  /** Dequantized outputs, in the order of the classes; the values; or the reconstruction error. */
  scores: z.array(z.number()),
  /** The probability of the second class, the first value, or the reconstruction error; null for classes. */
  value: z.number().nullable().optional(),
  /** From the window's last sample to the answer, ms. */
  latencyMs: z.number().min(0),
});
export type Inference = z.output<typeof inferenceSchema>;

/** Retained, platform → device: what the device should run. An empty payload withdraws it. */
export const desiredSchema = z.looseObject({
  rollout: z.string(),
  /** A device refuses kinds that it does not update. */
  kind: z.enum(updateKinds),
  name,
  version: z.int().min(1),
  sequence: z.int().min(1),
  /** Path of the signed manifest on the platform's API. */
  manifest: z.string().regex(/^\//),
  /** A device that signs reports once more when it has run it for so long, ms; absent = it need not. */
  soakMs: z.int().min(1).optional(),
  /** A patch that makes this release of another one; who has not that one downloads the whole. */
  delta: z
    .looseObject({
      /** Of the release that the patch is for. */
      base: digest,
      /** Of the patch. */
      digest,
      bytes: z.int().min(1),
    })
    .optional(),
  /** Run it beside the active one and tell how it does, every so many ms; it is not to be committed. To devices that have said they can. */
  shadow: z.object({ everyMs: z.int().min(1) }).optional(),
});
export type Desired = z.output<typeof desiredSchema>;

export const updateStates = [
  'IDLE',
  'DOWNLOADING',
  'VERIFYING',
  'STAGED',
  'SHADOW',
  'TRIAL',
  'COMMITTED',
  'ROLLED_BACK',
] as const;
export type UpdateState = (typeof updateStates)[number];

export const runningSchema = z.object({
  name,
  version: z.int().min(1),
  sequence: z.int().min(1),
  digest,
});

/** A statement's exact bytes, the certificate of the device, and its signature over the bytes (ECDSA P-256 with SHA-256, DER); base64. */
export const signedProofSchema = z.object({
  payload: z.base64().min(1).max(4096),
  /** DER */
  certificate: z.base64().min(1).max(8192),
  sig: z.base64().min(1).max(256),
});
export type SignedProof = z.output<typeof signedProofSchema>;

/** How one of two models did over the same windows. */
const beside = z.object({
  /** From a window's last sample to the answer, ms. */
  p50Ms: z.number().min(0),
  p95Ms: z.number().min(0),
  /** Memory that its tensors take. */
  arenaBytes: z.int().min(0),
  /** How often it gave which answer; none where it answers with values. */
  labels: z.record(z.string().max(64), z.int().min(0)),
});

/** How a model that runs as a shadow does beside the active one, since the device's start. */
export const shadowSchema = z
  .object({
    /** That both answered. */
    windows: z.int().min(0),
    /** Of these: other answers. Values are others where they lie more than a twentieth of the greater apart. */
    disagreements: z.int().min(0),
    active: beside,
    candidate: beside,
  })
  .refine(({ windows, disagreements }) => disagreements <= windows, 'more answers differ than there are');
export type ShadowFigures = z.output<typeof shadowSchema>;

/** What not every device of protocol v1 can do, and says that it can. */
export const deviceFeatures = ['shadow'] as const;

/**
 * Retained, device → platform: what the device runs and where its update stands. An update has ended when
 * `state` is COMMITTED (it runs the new version), ROLLED_BACK (tried, given up: `error` says why), or IDLE with
 * `rollout` and `error` set (refused before the trial: nothing was changed).
 */
export const reportedSchema = z.looseObject({
  t: time,
  type: z.string(),
  /** What its firmware calls itself: `fw` of selectors. Absent where it does not say. */
  firmware: z
    .object({
      name: name.optional(),
      version: z.string().min(1).max(64),
      /** What came over the air and runs; null = what it was made with. Absent where firmware is not updated so. */
      release: runningSchema.nullable().optional(),
    })
    .optional(),
  /** The kind of update that `state` speaks of; absent = a model. */
  kind: z.enum(updateKinds).optional(),
  state: z.enum(updateStates),
  /** The rollout that `state` speaks of. */
  rollout: z.string().nullable(),
  /** The active model, null before the first. */
  model: runningSchema.nullable(),
  /** The active configuration; null = the usual one. Absent where it is not configured over the air. */
  config: runningSchema.nullable().optional(),
  /** Nothing with a sequence below it is ever accepted. */
  floor: z.int().min(0),
  download: z.object({ bytes: z.int().min(0), total: z.int().min(0) }).nullable(),
  /** How the last update came where a delta was offered; absent where none was. */
  delta: z
    .object({
      /** Of the patch, and of the whole release. */
      bytes: z.int().min(0),
      of: z.int().min(0),
      /** Why the whole was downloaded instead. */
      error: z.object({ code: z.string(), message: z.string() }).nullable(),
    })
    .nullable()
    .optional(),
  golden: z.object({ vectors: z.int().min(0), passed: z.int().min(0) }).nullable(),
  /** Why it was rolled back or refused. */
  error: z.object({ code: z.string(), message: z.string() }).nullable(),
  /** Bytes of a small board's heap: free, the largest piece, and the least that was free since its start. */
  heap: z.object({ free: z.int().min(0), largest: z.int().min(0), least: z.int().min(0) }).optional(),
  /** What it can do besides; words that a reader doesn't know are ignored. */
  features: z.array(z.string().max(64)).max(32).optional(),
  /** In the state SHADOW, of a device with an active model that its sensor feeds. */
  shadow: shadowSchema.optional(),
  /** Of a device that has a key, when it has committed: the same, signed. */
  proof: signedProofSchema.optional(),
});
export type Reported = z.output<typeof reportedSchema>;

/** Retained, and the device's last will with online false. */
export const presenceSchema = z.looseObject({ online: z.boolean(), t: time });
