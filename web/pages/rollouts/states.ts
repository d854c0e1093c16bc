import type { Rollout, RolloutCommand, RolloutDeviceState } from '../../../src/lib/api/index.js';

export { stateWords as words } from '../../../src/lib/api/rollouts/words.js';

import type { Tone } from '../../parts/badge.js';

/** A part of a bar, for the devices in one or several states that mean the same to the viewer. */
export interface Share {
  title: string;
  tone: Tone | 'rest';
  states: readonly RolloutDeviceState[];
}

export const shares: readonly Share[] = [
  { title: 'committed', tone: 'good', states: ['committed'] },
  { title: 'updating', tone: 'blue', states: ['updating', 'shadowing', 'recalled', 'restoring'] },
  { title: 'failed', tone: 'bad', states: ['failed'] },
  { title: 'rolled back', tone: 'bad', states: ['rolledBack'] },
  { title: 'not updated', tone: 'warn', states: ['missed', 'withdrawn', 'restored'] },
  { title: 'pending', tone: 'rest', states: ['pending', 'offered'] },
];

type Counts = Record<RolloutDeviceState, number>;

export function inShare({ states }: Share, counts: Counts): number {
  return states.reduce((sum, state) => sum + counts[state], 0);
}

/** Number of devices in each state, over all waves. */
export function countsOf({ waves }: Rollout): Counts {
  const states = shares.flatMap((share) => share.states);
  const sum = (state: RolloutDeviceState) => waves.reduce((all, wave) => all + wave[state], 0);
  return Object.fromEntries(states.map((state) => [state, sum(state)])) as Counts;
}

export function devicesOf({ waves }: Rollout): number {
  return waves.reduce((sum, { devices }) => sum + devices, 0);
}

export const toneOf: Record<Rollout['state'] | Rollout['waves'][number]['state'], Tone> = {
  ...{ awaitingApproval: 'warn', scheduled: 'soft', running: 'blue', paused: 'warn', rollingBack: 'warn' },
  ...{ aborting: 'warn', done: 'good', partly: 'warn', failed: 'bad', rolledBack: 'bad', aborted: 'bad' },
  ...{ waiting: 'soft', shadowing: 'blue', open: 'blue', soaking: 'blue', passed: 'good', stopped: 'bad' },
  skipped: 'soft',
};

export function toneOfDevice(state: RolloutDeviceState): Tone {
  const tone = shares.find(({ states }) => states.includes(state))?.tone ?? 'rest';
  return tone === 'rest' ? 'soft' : tone;
}

/** Title and explanation of each action, shown before it is confirmed. */
export const commandTexts: Record<RolloutCommand, { title: string; why: string; danger?: boolean }> = {
  approve: {
    title: 'Approve',
    why: 'The rollout starts. Someone other than the person who created it must approve it.',
  },
  pause: { title: 'Pause', why: 'No further devices start. Devices that are updating finish.' },
  resume: {
    title: 'Resume',
    why: 'The rollout continues. Earlier failures and crashes are accepted; only new ones count toward the limits.',
  },
  retry: { title: 'Retry', why: 'The update is offered again to the failed devices.' },
  rollback: {
    title: 'Roll back',
    why: 'All updated devices return to the previous release.',
    danger: true,
  },
  abort: {
    title: 'Abort',
    why: 'The rollout ends permanently. Devices that have not committed keep their current release.',
    danger: true,
  },
};
