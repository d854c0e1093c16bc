import { AiotError } from '../../core/index.js';
import { commandStates, type RolloutCommand } from '../../registry/index.js';
import type { Draft } from './draft.js';
import { recall, rollBack } from './recall.js';
import { beginShadow, isShadowing } from './shadow.js';
import { failures } from './waves.js';

/** @throws AIOT_ROLLOUT_STATE, AIOT_ROLLOUT_APPROVER, AIOT_ROLLOUT_NO_WAY_BACK */
export function applyCommand(draft: Draft, command: RolloutCommand, who: string): void {
  const { head } = draft;
  if (!commandStates[command].includes(head.state)) {
    const states = commandStates[command].join(', ');
    const message = `${command}: expected a rollout that is ${states}; ${head.id} is ${head.state}`;
    throw new AiotError('AIOT_ROLLOUT_STATE', message);
  }
  commands[command](draft, who);
}

const commands: Record<RolloutCommand, (draft: Draft, who: string) => void> = {
  approve(draft, who) {
    const { head } = draft;
    if (personOf(who) === personOf(head.by)) {
      throw new AiotError('AIOT_ROLLOUT_APPROVER', `${who} started ${head.id}: somebody else has to approve`);
    }
    head.approvals = [...head.approvals, { who, at: draft.at }];
    head.state = 'scheduled';
  },
  pause(draft, who) {
    const { head } = draft;
    head.state = 'paused';
    head.reason = { code: 'AIOT_ROLLOUT_PAUSED', message: `paused by ${who}` };
    // Who has begun may end; who has not does not begin.
    for (const device of draft.devicesUpTo(head.waves.length - 1)) {
      if (device.state !== 'offered') continue;
      draft.withdraw(device);
      draft.change(device, { state: 'pending', attempts: device.attempts - 1 });
    }
  },
  resume(draft) {
    const { head } = draft;
    head.state = head.wave < 0 ? 'scheduled' : 'running';
    head.reason = null;
    for (const wave of head.waves) {
      wave.forgiven = failures(wave);
      if (wave.state !== 'stopped') continue;
      Object.assign(wave, { state: 'open', waived: true });
      if (wave.shadow) wave.shadow = { ...wave.shadow, passed: true };
    }
  },
  abort(draft, who) {
    recall(draft, 'withdrawn');
    draft.head.state = 'aborting';
    draft.head.reason = { code: 'AIOT_ROLLOUT_ABORTED', message: `aborted by ${who}` };
  },
  rollback(draft, who) {
    const { head } = draft;
    if (head.rollback === null) {
      const message = `${head.id} was started without a release to go back to`;
      throw new AiotError('AIOT_ROLLOUT_NO_WAY_BACK', message);
    }
    head.ended = null;
    rollBack(draft, { code: 'AIOT_ROLLOUT_ROLLED_BACK', message: `rolled back by ${who}` });
  },
  retry(draft) {
    const { head } = draft;
    head.ended = null;
    head.reason = null;
    head.state = 'running';
    for (const device of draft.devicesUpTo(head.waves.length - 1)) {
      if (device.state !== 'failed' && device.state !== 'rolledBack' && device.state !== 'missed') continue;
      draft.change(device, { state: 'pending', attempts: 0, retryAt: null, error: null, step: null });
    }
    head.waves.forEach((wave, index) => {
      Object.assign(wave, { forgiven: 0, waived: false });
      if (wave.opened !== null) Object.assign(wave, { state: 'open', settled: null, ended: null });
      if (isShadowing(wave)) beginShadow(draft, index);
    });
    head.wave = head.waves.findLastIndex(({ opened }) => opened !== null);
  },
};

/** Whoever shows another token of the same user is the same person; so are all tokens that are nobody's in particular. */
function personOf(who: string): string {
  return /^(user \S+|operator)(?= )/.exec(who)?.[0] ?? who;
}
