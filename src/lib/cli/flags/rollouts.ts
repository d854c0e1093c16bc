import { Args, Flags } from '@oclif/core';
import { amountSchema } from '../../api/rollouts/amount.js';
import {
  crashFreePolicySchema,
  type RolloutPolicyInput,
  rolloutPolicySchema,
} from '../../api/rollouts/schema.js';
import { rolloutTimesMs } from '../../api/rollouts/shadow.js';
import { usualPolicy } from '../../api/rollouts/words.js';
import { AiotError } from '../../core/errors.js';
import { issueText } from '../../core/issues.js';
import { parseShare } from '../../device/fleet/network.js';
import type { RehearseOptions } from '../../fleet/rehearse.js';
import { parseWindow } from '../../fleet/window.js';
import { networkFlags, networkOf, selector, share } from './fleet.js';
import { duration, shared, sizeInBytes } from './shared.js';

const amount = (name: string, text: string) => {
  const parsed = amountSchema.safeParse(/^\d+$/.test(text) ? Number(text) : text);
  if (parsed.success) return parsed.data;
  throw new AiotError(
    'AIOT_USAGE',
    `--${name}: expected a number such as 10, or a percentage such as 2.5%; got ${text}`,
  );
};

const amountFlag = (name: string) =>
  Flags.custom<string | number>({ parse: async (text) => amount(name, text) });

export const rolloutId = {
  id: Args.string({ required: true, description: 'Rollout ID.' }),
};

/** The artifacts of a rollout, and its devices. */
export const whatFlags = {
  model: Flags.string({
    summary:
      'Model to roll out: NAME@VERSION, NAME@latest, NAME@production, or NAME if the model has only one version.',
    env: 'AIOT_MODEL',
    helpValue: 'MODEL',
  }),
  firmware: Flags.string({
    summary: 'Firmware to roll out: NAME@VERSION, or NAME for the newest; installed before a model.',
    env: 'AIOT_FIRMWARE',
    helpValue: 'FIRMWARE',
  }),
  configuration: Flags.string({
    summary:
      'Configuration to roll out: NAME@VERSION, or NAME for the newest; applied after firmware, before a model.',
    env: 'AIOT_CONFIGURATION',
    helpValue: 'CONFIGURATION',
  }),
  selector,
  'rollback-to': Flags.string({
    summary:
      'Version to roll back to. Applies to the model if --model is set, otherwise to the configuration, otherwise to the firmware. It is signed with your key when the rollout starts.',
    env: 'AIOT_ROLLBACK_TO',
    helpValue: 'NAME@VERSION',
  }),
};

