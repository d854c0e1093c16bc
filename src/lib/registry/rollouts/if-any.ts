import { z } from 'zod';
import { AiotError, hasCode } from '../../core/index.js';
import type { RegistryClient } from '../client.js';
import type { Rollout, RolloutRequest } from './schema.js';

/** No rollout, and why: nobody was there for it. */
export const noRolloutSchema = z.object({ skipped: z.string() });

/** Starts a rollout; where no device matches, and that is fine, it says so instead. @throws as the platform says */
export async function startedIfAny(
  rollouts: Pick<RegistryClient['rollouts'], 'start'>,
  asked: RolloutRequest,
  ifAny: boolean,
): Promise<Rollout | z.output<typeof noRolloutSchema>> {
  try {
    return await rollouts.start(asked);
  } catch (error) {
    if (!ifAny || !hasCode(error, 'AIOT_ROLLOUT_EMPTY') || !(error instanceof AiotError)) throw error;
    return { skipped: error.message };
  }
}
