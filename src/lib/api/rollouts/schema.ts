import * as z from 'zod';
import { namePattern } from '../../core/names.js';
import { pageQuerySchema, pageSchema, queryFlagSchema } from '../page.js';
import { type Amount, amountSchema } from './amount.js';
import { rolloutTimesMs, shadowFiguresSchema, shadowPolicySchema, waveShadowSchema } from './shadow.js';
import { days, usualPolicy } from './words.js';

const name = z.string().regex(namePattern);
const time = z.int().min(0);

/** Kinds of signed content that a rollout can have. Each kind has its own releases and sequence numbers. */
export const rolloutKinds = ['model', 'firmware', 'config'] as const;
export type RolloutKind = (typeof rolloutKinds)[number];

/** A version, and the sequence number of the manifest that devices get. */
const signedReleaseSchema = z.strictObject({
  kind: z.enum(rolloutKinds),
  name,
  version: z.int().min(1),
  sequence: z.int().min(1),
});
export type SignedRelease = z.output<typeof signedReleaseSchema>;

/** A change of the settings of devices of one type, which are not signed. A rollout of settings contains nothing else. */
const settingsReleaseSchema = z.strictObject({
  kind: z.literal('settings'),
  /** The devices' type. */
  name,
  /** The change of each device's own overrides; null = each device returns to its former ones. */
  change: z
    .strictObject({
      set: z.record(z.string(), z.unknown()).default({}),
      unset: z.array(z.string().min(1).max(200)).max(100).default([]),
    })
    .nullable(),
});
export type SettingsRelease = z.output<typeof settingsReleaseSchema>;

export const releaseSchema = z.discriminatedUnion('kind', [signedReleaseSchema, settingsReleaseSchema]);
export type Release = z.output<typeof releaseSchema>;

/** `committed`, `rolledBack`, `failed`, `missed`, `withdrawn` and `restored` are final states of a device. */
export const rolloutDeviceStates = [
  /** The device has not been offered the release yet. */
  'pending',
  /** The device was offered the release and has not started. */
  'offered',
  'updating',
  /** The device runs the release in addition to the active one, and has not committed it yet. */
  'shadowing',
  /** The offer was withdrawn, and the device has not confirmed that yet. */
  'recalled',
  /** The device runs the new version. */
  'committed',
  /** The device tried the version and rolled back automatically. */
  'rolledBack',
  /** The device rejected the version, or did not finish in time. */
  'failed',
  /** The device was offline until its deadline. */
  'missed',
  /** The device was removed from the rollout before it started, by another rollout, a revocation, or an abort. */
  'withdrawn',
  /** The device committed, and has been asked to return to the previous release. */
  'restoring',
  'restored',
] as const;
export type RolloutDeviceState = (typeof rolloutDeviceStates)[number];

export const rolloutStates = [
  'awaitingApproval',
  'scheduled',
  'running',
  'paused',
  'rollingBack',
  /** No further devices start. Those that have started may finish. */
  'aborting',
  /** Every device committed. */
  'done',
  /** All devices have ended, and only some committed. */
  'partly',
  /** All devices have ended, and none committed. */
  'failed',
  'rolledBack',
  'aborted',
] as const;
export type RolloutPhase = (typeof rolloutStates)[number];

const ends: ReadonlySet<RolloutPhase> = new Set(['done', 'partly', 'failed', 'rolledBack', 'aborted']);
export function rolloutHasEnded({ state }: { state: RolloutPhase }): boolean {
  return ends.has(state);
}

const clockTime = z.string().regex(/^([01]\d|2[0-3]):[0-5]\d$/);

/** When devices may start, in a time zone. If `to` is at or before `from`, the window ends on the next day. */
export const windowSchema = z.strictObject({
  /** Days on which the window begins. */
  days: z.array(z.enum(days)).min(1).optional(),
  from: clockTime,
  to: clockTime,
  /** IANA name of the time zone. */
  zone: z.string().max(64).refine(isZone, 'expected a time zone such as Europe/Berlin'),
});
export type MaintenanceWindow = z.output<typeof windowSchema>;

/** Minimum share of the device-hours since the update in which no crash is reported. */
export const crashFreePolicySchema = z.strictObject({
  min: z
    .string()
    .regex(/^\d{1,3}(\.\d{1,3})?%$/, 'expected a percentage such as 99.5%')
    .refine((text) => Number.parseFloat(text) <= 100, 'expected at most 100%'),
  /** Device-hours that the updated devices must have run in total before the next wave opens. */
  minHours: z.int().min(1).max(10_000_000).default(usualPolicy.minDeviceHours),
});
export type CrashFreePolicy = z.output<typeof crashFreePolicySchema>;

