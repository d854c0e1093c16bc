import { type Amount, shareOf } from '../../registry/rollouts/amount.js';
import {
  type Release,
  type RolloutDeviceState,
  type RolloutPolicy,
  rolloutDeviceStates,
} from '../../registry/rollouts/schema.js';
import { DeviceTable } from './table.js';
import type { DeviceCounts, RolloutDevice, RolloutState, RolloutWave } from './types.js';

export interface StartRollout {
  id: string;
  releases: Release[];
  rollback: Release | null;
  selector: string;
  policy: RolloutPolicy;
  /** In the order in which they are to have it. */
  devices: readonly string[];
  /** Those of them that run the last release already: nothing is expected of them. */
  current?: readonly string[];
  by: string;
  /** ms since 1970 */
  created: number;
}

/** A rollout of which nothing was told to anybody yet: its first tick opens what may be opened. */
export function startRollout(start: StartRollout): RolloutState {
  const { id, releases, rollback, selector, policy, by, created } = start;
  const members = splitIntoWaves(start.devices, policy.waves);
  const current = new Set(start.current);
  const devices = members.flatMap((names, wave) =>
    names.map((name) => newDevice(name, wave, current.has(name), created)),
  );
  return {
    head: {
      ...{ id, releases, rollback, selector, policy, by, created },
      ...{ ended: null, reason: null, approvals: [], wave: -1, budget: null, revision: 0 },
      state: policy.approval ? 'awaitingApproval' : 'scheduled',
      waves: members.map((names) => newWave(names.length, names.filter((name) => current.has(name)).length)),
    },
    devices: DeviceTable.from(devices),
  };
}

function newDevice(name: string, wave: number, current: boolean, created: number): RolloutDevice {
  const nothing = { step: null, error: null, offered: null, retryAt: null };
  return {
    ...{ name, wave, state: current ? 'committed' : 'pending', item: 0, offer: 0, attempts: 0 },
    ...nothing,
    times: {},
    updated: created,
  };
}

/**
 * Splits names, in their order, into waves: each amount says how many are in the waves up to it. Waves that would be empty are
 * left out, and the last has all that are left.
 */
export function splitIntoWaves(names: readonly string[], amounts: readonly Amount[]): string[][] {
  const waves: string[][] = [];
  let from = 0;
  for (const amount of [...amounts, '100%' as const]) {
    const until = Math.min(names.length, Math.ceil(shareOf(amount, names.length)));
    if (until <= from) continue;
    waves.push(names.slice(from, until));
    from = until;
  }
  return waves;
}

/** @param current how many of its devices have nothing to take */
function newWave(devices: number, current: number): RolloutWave {
  const counts = noDevices();
  counts.pending = devices - current;
  counts.committed = current;
  return {
    ...{ devices, state: 'waiting', counts },
    ...{ opened: null, settled: null, ended: null, forgiven: 0, waived: false },
  };
}

export function noDevices(): DeviceCounts {
  return Object.fromEntries(rolloutDeviceStates.map((state) => [state, 0])) as DeviceCounts;
}

const ends: ReadonlySet<RolloutDeviceState> = new Set([
  'committed',
  'rolledBack',
  'failed',
  'missed',
  'withdrawn',
  'restored',
]);

/** Whether nothing more is expected of a device in this state. */
export function isEnd(state: RolloutDeviceState): boolean {
  return ends.has(state);
}

export function failures({ counts }: RolloutWave): number {
  return counts.failed + counts.rolledBack;
}

/** Devices that have begun and not ended. */
export function underWay({ counts }: RolloutWave): number {
  return counts.updating + counts.shadowing + counts.recalled + counts.restoring;
}

export function unended({ counts }: RolloutWave): number {
  const { pending, offered, updating, shadowing, recalled, restoring } = counts;
  return pending + offered + updating + shadowing + recalled + restoring;
}
