import * as z from 'zod';
import { digestPattern } from '../../core/crypto.js';
import { namePattern } from '../../core/names.js';
import { heapSchema, vitalsSchema } from '../../formats/vitals.js';
import { logLevelSchema } from './control.js';

/**
 * Device protocol v1, as specified in docs/reference/protocol.md. All payloads are JSON objects; unknown members are ignored, so that a
 * newer device can work with an older platform. Times are milliseconds since 1970.
 */
const name = z.string().regex(namePattern);
const time = z.int().min(0);
const digest = z.string().regex(digestPattern);

export { name as deviceName };

/** Maximum size of the settings that a device reports, bytes of JSON. */
const mostSettingsBytes = 4096;

/** Kinds of updates. Each has its own slots, versions and rollback. */
export const updateKinds = ['model', 'firmware', 'config'] as const;

/**
 * Telemetry: one sample, or a batch in columns. A message also contains the stream's fields: numbers or, in a batch, arrays of equal
 * length. The samples of a batch are 1000/rate ms apart, starting at `t`.
 */
export const telemetrySchema = z.looseObject({
  /**
   * Sequence number from 0, incremented with each message within one recording of a stream or, without a recording,
   * within the stream since the device's start. It reveals gaps and repeats. A recording that is resent has the same
   * numbers.
   */
  seq: z.int().min(0).optional(),
  /** Time of the first sample; absent = time of arrival. */
  t: z.number().optional(),
  /** Samples per second, Hz; required for a batch. */
  rate: z.number().positive().optional(),
  /** Name of the recording, which groups samples that were recorded without a break. */
  recording: name.optional(),
});
export type Telemetry = z.output<typeof telemetrySchema>;

/** Members of a telemetry message that are not fields; no field may have one of these names. */
export const telemetryMembers: ReadonlySet<string> = new Set(Object.keys(telemetrySchema.shape));

/** The model's prediction for one window. */
export const inferenceSchema = z.looseObject({
  /** Incremented with each message since the device's start. */
  seq: z.int().min(0),
  /** Time of the prediction. */
  t: time,
  model: z.object({ name, version: z.int().min(1) }),
  recording: name.optional(),
  /** Number of the window since the pipeline was reset, from 0. */
  window: z.int().min(0),
  /** null if the model predicts values or objects. */
  label: z.string().nullable(),
  /** Label after smoothing. */
  voted: z.string().nullable(),
  /** The dequantized outputs in class order, the predicted values, the reconstruction error, or the number of objects of each class. */
  scores: z.array(z.number()),
  /** The probability of the second class, the first value, the reconstruction error, or the number of objects; null for any other model. */
  value: z.number().nullable().optional(),
  /** Objects in a picture, strongest first; absent if the model does not find objects. */
  detections: z
    .array(
      z.object({
        label: z.string(),
        /** Center of the object, pixels from the upper left corner. */
        x: z.number(),
        y: z.number(),
        /** Probability of the label, 0 to 1. */
        confidence: z.number(),
      }),
    )
    .optional(),
  /** Values of the model's other outputs, by name; absent if there are none. */
  extra: z.record(z.string(), z.array(z.number())).optional(),
  /** Time from the window's last sample to the prediction, ms. */
  latencyMs: z.number().min(0),
});
export type Inference = z.output<typeof inferenceSchema>;