export const rolloutPolicySchema = z.strictObject({
  /** The cumulative number of devices for each wave. The last wave always includes all remaining devices. */
  waves: z
    .array(amountSchema)
    .min(1)
    .max(100)
    .refine(rises, 'expected each wave to be larger than the one before')
    .default(['100%']),
  /** Maximum number of devices in a wave that fail, or crash after they commit. More of them stop the rollout. */
  maxFailures: amountSchema.default(usualPolicy.maxFailures),
  /** Minimum number of a wave's devices that must commit before the next wave opens. */
  minSuccess: amountSchema.default(usualPolicy.minSuccess),
  /**
   * Judges crashes by device-hours; absent = each device that crashes counts towards `maxFailures`. It has no default, because a
   * replica of an earlier version rejects stored policies with this member.
   */
  crashFree: crashFreePolicySchema.optional(),
  /** How long a wave must stay healthy before the next one opens, ms. */
  soakMs: z.int().min(0).max(rolloutTimesMs.soak.max).default(0),
  /** Action when a limit is exceeded: no further devices start, or all devices also return to the previous release. */
  onFailure: z.enum(['pause', 'rollback']).default('pause'),
  /** Maximum number of times that a release is offered to a failing device. */
  attempts: z.int().min(1).max(10).default(1),
  /** Delay before the second offer, ms; it doubles before each subsequent offer. */
  backoffMs: z.int().min(0).max(rolloutTimesMs.backoff.max).default(60_000),
  /** How long after its offer an online device that has not finished counts as failed, ms. */
  deadlineMs: z.int().min(rolloutTimesMs.deadline.min).default(usualPolicy.deadlineMs),
  /** How long after its offer an offline device counts as missed, ms; null = same as the deadline. */
  offlineMs: z.int().min(rolloutTimesMs.offline.min).max(rolloutTimesMs.offline.max).nullable().default(null),
  /** Maximum number of offers per minute. */
  perMinute: z.int().min(1).nullable().default(null),
  window: windowSchema.nullable().default(null),
  /** Earliest start, ms since 1970. */
  startAt: time.nullable().default(null),
  /** A rollout can only take over devices from rollouts of equal or lower priority. */
  priority: z.int().min(-100).max(100).default(0),
  /** Whether a user other than the one who starts the rollout has to approve it. */
  approval: z.boolean().default(false),
  /** Whether a commit counts only if the device has signed it. */
  requireProof: z.boolean().default(false),
  shadow: shadowPolicySchema.nullable().default(null),
});
export type RolloutPolicy = z.output<typeof rolloutPolicySchema>;
export type RolloutPolicyInput = z.input<typeof rolloutPolicySchema>;

/** POST /rollouts; POST /rollouts/plan: assigns devices to waves without starting anything. */
export const rolloutRequestSchema = z.strictObject({
  /** Releases that each device installs in this order. */
  releases: z.array(releaseSchema).min(1).max(4),
  /**
   * The release for a rollback, which was signed for this purpose. Its sequence number is higher than that of the last release of its kind.
   * Settings need none, because the platform keeps the former ones of each device.
   */
  rollback: releaseSchema.nullable().default(null),
  /** `all`, or terms such as `type=virtual and name=motor-1`. */
  selector: z.string(),
  policy: rolloutPolicySchema.prefault({}),
  /** Digest of a plan's devices. The start is rejected if the selector now matches other devices. */
  expected: z.string().optional(),
  /**
   * One bit for each device, in the order of their names: whether the device was offline when the plan was made. Such
   * devices come last.
   */
  offlineBits: z.base64().optional(),
});
export type RolloutRequest = z.input<typeof rolloutRequestSchema>;

const reasonSchema = z.object({ code: z.string(), message: z.string() });
export type RolloutReason = z.output<typeof reasonSchema>;

/** Time of the first report of each step, ms since 1970: evidence that a device installed a release. */
export const deviceTimesSchema = z.object({
  offered: time.optional(),
  downloaded: time.optional(),
  verified: time.optional(),
  booted: time.optional(),
  golden: time.optional(),
  committed: time.optional(),
  /** Set if the device was online and running the release at the end of its wave's soak time. */
  healthy: time.optional(),
  /** Arrival of the first report of a crash since the commit. */
  crashed: time.optional(),
});
export type DeviceTimes = z.output<typeof deviceTimesSchema>;

