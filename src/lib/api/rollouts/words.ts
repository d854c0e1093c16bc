import type { RolloutCommand, RolloutDeviceInfo, RolloutPhase } from './schema.js';

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