/** The policy of any rollout. */
export const waveFlags = {
  waves: Flags.string({
    summary:
      'Cumulative devices after each wave, as counts or shares; the last wave takes all remaining devices [default: 1,10%,50%,100%].',
    env: 'AIOT_WAVES',
    helpGroup: 'WAVES',
    helpValue: 'N|N%,…',
  }),
  'max-failures': amountFlag('max-failures')({
    summary:
      "Stop the rollout when more than this number or share of a wave's devices fail, or crash after the update [default: 5%].",
    env: 'AIOT_MAX_FAILURES',
    helpGroup: 'WAVES',
    helpValue: 'N|N%',
  }),
  'min-success': amountFlag('min-success')({
    summary:
      "Number or share of a wave's devices that must commit before the next wave opens [default: 50%].",
    env: 'AIOT_MIN_SUCCESS',
    helpGroup: 'WAVES',
    helpValue: 'N|N%',
  }),
  'min-crash-free': Flags.string({
    summary:
      'Minimum share of device-hours since the update without a crash, such as 99.5%; crashes then do not count toward --max-failures [default: none].',
    env: 'AIOT_MIN_CRASH_FREE',
    helpGroup: 'WAVES',
    helpValue: 'N%',
  }),
  'min-device-hours': Flags.integer({
    summary:
      'Device-hours that all updated devices must run in total before the next wave opens [default: 24].',
    env: 'AIOT_MIN_DEVICE_HOURS',
    helpGroup: 'WAVES',
    helpValue: 'N',
    dependsOn: ['min-crash-free'],
    min: 1,
    max: 10_000_000,
  }),
  soak: duration({
    summary: 'Time that a wave must stay healthy before the next one opens [default: none].',
    env: 'AIOT_SOAK',
    helpGroup: 'WAVES',
    ...rolloutTimesMs.soak,
  }),
  'on-failure': Flags.option({ options: ['pause', 'rollback'] as const })({
    summary:
      'Action when a limit is exceeded: start no further devices, or also roll back all devices to --rollback-to [default: pause].',
    env: 'AIOT_ON_FAILURE',
    helpGroup: 'WAVES',
  }),
  retries: Flags.integer({
    summary: 'Maximum number of retries for each device that fails [default: 0].',
    env: 'AIOT_RETRIES',
    helpValue: 'N',
    helpGroup: 'TIMING',
    min: 0,
    max: 9,
  }),
  backoff: duration({
    summary: 'Delay before the first retry; doubles with each retry [default: 1m].',
    env: 'AIOT_BACKOFF',
    helpGroup: 'TIMING',
    ...rolloutTimesMs.backoff,
  }),
  deadline: duration({
    summary: 'Time after which an online device that has not finished counts as failed [default: 10m].',
    env: 'AIOT_DEADLINE',
    helpGroup: 'TIMING',
    ...rolloutTimesMs.deadline,
  }),
  'offline-deadline': duration({
    summary: 'Time after which an offline device counts as missed [default: same as --deadline].',
    env: 'AIOT_OFFLINE_DEADLINE',
    helpGroup: 'TIMING',
    ...rolloutTimesMs.offline,
  }),
  rate: Flags.integer({
    summary: 'Maximum number of devices that start per minute [default: no limit].',
    env: 'AIOT_RATE',
    helpGroup: 'TIMING',
    min: 1,
    helpValue: 'N',
  }),
  window: Flags.string({
    summary:
      "When devices may start, in your time zone by default: '22:00-04:00' or 'sat,sun 08:00-18:00 Europe/Berlin'.",
    env: 'AIOT_WINDOW',
    helpGroup: 'TIMING',
    helpValue: 'WINDOW',
  }),
  at: Flags.string({
    summary: 'Earliest start time, such as 22:00 (the next one, in your time zone) or 2026-12-01T22:00:00Z.',
    env: 'AIOT_AT',
    helpGroup: 'TIMING',
    helpValue: 'TIME',
  }),
  priority: Flags.integer({
    summary: 'Priority; a rollout takes no devices from one with a higher priority [default: 0].',
    env: 'AIOT_PRIORITY',
    helpValue: 'N',
    helpGroup: 'TIMING',
    min: -100,
    max: 100,
  }),
  approval: Flags.boolean({
    summary: 'Require approval by another person before the rollout starts.',
    env: 'AIOT_APPROVAL',
  }),
};

/** The policy of a rollout of releases. */
export const policyFlags = {
  ...waveFlags,
  shadow: duration({
    summary:
      'In each wave, first run the new model beside the current one for this time; the wave opens if --max-disagreement, --max-latency and --max-heap are met.',
    env: 'AIOT_SHADOW',
    helpGroup: 'SHADOW',
    ...rolloutTimesMs.shadow,
  }),
  'shadow-windows': Flags.integer({
    summary: "Minimum number of windows predicted by a wave's devices in total [default: 20].",
    env: 'AIOT_SHADOW_WINDOWS',
    helpGroup: 'SHADOW',
    dependsOn: ['shadow'],
    min: 1,
    helpValue: 'N',
  }),
  'max-disagreement': amountFlag('max-disagreement')({
    summary:
      "Maximum number or share of windows in which the prediction differs from the current model's [default: 5%].",
    env: 'AIOT_MAX_DISAGREEMENT',
    helpGroup: 'SHADOW',
    dependsOn: ['shadow'],
    helpValue: 'N|N%',
  }),
  'max-latency': Flags.custom<number>({ parse: async (text) => timesOf(text) })({
    summary: "Maximum latency relative to the current model's, at the 95th percentile [default: 1.5x].",
    env: 'AIOT_MAX_LATENCY',
    helpGroup: 'SHADOW',
    dependsOn: ['shadow'],
    helpValue: 'FACTOR',
  }),
  'max-heap': sizeInBytes({
    summary: "Maximum memory for the model's tensors, such as 64KiB [default: no limit].",
    env: 'AIOT_MAX_HEAP',
    helpGroup: 'SHADOW',
    dependsOn: ['shadow'],
  }),
  'require-proof': Flags.boolean({
    summary: 'Count a commit only if the device signed it; devices without a certificate count as failed.',
    env: 'AIOT_REQUIRE_PROOF',
  }),
};