/** Level of proof that a device runs the release that it reports. `said` = no signature. */
export const deviceProofStates = ['said', 'proven', 'refused'] as const;

/** A device's proof of its commit. */
export const deviceProofSchema = z.object({
  state: z.enum(deviceProofStates),
  /** Arrival time of the proof. */
  at: time,
  /**
   * Contents of the device's statement: results of the golden vectors during the trial, how long the release has run without a restart (s),
   * and the device's current time.
   */
  golden: z.object({ vectors: z.int(), passed: z.int() }).nullable(),
  healthyS: z.int().nullable(),
  t: time.nullable(),
  /**
   * The statement's exact bytes, the device's certificate (DER), and its signature over the bytes (ECDSA P-256 with SHA-256, DER); base64.
   */
  signed: z.object({ payload: z.base64(), certificate: z.base64(), sig: z.base64() }).nullable(),
  /** Reason why the last proof was rejected. */
  refused: reasonSchema.nullable(),
});
export type DeviceProof = z.output<typeof deviceProofSchema>;
/** How a device received a release: as a patch of the given size, or as a whole for the given reason. */
export const deltaReportSchema = z.object({
  bytes: z.int().min(0),
  of: z.int().min(0),
  error: reasonSchema.nullable(),
});
export type DeltaReport = z.output<typeof deltaReportSchema>;

export const rolloutDeviceSchema = z.object({
  name,
  /** Index of the device's wave. */
  wave: z.int(),
  state: z.enum(rolloutDeviceStates),
  /** The last reported update state. */
  step: z.string().nullable(),
  error: reasonSchema.nullable(),
  /** Number of offers so far. */
  offers: z.int(),
  times: deviceTimesSchema,
  /** Proof of the commit; null before the device commits. */
  proof: deviceProofSchema.nullable(),
  /** Present if a delta was offered. */
  delta: deltaReportSchema.optional(),
  /** Latest shadow measurements; null if there are none. */
  shadow: shadowFiguresSchema.nullable(),
  updated: time,
});
export type RolloutDeviceInfo = z.output<typeof rolloutDeviceSchema>;

const count = z.int().min(0);
/** `stopped`: by a limit, while the rollout is paused. The last five are outcomes of a rollout that has ended. */
const waveStates = [
  ...(['waiting', 'shadowing', 'open', 'soaking', 'passed', 'stopped'] as const),
  ...(['partly', 'failed', 'rolledBack', 'aborted', 'skipped'] as const),
] as const;

export const rolloutWaveSchema = z.object({
  state: z.enum(waveStates),
  devices: count,
  ...{ pending: count, offered: count, updating: count, shadowing: count, recalled: count },
  ...{ committed: count, rolledBack: count, failed: count, missed: count, withdrawn: count },
  ...{ restoring: count, restored: count },
  /** Devices that crashed after they committed. Each also counts in the state that it has now. */
  crashed: count,
  opened: time.nullable(),
  ended: time.nullable(),
  /** State of the wave's shadow; null without --shadow, and before it begins. */
  shadow: waveShadowSchema.nullable(),
});

/** Crashes since the update, on all devices that the rollout has updated. */
export const crashFreeSchema = z.object({
  deviceHours: z.number(),
  /** Device-hours with at least one crash. */
  crashedHours: count,
  /** Share of the device-hours without a crash; null before the first device has run the release. */
  share: z.number().min(0).max(1).nullable(),
  /** The crashes, by signature, most frequent first. */
  causes: z.array(z.object({ signature: z.string(), reason: z.string(), hours: count })),
});
export type CrashFree = z.output<typeof crashFreeSchema>;

/**
 * GET /rollouts → {rollouts}; GET /rollouts/{id}; POST /rollouts/{id}/{command}. GET /rollouts/{id}/events returns the
 * rollout as server-sent events.
 */
