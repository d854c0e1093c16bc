import type { RolloutCommand, RolloutPhase } from './schema.js';

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
