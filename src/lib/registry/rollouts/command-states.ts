import type { RolloutCommand, RolloutPhase } from './schema.js';

/** In which states of a rollout each may be given. Without imports at run time: the dashboard's pages have it, too. */
export const commandStates: Record<RolloutCommand, readonly RolloutPhase[]> = {
  approve: ['awaitingApproval'],
  pause: ['running', 'scheduled'],
  resume: ['paused'],
  abort: ['awaitingApproval', 'scheduled', 'running', 'paused', 'rollingBack'],
  rollback: ['running', 'paused', 'done', 'partly', 'aborted'],
  retry: ['running', 'paused', 'partly', 'failed'],
};