export const rolloutSchema = z.object({
  id: z.string(),
  state: z.enum(rolloutStates),
  /** Reason why the rollout is paused or ended early. */
  reason: reasonSchema.nullable(),
  releases: z.array(releaseSchema),
  rollback: releaseSchema.nullable(),
  selector: z.string(),
  policy: rolloutPolicySchema,
  by: z.string(),
  approvals: z.array(z.object({ who: z.string(), at: time })),
  created: time,
  ended: time.nullable(),
  /** Time from the rollout's creation to its end, or to now. */
  seconds: z.number(),
  waves: z.array(rolloutWaveSchema),
  /** Null if the policy has no `crashFree`, or the platform is of an earlier version. */
  crashFree: crashFreeSchema.nullable().default(null),
  /** Only in the response to a start: devices on which the model may not run. */
  warnings: z.array(z.string()).optional(),
});
export type Rollout = z.output<typeof rolloutSchema>;

/**
 * Number of devices that received the last release as a delta, number of devices that downloaded the whole release
 * despite an offered delta, and bytes saved.
 */
export const savedSchema = z.object({ byDelta: count, fellBack: count, bytes: count });
export type Saved = z.output<typeof savedSchema>;

/** Download size saved by deltas. */
export function savedBy(devices: Iterable<{ delta?: DeltaReport | undefined }>): Saved {
  const saved = { byDelta: 0, fellBack: 0, bytes: 0 };
  for (const { delta } of devices) {
    if (delta?.error) saved.fellBack++;
    else if (delta) {
      saved.byDelta++;
      saved.bytes += delta.of - delta.bytes;
    }
  }
  return saved;
}

/** GET /rollouts/{id}: desired and actual state. */
export const rolloutStatusSchema = rolloutSchema.extend({
  /**
   * Releases that the devices report, of the same kind as the rollout's last release, most frequent first. The entry
   * without a name counts devices that report no release.
   */
  runs: z.array(z.object({ name: name.nullable(), version: z.int().nullable(), devices: count })),
  saved: savedSchema,
});
export type RolloutStatus = z.output<typeof rolloutStatusSchema>;

/** One server-sent event: the rollout, and the devices changed since the previous event. */
export const rolloutNewsSchema = z.object({ rollout: rolloutSchema, changed: z.array(rolloutDeviceSchema) });
export type RolloutNews = z.output<typeof rolloutNewsSchema>;

/** GET /rollouts/{id}/devices → {devices} */
export const rolloutDevicesQuerySchema = pageQuerySchema.extend({
  state: z.enum(rolloutDeviceStates).optional(),
  wave: z.coerce.number().int().min(0).optional(),
  /** Whether to return only devices that crashed after they committed. */
  crashed: queryFlagSchema.optional(),
});
export type RolloutDevicesQuery = z.output<typeof rolloutDevicesQuerySchema>;

/** A rollout's request, and its devices by wave. `aiot rollout start` accepts a plan as a file. */
export const rolloutPlanSchema = z.object({
  spec: z.literal('aiot-rollout-plan/1'),
  request: rolloutRequestSchema,
  /** Names of devices by wave. */
  waves: z.array(z.array(name)),
  /** Names of devices that are offline. */
  offline: z.array(name),
  /**
   * Patches that save more than half of the download, each with the number of devices that run its base release.
   * Patches are not signed, because devices verify the result.
   */
  deltas: z
    .array(
      z.object({
        release: releaseSchema,
        /** Digest of the release that these devices run. */
        base: z.string(),
        devices: count,
        /** Size of the patch. */
        bytes: count,
        /** Size of the whole release. */
        of: count,
      }),
    )
    .default([]),
  warnings: z.array(z.string()),
  made: time,
});
export type RolloutPlan = z.output<typeof rolloutPlanSchema>;

export const rolloutCommands = ['approve', 'pause', 'resume', 'abort', 'rollback', 'retry'] as const;
export type RolloutCommand = (typeof rolloutCommands)[number];

export const rolloutListSchema = pageSchema('rollouts', rolloutSchema);
export const rolloutDevicesSchema = pageSchema('devices', rolloutDeviceSchema);

/**
 * Whether the amounts increase. Numbers and percentages are checked separately, because the number of devices is not
 * known yet.
 */
function rises(waves: readonly Amount[]): boolean {
  const rising = (values: number[]) => values.every((value, i) => i === 0 || value > values[i - 1]!);
  return (
    rising(waves.filter((wave) => typeof wave === 'number')) &&
    rising(waves.filter((wave) => typeof wave === 'string').map((wave) => Number.parseFloat(wave)))
  );
}

/** Whether a text names a time zone, such as `Europe/Berlin`. */
export function isZone(zone: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: zone });
    return true;
  } catch {
    return false;
  }
}
