import { hasEnded, type RolloutState } from '../../fleet/index.js';
import type { Store } from './database.js';

/** A rollout as the job that it is: `aiot job wait` and the like know it by its own id. */
export async function saveRolloutJob(store: Store, rollout: RolloutState, who: string): Promise<void> {
  const { id, created, ended, state, model, sequence, selector, devices } = rollout;
  const done = devices.filter(hasEnded).length;
  const updated = devices.reduce((latest, device) => Math.max(latest, device.updated), created);
  const failed = devices.filter((device) => hasEnded(device) && device.state !== 'committed');
  const error =
    state === 'failed'
      ? JSON.stringify({
          code: failed[0]?.error?.code ?? 'AIOT_ROLLOUT_FAILED',
          message: `${failed.length} of ${devices.length} devices did not take it`,
        })
      : null;
  const progress = { state, ended, updated, done, error };
  await store
    .insertInto('jobs')
    .values({
      ...{ id, kind: 'rollout', who, created, started: created, total: devices.length, ...progress },
      request: JSON.stringify({ model, sequence, selector }),
      ...{ step: null, result: null, leaseUntil: null, cancelled: null },
    })
    .onConflict((conflict) => conflict.column('id').doUpdateSet(progress))
    .execute();
}
