import type { Release, RolloutCommand, RolloutDeviceInfo, RolloutPhase } from './schema.js';

/**
 * The policy of a rollout that sets nothing else. `waves` are those of the command line and of the dashboard's form: one device, a tenth,
 * half, all. A request without waves updates all devices at once.
 */
export const usualPolicy = {
  waves: '1,10%,50%,100%',
  maxFailures: '5%',
  minSuccess: '50%',
  deadlineMs: 600_000,
} as const;

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