/** The release that a device should run, from the platform to the device, retained. An empty payload withdraws it. */
export const desiredSchema = z.looseObject({
  rollout: z.string(),
  /** A device rejects kinds that it does not support. */
  kind: z.enum(updateKinds),
  name,
  version: z.int().min(1),
  sequence: z.int().min(1),
  /** Path of the signed manifest on the platform's API. */
  manifest: z.string().regex(/^\//),
  /**
   * How long the release must run before a device with a signing key must report once more, ms; absent = not required.
   */
  soakMs: z.int().min(1).optional(),
  /** A patch from another release to this one; devices without that release download the whole artifact. */
  delta: z
    .looseObject({
      /** Digest of the patch's base release. */
      base: digest,
      /** Digest of the patch. */
      digest,
      bytes: z.int().min(1),
    })
    .optional(),
  /**
   * The device runs the release alongside the active one, without committing it, and reports at this interval. Sent
   * only to devices that support shadows.
   */
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

/**
 * A signed statement: its exact bytes, the device's certificate, and the signature over the bytes (ECDSA P-256 with SHA-256, DER). All
 * are base64.
 */
export const signedProofSchema = z.object({
  payload: z.base64().min(1).max(4096),
  /** DER */
  certificate: z.base64().min(1).max(8192),
  sig: z.base64().min(1).max(256),
});
export type SignedProof = z.output<typeof signedProofSchema>;

/** Results of one of the two models over the windows that both have processed. */
const beside = z.object({
  /** Time from a window's last sample to the prediction, ms. */
  p50Ms: z.number().min(0),
  p95Ms: z.number().min(0),
  /** Memory for the model's tensors, bytes. */
  arenaBytes: z.int().min(0),
  /** Number of predictions for each label; empty if the model predicts values. */
  labels: z.record(z.string().max(64), z.int().min(0)),
});

/** Results of a shadow model and the active one, since the device's start. */
export const shadowSchema = z
  .object({
    /** Number of windows for which both models made a prediction. */
    windows: z.int().min(0),
    /** Number of windows with different predictions. Values count as different if they differ by more than 1/20 of the larger one. */
    disagreements: z.int().min(0),
    active: beside,
    candidate: beside,
  })
  .refine(
    ({ windows, disagreements }) => disagreements <= windows,
    'more predictions differ than were compared',
  );
export type ShadowFigures = z.output<typeof shadowSchema>;

/**
 * The releases that a device runs and the state of its update, from the device to the platform, retained. An update has
 * ended when `state` is COMMITTED (the device runs the new version) or ROLLED_BACK (the device tried the version and
 * abandoned it; `error` gives the reason). It has also ended when `state` is IDLE with `rollout` and `error` set
 * (rejected before the trial; nothing was changed).
 */
export const reportedSchema = z.looseObject({
  t: time,
  type: z.string(),
  /** Name and version reported by the firmware: `fw` in selectors. Absent if the firmware does not report them. */
  firmware: z
    .object({
      name: name.optional(),
      version: z.string().min(1).max(64),
      /**
       * The active firmware release installed over the air; null = the original firmware. Absent if firmware cannot be
       * updated over the air.
       */
      release: runningSchema.nullable().optional(),
      /** Lowest secure version of firmware that the device accepts. Absent if it cannot be updated over the air. */
      secureVersion: z.int().min(0).optional(),
    })
    .optional(),
  /** The kind of update that `state` refers to; absent = `model`. */
  kind: z.enum(updateKinds).optional(),
  state: z.enum(updateStates),
  /** The rollout that `state` refers to. */
  rollout: z.string().nullable(),
  /** The active model; null before the first model. */
  model: runningSchema.nullable(),
  /**
   * The active configuration; null = the default configuration. Absent if the device cannot be configured over the air.
   */
  config: runningSchema.nullable().optional(),
  /** Lowest accepted sequence number; releases below it are never accepted. */
  floor: z.int().min(0),
  download: z.object({ bytes: z.int().min(0), total: z.int().min(0) }).nullable(),
  /** How the last update was transferred if a delta was offered; otherwise absent. */
  delta: z
    .object({
      /** Size of the patch, and of the whole release. */
      bytes: z.int().min(0),
      of: z.int().min(0),
      /** Reason why the whole release was downloaded instead. */
      error: z.object({ code: z.string(), message: z.string() }).nullable(),
    })
    .nullable()
    .optional(),
  golden: z.object({ vectors: z.int().min(0), passed: z.int().min(0) }).nullable(),
  /** Reason why the update was rolled back or rejected. */
  error: z.object({ code: z.string(), message: z.string() }).nullable(),
  /** The settings that a project defines. Absent if the device has no such settings. */
  settings: z
    .object({
      /** Digest of the settings that the device applied last; null = none. */
      digest: digest.nullable(),
      /** The values that the device uses. Absent if it reports only the digest. */
      values: z
        .record(z.string(), z.unknown())
        .refine(
          (values) => JSON.stringify(values).length <= mostSettingsBytes,
          `expected at most ${mostSettingsBytes} bytes`,
        )
        .optional(),
      /** Why the device did not apply the settings with this digest. */
      error: z
        .object({ digest, code: z.string().max(64), message: z.string().max(512) })
        .nullable()
        .optional(),
    })
    .optional(),
  heap: heapSchema.optional(),
  vitals: vitalsSchema.optional(),
  /** The level of the log. Absent if it cannot be changed by the command log-level. */
  log: logLevelSchema.optional(),
  /** Memory for models, bytes: the total, and the part that the active model leaves free. Absent if it is not limited. */
  memory: z.object({ bytes: z.int().min(0), free: z.int().min(0) }).optional(),
  /** The samples that the device takes: the stream, its fields, and its rate in Hz. Absent if it takes none or does not report them. */
  sensor: z
    .object({
      stream: name,
      fields: z.array(z.string().max(64)).max(64),
      rate: z.number().min(0),
      /**
       * Reason why the active model makes no predictions on these samples; null = the model fits, or there is no model.
       */
      unfit: z.string().max(512).nullable(),
    })
    .optional(),
  /** Additional capabilities. Readers ignore unknown capabilities. */
  features: z.array(z.string().max(64)).max(32).optional(),
  /** Results of the shadow so far. They are present in state SHADOW if the device has an active model that receives samples. */
  shadow: shadowSchema.optional(),
  /** Signed proof of the committed release, from devices that have a key. */
  proof: signedProofSchema.optional(),
});
export type Reported = z.output<typeof reportedSchema>;

/** Settings that a device should use, from the platform to the device, retained. An empty payload means that there are none. */
export const settingsSchema = z.looseObject({
  /** Identifies the values. The device repeats it in `reported`. */
  digest,
  values: z.record(z.string(), z.unknown()),
});

/** Whether the device is online, retained. It is also the device's last will, with online false. */
export const presenceSchema = z.looseObject({ online: z.boolean(), t: time });
