import type { Rollout, RolloutCommand, RolloutDeviceState } from '../../../src/lib/registry/index.js';
import type { Tone } from '../../parts/badge.js';

/** A part of a bar: devices in states that mean the same to who looks on. */
export interface Share {
  title: string;
  tone: Tone | 'rest';
  states: readonly RolloutDeviceState[];
}

export const shares: readonly Share[] = [
  { title: 'committed', tone: 'good', states: ['committed'] },
  { title: 'under way', tone: 'blue', states: ['updating', 'shadowing', 'recalled', 'restoring'] },
  { title: 'failed', tone: 'bad', states: ['failed'] },
  { title: 'rolled back', tone: 'bad', states: ['rolledBack'] },
  { title: 'out', tone: 'warn', states: ['missed', 'withdrawn', 'restored'] },
  { title: 'waiting', tone: 'rest', states: ['pending', 'offered'] },
];

type Counts = Record<RolloutDeviceState, number>;

export function inShare({ states }: Share, counts: Counts): number {
  return states.reduce((sum, state) => sum + counts[state], 0);
}

/** Of all waves together. */
export function countsOf({ waves }: Rollout): Counts {
  const states = shares.flatMap((share) => share.states);
  const sum = (state: RolloutDeviceState) => waves.reduce((all, wave) => all + wave[state], 0);
  return Object.fromEntries(states.map((state) => [state, sum(state)])) as Counts;
}

export function devicesOf({ waves }: Rollout): number {
  return waves.reduce((sum, { devices }) => sum + devices, 0);
}

/** `rolledBack` → `rolled back`. */
export function words(state: string): string {
  return state.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
}

export const toneOf: Record<Rollout['state'] | Rollout['waves'][number]['state'], Tone> = {
  ...{ awaitingApproval: 'warn', scheduled: 'soft', running: 'blue', paused: 'warn', rollingBack: 'warn' },
  ...{ aborting: 'warn', done: 'good', partly: 'warn', failed: 'bad', rolledBack: 'bad', aborted: 'bad' },
  ...{ waiting: 'soft', shadowing: 'blue', open: 'blue', soaking: 'blue', passed: 'good', stopped: 'bad' },
};

export function toneOfDevice(state: RolloutDeviceState): Tone {
  const tone = shares.find(({ states }) => states.includes(state))?.tone ?? 'rest';
  return tone === 'rest' ? 'soft' : tone;
}

/** What each does, for who is about to press it. */
export const commandTexts: Record<RolloutCommand, { title: string; why: string; danger?: boolean }> = {
  approve: { title: 'Approve', why: 'It begins. Someone other than the person who started it must approve.' },
  pause: { title: 'Pause', why: 'No further device starts. Devices that have started finish.' },
  resume: {
    title: 'Resume',
    why: 'It goes on. Failures until now are taken as seen: only further ones count against the limits.',
  },
  retry: { title: 'Retry', why: 'It is offered again to the devices that did not take it.' },
  rollback: {
    title: 'Roll back',
    why: 'All devices that took it go back to the release before.',
    danger: true,
  },
  abort: {
    title: 'Abort',
    why: 'It ends for good. Devices that have not committed keep what they run.',
    danger: true,
  },
};
