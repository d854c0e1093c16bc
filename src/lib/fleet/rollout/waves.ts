import { type Amount, shareOf } from '../../api/rollouts/amount.js';
import {
  type Release,
  type Rollout,
  type RolloutDeviceState,
  type RolloutPolicy,
  rolloutDeviceStates,
} from '../../api/rollouts/schema.js';
import { sha256Hex } from '../../core/crypto.js';
import { DeviceTable } from './table.js';
import type { DeviceCounts, RolloutDevice, RolloutHead, RolloutState, RolloutWave } from './types.js';

export interface StartRollout {
  id: string;
  releases: Release[];
  rollback: Release | null;
  selector: string;
  policy: RolloutPolicy;
  /** In rollout order. */
  devices: readonly string[];
  /** Devices that already run the last release and need no update. */
  current?: readonly string[];
  by: string;
  /** Selectors that limit the rights of that user; absent = no limit. */
  limit?: readonly string[];
  /** ms since 1970 */
  created: number;
}

/**
 * Creates a rollout that has not sent anything to devices yet. Its first tick opens the waves whose conditions are met.
 */
export function startRollout(start: StartRollout): RolloutState {
  const { id, releases, rollback, selector, policy, by, limit, created } = start;
  const members = splitIntoWaves(start.devices, policy.waves);
  const current = new Set(start.current);
  const devices = members.flatMap((names, wave) =>
    names.map((name) => newDevice(name, wave, current.has(name), created)),
  );
  return {
    head: {
      ...{ id, releases, rollback, selector, policy, by, ...(limit && { limit }), created },
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
 * Sorts a rollout's devices. Offline devices come last, so that early waves do not wait for them. Within both groups
 * the order is pseudo-random, so that the first wave does not always have the same devices. The order depends only on
 * the releases and the names.
 */
export function inRolloutOrder(
  names: readonly string[],
  releases: readonly Release[],
  offline: ReadonlySet<string>,
): string[] {
  const seed = JSON.stringify(releases);
  const keyed = names.map((name) => {
    const key = sha256Hex(`${seed}\n${name}`);
    return { name, last: offline.has(name) ? 1 : 0, key };
  });
  return keyed.sort((a, b) => a.last - b.last || (a.key < b.key ? -1 : 1)).map(({ name }) => name);
}

/**
 * Encodes which of these devices are offline, as base64: one bit for each name in sorted order, starting with the
 * lowest bit of the first byte. A plan stores the result, so that starting the plan yields the same waves even if
 * devices have gone online or offline since.
 */
export function packOffline(names: readonly string[], offline: ReadonlySet<string>): string {
  const bits = Buffer.alloc(Math.ceil(names.length / 8));
  for (const [i, name] of [...names].sort().entries()) if (offline.has(name)) bits[i >> 3]! |= 1 << (i & 7);
  return bits.toString('base64');
}

/** The devices that `packOffline` marked; names beyond the end of the bits are online. */
export function unpackOffline(names: readonly string[], packed: string): Set<string> {
  const bits = Buffer.from(packed, 'base64');
  return new Set([...names].sort().filter((_, i) => ((bits[i >> 3] ?? 0) >> (i & 7)) & 1));
}

/**
 * Splits names, in order, into waves. Each amount is the cumulative size of all waves so far. Empty waves are omitted,
 * and the last wave takes the rest.
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

/** @param current number of the wave's devices that need no update */
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

/** Whether this state of a device is final. */
export function isEnd(state: RolloutDeviceState): boolean {
  return ends.has(state);
}

/**
 * State of a wave as users see it. In a rollout that has ended, a wave has the outcome of its devices. A last wave without a soak has
 * met no conditions of its own, so it is `partly` unless all its devices committed.
 */
export function waveOutcome(head: RolloutHead, index: number): Rollout['waves'][number]['state'] {
  const wave = head.waves[index]!;
  const { state, opened, counts, devices } = wave;
  if (opened === null) return head.ended === null ? state : 'skipped';
  if (head.state === 'rolledBack') return 'rolledBack';
  if (head.ended !== null && state === 'stopped') return 'aborted';
  if (state !== 'passed') return state;
  if (counts.committed === 0) return unended(wave) > 0 ? 'open' : 'failed';
  const judged = index < head.waves.length - 1 || head.policy.soakMs > 0 || !!head.policy.crashFree;
  const all = counts.committed + counts.withdrawn === devices;
  return head.ended === null || judged || all ? 'passed' : 'partly';
}

export function failures({ counts }: RolloutWave): number {
  return counts.failed + counts.rolledBack;
}

/** Number of devices that failed, or crashed after they committed unless crashes are judged by device-hours. */
export function harmed({ policy }: Pick<RolloutHead, 'policy'>, wave: RolloutWave): number {
  return failures(wave) + (policy.crashFree ? 0 : (wave.crashed ?? 0));
}

/** Number of devices that have started but not ended. */
export function underWay({ counts }: RolloutWave): number {
  return counts.updating + counts.shadowing + counts.recalled + counts.restoring;
}

export function unended({ counts }: RolloutWave): number {
  const { pending, offered, updating, shadowing, recalled, restoring } = counts;
  return pending + offered + updating + shadowing + recalled + restoring;
}