interface PolicyFlags {
  waves?: string | undefined;
  'max-failures'?: string | number | undefined;
  'min-success'?: string | number | undefined;
  'min-crash-free'?: string | undefined;
  'min-device-hours'?: number | undefined;
  soak?: number | undefined;
  'on-failure'?: 'pause' | 'rollback' | undefined;
  retries?: number | undefined;
  backoff?: number | undefined;
  deadline?: number | undefined;
  'offline-deadline'?: number | undefined;
  rate?: number | undefined;
  window?: string | undefined;
  at?: string | undefined;
  priority?: number | undefined;
  approval?: boolean | undefined;
  'require-proof'?: boolean | undefined;
  shadow?: number | undefined;
  'shadow-windows'?: number | undefined;
  'max-disagreement'?: string | number | undefined;
  'max-latency'?: number | undefined;
  'max-heap'?: number | undefined;
}

/** Converts these flags to a policy. A missing flag gets the rollout's default. @throws AIOT_USAGE */
export function policyOf(flags: PolicyFlags): RolloutPolicyInput {
  const given = {
    waves: (flags.waves ?? usualPolicy.waves).split(',').map((text) => amount('waves', text.trim())),
    maxFailures: flags['max-failures'],
    minSuccess: flags['min-success'],
    crashFree: crashFreeOf(flags),
    soakMs: flags.soak,
    onFailure: flags['on-failure'],
    attempts: flags.retries === undefined ? undefined : flags.retries + 1,
    backoffMs: flags.backoff,
    deadlineMs: flags.deadline,
    offlineMs: flags['offline-deadline'],
    perMinute: flags.rate,
    window: flags.window === undefined ? undefined : windowOf(flags.window),
    startAt: flags.at === undefined ? undefined : timeOf(flags.at),
    priority: flags.priority,
    approval: flags.approval,
    requireProof: flags['require-proof'],
    shadow: flags.shadow === undefined ? undefined : shadowOf(flags, flags.shadow),
  };
  const policy = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
  const parsed = rolloutPolicySchema.safeParse(policy);
  if (parsed.success) return policy;
  throw new AiotError('AIOT_USAGE', `the rollout's ${issueText(parsed.error, 'policy', policy)}`);
}

/** @throws AIOT_USAGE */
function crashFreeOf({ 'min-crash-free': min, 'min-device-hours': minHours }: PolicyFlags) {
  if (min === undefined) return undefined;
  if (crashFreePolicySchema.shape.min.safeParse(min).success)
    return { min, ...(minHours === undefined ? {} : { minHours }) };
  throw new AiotError('AIOT_USAGE', `--min-crash-free: expected a percentage such as 99.5%, got ${min}`);
}

function shadowOf(flags: PolicyFlags, ms: number) {
  const given = {
    minWindows: flags['shadow-windows'],
    maxDisagreement: flags['max-disagreement'],
    maxLatency: flags['max-latency'],
    maxHeapBytes: flags['max-heap'],
  };
  return { ms, ...Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) };
}

function timesOf(text: string): number {
  const times = Number(/^(\d+(?:\.\d+)?)x?$/.exec(text)?.[1] ?? Number.NaN);
  if (times > 0) return times;
  throw new AiotError('AIOT_USAGE', `--max-latency: expected a factor such as 1.5x; got ${text}`);
}

function windowOf(text: string) {
  const window = parseWindow(text, hereZone());
  if (window === undefined) {
    const got = `--window: expected a value such as '22:00-04:00' or 'sat,sun 08:00-18:00 Europe/Berlin'; got ${text}`;
    throw new AiotError('AIOT_USAGE', got);
  }
  return window;
}

