import type {
  Release,
  Rollout,
  RolloutCommand,
  RolloutDeviceInfo,
  RolloutPhase,
  RolloutPolicy,
} from './schema.js';

/**
 * The policy of a rollout that sets nothing else. `waves` are those of the command line and of the dashboard's form: one device, a tenth,
 * half, all. A request without waves updates all devices at once.
 */
export const usualPolicy = {
  waves: '1,10%,50%,100%',
  maxFailures: '5%',
  minSuccess: '50%',
  deadlineMs: 600_000,
  minDeviceHours: 24,
} as const;

/** Text for the conditions of a policy: `at most 5% failed or crashed, at least 50% committed`. */
export function gateWords({
  maxFailures,
  minSuccess,
  crashFree,
}: Pick<RolloutPolicy, 'maxFailures' | 'minSuccess' | 'crashFree'>): string {
  if (!crashFree)
    return `per wave: at most ${maxFailures} failed or crashed, at least ${minSuccess} committed`;
  const { min, minHours } = crashFree;
  return `per wave: at most ${maxFailures} failed, at least ${minSuccess} committed, and ${min} of at least ${minHours} device-hours free of crashes`;
}

/**
 * Text for the crashes since the update: `99.53% of 212 device-hours; 1 with crashes, such as 1a2b3c4d5e6f`, or before the required hours
 * `12 of 200 device-hours needed`.
 */
export function crashFreeWords({ crashFree, policy }: Pick<Rollout, 'crashFree' | 'policy'>): string | null {
  if (!crashFree || !policy.crashFree) return null;
  const { deviceHours, crashedHours, share, causes } = crashFree;
  const { minHours } = policy.crashFree;
  const such = causes[0] ? `, such as ${causes[0].signature}` : '';
  const crashed = crashedHours === 0 ? '' : `; ${crashedHours} with crashes${such}`;
  if (share === null || deviceHours < minHours)
    return `${deviceHours} of ${minHours} device-hours needed${crashed}`;
  return `${(Math.floor(share * 10_000) / 100).toFixed(2)}% of ${deviceHours} device-hours${crashed}`;
}

/** Text for a proof's state, as shown in results, reports and the dashboard. */
export const proofWords: Record<NonNullable<RolloutDeviceInfo['proof']>['state'], string> = {
  proven: 'signed',
  said: 'unsigned',
  refused: 'invalid',
};

/** Text for a state: `rolledBack` → `rolled back`. */
export function stateWords(state: string): string {
  return state.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
}

/** Text for a release: `motor@3`, or `pump settings: rpm=1200, report.everyS-`. */
export function releaseText(release: Release): string {
  if (release.kind !== 'settings') return `${release.name}@${release.version}`;
  const { name, change } = release;
  if (change === null) return `former ${name} settings`;
  const set = leavesOf(change.set).map(([path, value]) => `${path}=${valueText(value)}`);
  return `${name} settings: ${[...set, ...change.unset.map((path) => `${path}-`)].join(', ')}`;
}

/** The values that are not objects with members, by path. */
function leavesOf(values: object, above = ''): [path: string, value: unknown][] {
  return Object.entries(values).flatMap(([name, value]: [string, unknown]): [string, unknown][] => {
    const isInner = typeof value === 'object' && value !== null && !Array.isArray(value);
    const hasMembers = isInner && Object.keys(value).length > 0;
    return hasMembers ? leavesOf(value, `${above}${name}.`) : [[`${above}${name}`, value]];
  });
}

function valueText(value: unknown): string {
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  return text.length > 40 ? `${text.slice(0, 40)}…` : text;
}

/** Text for a step of an update. In the step `golden`, the device runs the model's golden vectors. */
export function stepWord(step: string): string {
  return step === 'golden' ? 'tested' : step;
}

/** Data of an event as shown to people, who count waves from 1; the API counts them from 0. */
export function shownData(data: Record<string, unknown>): Record<string, unknown> {
  return typeof data.wave === 'number' ? { ...data, wave: data.wave + 1 } : data;
}

/**
 * Rollout states in which each command is allowed. This file has no runtime imports, because the dashboard's pages use
 * it too.
 */
export const commandStates: Record<RolloutCommand, readonly RolloutPhase[]> = {
  approve: ['awaitingApproval'],
  pause: ['running', 'scheduled'],
  resume: ['paused'],
  abort: ['awaitingApproval', 'scheduled', 'running', 'paused', 'rollingBack'],
  rollback: ['running', 'paused', 'done', 'partly', 'aborted'],
  retry: ['running', 'paused', 'partly', 'failed'],
};

/** Days of the week, Monday first. */
export const days = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'] as const;
