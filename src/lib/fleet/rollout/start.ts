import type { Release, RolloutPolicy } from '../../registry/index.js';
import { DeviceTable } from './table.js';
import type { RolloutDevice, RolloutState } from './types.js';
import { newWave, splitIntoWaves } from './waves.js';

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
