import { Args, Flags } from '@oclif/core';
import { AiotError } from '../../core/errors.js';
import { issueText } from '../../core/issues.js';
import { parseLatency, parseShare } from '../../device/fleet/network.js';
import type { RehearseOptions } from '../../fleet/rehearse.js';
import { amountSchema } from '../../registry/rollouts/amount.js';
import { type days, type RolloutPolicyInput, rolloutPolicySchema } from '../../registry/rollouts/schema.js';
import { rolloutTimesMs } from '../../registry/rollouts/shadow.js';
import { duration, shared, sizeInBytes } from './shared.js';

const amount = (name: string, text: string) => {
  const parsed = amountSchema.safeParse(/^\d+$/.test(text) ? Number(text) : text);
  if (parsed.success) return parsed.data;
  throw new AiotError(
    'AIOT_USAGE',
    `--${name}: expected a number such as 10, or a share such as 2.5%; got ${text}`,
  );
};

const amountFlag = (name: string) =>
  Flags.custom<string | number>({ parse: async (text) => amount(name, text) });

export const rolloutId = {
  id: Args.string({ required: true, description: 'Id of the rollout.' }),
};

/** What is rolled out, and to whom. */
export const whatFlags = {
  model: Flags.string({
    summary: 'Model to roll out: NAME@VERSION, NAME@latest, NAME@production, or NAME.',
    env: 'AIOT_MODEL',
    helpValue: 'MODEL',
  }),
  firmware: Flags.string({
    summary: 'Firmware to roll out; with --model each device takes the firmware first.',
    env: 'AIOT_FIRMWARE',
    helpValue: 'FIRMWARE',
  }),
  configuration: Flags.string({
    summary: 'Configuration to roll out, after the firmware and before the model.',
    env: 'AIOT_CONFIGURATION',
    helpValue: 'CONFIGURATION',
  }),
  selector: Flags.string({
    summary: "Devices that it matches, such as 'type=esp32 and fw<1.4' or 'site=lab and not online=true'.",
    env: 'AIOT_SELECTOR',
    helpValue: 'SELECTOR',
  }),
  'rollback-to': Flags.string({
    summary: 'Version that devices go back to, of the model where there is one: signed now, with your key.',
    env: 'AIOT_ROLLBACK_TO',
    helpValue: 'NAME@VERSION',
  }),
};

/** How it goes. */
export const policyFlags = {
  waves: Flags.string({
    summary: 'How many devices have it when each wave is open; the last wave is all that are left.',
    env: 'AIOT_WAVES',
    helpValue: '1,10%,50%',
  }),
  'max-failures': amountFlag('max-failures')({
    summary: "Of a wave's devices, more failures than that stop the rollout [default: 5%].",
    env: 'AIOT_MAX_FAILURES',
    helpValue: 'N|N%',
  }),
  'min-success': amountFlag('min-success')({
    summary: "Of a wave's devices, so many have to commit before the next wave opens [default: 50%].",
    env: 'AIOT_MIN_SUCCESS',
    helpValue: 'N|N%',
  }),
  soak: duration({
    summary: 'How long a wave has to stay well before the next one opens.',
    env: 'AIOT_SOAK',
    ...rolloutTimesMs.soak,
  }),
  'on-failure': Flags.option({ options: ['pause', 'rollback'] as const })({
    summary: 'When a limit is passed: nobody else begins, or also all go back [default: pause].',
    env: 'AIOT_ON_FAILURE',
  }),
  retries: Flags.integer({
    summary: 'How often a device that failed is offered it again [default: 0].',
    env: 'AIOT_RETRIES',
    min: 0,
    max: 9,
  }),
  backoff: duration({
    summary: 'Before the first retry; twice as long before each one after it [default: 1m].',
    env: 'AIOT_BACKOFF',
    ...rolloutTimesMs.backoff,
  }),
  deadline: duration({
    summary: 'A device that is there and has not ended after this time has failed [default: 10m].',
    env: 'AIOT_DEADLINE',
    ...rolloutTimesMs.deadline,
  }),
  'offline-deadline': duration({
    summary: 'A device that was not there for this time is missed [default: as long as --deadline].',
    env: 'AIOT_OFFLINE_DEADLINE',
    ...rolloutTimesMs.offline,
  }),
  rate: Flags.integer({
    summary: 'Devices that are offered it in a minute, at most.',
    env: 'AIOT_RATE',
    min: 1,
    helpValue: 'N',
  }),
  window: Flags.string({
    summary: "When devices may begin, such as '22:00-04:00' or 'sat,sun 08:00-18:00 Europe/Berlin'.",
    env: 'AIOT_WINDOW',
    helpValue: 'WINDOW',
  }),
  at: Flags.string({
    summary: 'Not before this time, such as 2026-12-01T22:00:00Z.',
    env: 'AIOT_AT',
    helpValue: 'TIME',
  }),
  priority: Flags.integer({
    summary: 'A rollout takes no device from one of higher priority [default: 0].',
    env: 'AIOT_PRIORITY',
    min: -100,
    max: 100,
  }),
  approval: Flags.boolean({ summary: 'Somebody else has to approve it first.', env: 'AIOT_APPROVAL' }),
  shadow: duration({
    summary:
      'In each wave, run the model beside the one in use for this time first; it opens when the limits below hold.',
    env: 'AIOT_SHADOW',
    ...rolloutTimesMs.shadow,
  }),
  'shadow-windows': Flags.integer({
    summary: 'Windows that the devices of a wave have to have answered in all [default: 20].',
    env: 'AIOT_SHADOW_WINDOWS',
    dependsOn: ['shadow'],
    min: 1,
    helpValue: 'N',
  }),
  'max-disagreement': amountFlag('max-disagreement')({
    summary: 'Of these windows, answers that may differ from those of the model in use [default: 5%].',
    env: 'AIOT_MAX_DISAGREEMENT',
    dependsOn: ['shadow'],
    helpValue: 'N|N%',
  }),
  'max-latency': Flags.custom<number>({ parse: async (text) => timesOf(text) })({
    summary: 'How many times the time of the model in use it may take, 95th percentiles [default: 1.5x].',
    env: 'AIOT_MAX_LATENCY',
    dependsOn: ['shadow'],
    helpValue: 'Nx',
  }),
  'max-heap': sizeInBytes({
    summary: 'Memory that its tensors may take.',
    env: 'AIOT_MAX_HEAP',
    dependsOn: ['shadow'],
  }),
  'require-proof': Flags.boolean({
    summary: 'A commit counts only with a signature of the device: those without a certificate have failed.',
    env: 'AIOT_REQUIRE_PROOF',
  }),
};