/** This machine's time zone. */
export function hereZone(): string {
  return Intl.DateTimeFormat().resolvedOptions().timeZone;
}

/** A time of day is the next one, in this machine's time zone. */
function timeOf(text: string): number {
  const [, hours, minutes] = /^([01]?\d|2[0-3]):([0-5]\d)$/.exec(text) ?? [];
  if (hours !== undefined && minutes !== undefined) {
    const next = new Date();
    next.setHours(Number(hours), Number(minutes), 0, 0);
    if (next.getTime() <= Date.now()) next.setDate(next.getDate() + 1);
    return next.getTime();
  }
  const at = /^\d{4}-\d\d-\d\d/.test(text) ? Date.parse(text) : Number.NaN;
  if (!Number.isNaN(at)) return at;
  throw new AiotError(
    'AIOT_USAGE',
    `--at: expected a time such as 22:00 or 2026-12-01T22:00:00Z, got ${text}`,
  );
}

/** Signed metadata of a release. @param types default device types of the release */
export const releaseFlags = (types: readonly string[]) => ({
  types: Flags.string({
    summary: 'Comma-separated device types that the version is released for.',
    env: 'AIOT_TYPES',
    helpValue: 'TYPE,…',
    default: types.join(','),
  }),
  expires: duration({
    summary:
      'Validity period of the version, such as 720h; devices reject it afterward [default: unlimited].',
    env: 'AIOT_EXPIRES',
  }),
});

/** Flags of commands that push to or pull from an OCI registry. */
export const ociFlags = {
  trust: shared.trust,
  'plain-http': Flags.boolean({
    summary: 'Use an OCI registry without TLS; implied for a registry on this machine.',
    env: 'AIOT_PLAIN_HTTP',
  }),
};

/** Fault rates in a rehearsal, as for a simulated fleet. Most have a small default. */
export const rehearsalFlags = {
  runs: Flags.integer({
    summary: 'Number of rehearsals, each with different random events.',
    default: 20,
    min: 1,
    max: 10_000,
    env: 'AIOT_RUNS',
    helpValue: 'N',
  }),
  seed: Flags.integer({
    summary: 'Random seed; the same seed repeats the same events.',
    default: 1,
    env: 'AIOT_SEED',
    helpValue: 'N',
  }),
  ...networkFlags({ loss: '1%', latency: '20..200ms', offline: '2%' }),
  'power-cuts': share('power-cuts', 'Share of updates whose trial is interrupted by a power failure.', '1%'),
  'crash-rate': share('crash-rate', 'Probability that an updated device crashes within an hour.', '0%'),
  outage: duration({
    summary: 'Length of one broker outage, starting at a random time in the first ten minutes.',
    env: 'AIOT_OUTAGE',
  }),
  size: sizeInBytes({
    summary: "Size of each device's download, such as 250000 (bytes) or 1MB.",
    default: 250_000,
    env: 'AIOT_SIZE',
  }),
  bandwidth: sizeInBytes({
    summary: "Each device's download rate per second, such as 50000 (bytes) or 20kB.",
    default: 50_000,
    env: 'AIOT_BANDWIDTH',
  }),
};

interface RehearsalGiven {
  runs: number;
  seed: number;
  loss: string;
  latency: string;
  offline: string;
  'fail-rate': string;
  'power-cuts': string;
  'crash-rate': string;
  outage?: number | undefined;
  size: number;
  bandwidth: number;
}

/** Converts these flags to options of a rehearsal. @throws AIOT_USAGE */
export function rehearsalOf(flags: RehearsalGiven): Omit<RehearseOptions, 'onRun'> {
  return {
    ...{ runs: flags.runs, bytes: flags.size, outageMs: flags.outage ?? 0 },
    network: {
      ...networkOf(flags),
      powerCuts: parseShare('power-cuts', flags['power-cuts']),
      crashRate: parseShare('crash-rate', flags['crash-rate']),
      bytesPerSecond: flags.bandwidth,
    },
  };
}
