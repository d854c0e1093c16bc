import type { RolloutReason } from '../../registry/index.js';
import type { Draft } from './draft.js';
import type { RolloutDevice } from './types.js';
import { isEnd } from './waves.js';

/** Takes the wish back from all that have not ended; those that have not begun become `to` at once. */
export function recall(draft: Draft, to: 'pending' | 'withdrawn'): void {
  for (const device of draft.devicesUpTo(draft.head.waves.length - 1)) recallOne(draft, device, to);
}

function recallOne(draft: Draft, device: RolloutDevice, to: 'pending' | 'withdrawn'): void {
  switch (device.state) {
    case 'offered':
      draft.withdraw(device);
      draft.change(device, { state: to, attempts: device.attempts - 1, retryAt: null });
      return;
    case 'updating':
      draft.withdraw(device);
      draft.change(device, { state: 'recalled' });
      return;
    case 'shadowing':
      // It has nothing to end: what it ran it runs on.
      draft.withdraw(device);
      draft.change(device, { state: to, attempts: Math.max(0, device.attempts - 1), retryAt: null });
      return;
    case 'pending':
      if (to === 'withdrawn') draft.change(device, { state: to });
      return;
  }
}

/** Nobody begins, and all that have committed go back to the release before. */
export function rollBack(draft: Draft, reason: RolloutReason | null): void {
  const { head } = draft;
  recall(draft, 'withdrawn');
  head.reason = reason;
  head.state = head.rollback === null ? 'aborting' : 'rollingBack';
}

/** Also those that committed after it was taken back, and those whose commit did not count. */
export function restore(draft: Draft): void {
  const { rollback } = draft.head;
  for (const device of draft.devicesUpTo(draft.head.waves.length - 1, ({ runs }) => runs)) {
    const runs = device.state === 'committed' || (device.holds && isEnd(device.state));
    // Who had it before the rollout keeps it.
    if (runs && device.offer > 0) draft.offer(device, rollback!, 'restoring');
  }
}