interface PolicyFlags {
  waves?: string | undefined;
  'max-failures'?: string | number | undefined;
  'min-success'?: string | number | undefined;
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

/** The usual waves where nobody says: one device, a tenth, half, all. */
const usualWaves = '1,10%,50%,100%';

/** What was not given is what a rollout has of itself. @throws AIOT_USAGE */
export function policyOf(flags: PolicyFlags): RolloutPolicyInput {
  const given = {
    waves: (flags.waves ?? usualWaves).split(',').map((text) => amount('waves', text.trim())),
    maxFailures: flags['max-failures'],
    minSuccess: flags['min-success'],
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
  throw new AiotError('AIOT_USAGE', `--max-latency: expected how many times, such as 1.5x; got ${text}`);
}

function windowOf(text: string) {
  const [, on, from, to, zone] =
    /^(?:([a-z]{3}(?:,[a-z]{3})*) +)?(\d\d:\d\d)-(\d\d:\d\d)(?: +(\S+))?$/.exec(text) ?? [];
  if (from === undefined || to === undefined) {
    const got = `--window: expected such as '22:00-04:00' or 'sat,sun 08:00-18:00 Europe/Berlin'; got ${text}`;
    throw new AiotError('AIOT_USAGE', got);
  }
  const here = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const named = on?.split(',') as (typeof days)[number][] | undefined;
  return { from, to, zone: zone ?? here, ...(named ? { days: named } : {}) };
}

function timeOf(text: string): number {
  const at = Date.parse(text);
  if (!Number.isNaN(at)) return at;
  throw new AiotError('AIOT_USAGE', `--at: expected a time such as 2026-12-01T22:00:00Z, got ${text}`);
}

/** What is signed of a release besides what it is. @param types of devices that it is for when nothing is said */
export const releaseFlags = (types: readonly string[]) => ({
  types: Flags.string({
    summary: 'Types of device that it is released for, with commas.',
    env: 'AIOT_TYPES',
    helpValue: 'TYPE,…',
    default: types.join(','),
  }),
  expires: duration({ summary: 'Devices refuse it after this time, such as 720h.', env: 'AIOT_EXPIRES' }),
});

/** Flags of what goes to and comes from an OCI registry. */
export const ociFlags = {
  trust: shared.trust,
  'plain-http': Flags.boolean({
    summary: 'Ask an OCI registry without TLS; one on this machine is asked so anyway.',
    env: 'AIOT_PLAIN_HTTP',
  }),
};

const share = (name: string, summary: string, usual: string) =>
  Flags.string({ summary, default: usual, env: `AIOT_${name}`, helpValue: 'SHARE' });

/** What may go wrong in a rehearsal, as on a simulated fleet; usually a little of most of it does. */
export const rehearsalFlags = {
  runs: Flags.integer({
    summary: 'How often it is rehearsed, each time with other chances.',
    default: 20,
    min: 1,
    max: 10_000,
    env: 'AIOT_RUNS',
  }),
  seed: Flags.integer({ summary: 'The same seed has the same chances.', default: 1, env: 'AIOT_SEED' }),
  loss: share('LOSS', 'Of the messages: lost, and sent again a second later.', '1%'),
  latency: Flags.string({
    summary: 'One way, for each message.',
    default: '20..200ms',
    env: 'AIOT_LATENCY',
    helpValue: '20..200ms',
  }),
  offline: share('OFFLINE', 'Of the devices: away at any time; others each minute.', '2%'),
  'fail-rate': share('FAIL_RATE', 'Of the devices: the version fails its trial there.', '0%'),
  'power-cuts': share('POWER_CUTS', 'Of the updates: the power goes in the trial.', '1%'),
  outage: duration({
    summary: 'The broker is away once for so long, from some moment of the first ten minutes on.',
    env: 'AIOT_OUTAGE',
  }),
  size: sizeInBytes({ summary: 'Of what each device downloads.', default: 250_000, env: 'AIOT_SIZE' }),
  bandwidth: sizeInBytes({
    summary: 'What each device downloads in a second.',
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
  outage?: number | undefined;
  size: number;
  bandwidth: number;
}

/** The same as the library takes it. @throws AIOT_USAGE */
export function rehearsalOf(flags: RehearsalGiven): Omit<RehearseOptions, 'onRun'> {
  return {
    ...{ runs: flags.runs, bytes: flags.size, outageMs: flags.outage ?? 0 },
    network: {
      seed: flags.seed,
      loss: parseShare('loss', flags.loss),
      latencyMs: parseLatency(flags.latency),
      offline: parseShare('offline', flags.offline),
      failRate: parseShare('fail-rate', flags['fail-rate']),
      powerCuts: parseShare('power-cuts', flags['power-cuts']),
      bytesPerSecond: flags.bandwidth,
    },
  };
}
