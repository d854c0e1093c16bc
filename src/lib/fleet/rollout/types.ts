import type {
  DeltaReport,
  DeviceProof,
  DeviceTimes,
  Release,
  RolloutCommand,
  RolloutDeviceState,
  RolloutDevicesQuery,
  RolloutPhase,
  RolloutPolicy,
  RolloutReason,
} from '../../api/rollouts/schema.js';
import type { ShadowFigures, WaveShadow } from '../../api/rollouts/shadow.js';
import type { Desired } from '../../device/protocol/messages.js';

/** A device in a rollout. */
export interface RolloutDevice {
  name: string;
  /** Index of the device's wave. */
  wave: number;
  state: RolloutDeviceState;
  /** Index of the release that the device is installing. */
  item: number;
  /** Number of the last offer. Offers are numbered, so that reports about an earlier one can be recognized. */
  offer: number;
  /** Number of offers of the current release. */
  attempts: number;
  /** The update state last reported. */
  step: string | null;
  error: RolloutReason | null;
  /** Time of the last offer, and the earliest time of the next one, ms since 1970. */
  offered: number | null;
  retryAt: number | null;
  /** Times at which each step was first reported, ms since 1970. */
  times: DeviceTimes;
  /** Time of the commit's report by the device's clock, ms since 1970, for comparison with the times of crashes; absent = unknown. */
  committedT?: number;
  /** Proof that the device committed; absent before it commits. */
  proof?: DeviceProof | null;
  /** How the current release was transferred if a delta was offered; otherwise absent. */
  delta?: DeltaReport;
  /** Whether the last offer was to run the release as a shadow. */
  asShadow?: boolean;
  /** Whether the device runs the release although its commit did not count. A rollback must then include it. */
  holds?: boolean;
  /** Latest measurements of the shadow. */
  shadow?: ShadowFigures | null;
  /** Hours since the commit in which the device crashed, counted from 0; absent = none, or the policy does not ask. */
  crashHours?: number[];
  updated: number;
}

export type DeviceCounts = Record<RolloutDeviceState, number>;

export interface RolloutWave {
  devices: number;
  state: 'waiting' | 'shadowing' | 'open' | 'soaking' | 'passed' | 'stopped';
  opened: number | null;
  /** Time since which no device has been updating and enough have committed; ms since 1970. */
  settled: number | null;
  ended: number | null;
  counts: DeviceCounts;
  /** Number of devices that crashed after they committed; absent = 0. */
  crashed?: number;
  /** Number of failures and crashes that an operator accepted when continuing the rollout. */
  forgiven: number;
  /** Whether an operator continued the rollout although too few devices had committed. */
  waived: boolean;
  /** State of the wave's shadow; absent before it starts, and if the wave has none. */
  shadow?: WaveShadow | null;
}

/** Crashes on all devices that a rollout has updated. */
export interface CrashFigures {
  /** Time of the last count of the devices' hours, ms since 1970. */
  at: number;
  /** Time that these devices have run the release, ms. */
  deviceMs: number;
  /** Device-hours with a crash, and how many of them an operator accepted. */
  crashed: number;
  forgiven: number;
  /** Device-hours with a crash by its signature; the first ones. */
  causes: { signature: string; reason: string; hours: number }[];
}

/** A rollout without its devices. */
export interface RolloutHead {
  id: string;
  /** Releases that each device installs, in order. */
  releases: Release[];
  /** The release for a rollback. It is signed when the rollout is started, because only the operator has the key. */
  rollback: Release | null;
  selector: string;
  policy: RolloutPolicy;
  /** User who started the rollout. */
  by: string;
  /** Selectors that limited the rights of that user; absent = no limit. */
  limit?: readonly string[];
  created: number;
  ended: number | null;
  state: RolloutPhase;
  /** Why the rollout is paused or ended early. */
  reason: RolloutReason | null;
  approvals: { who: string; at: number }[];
  /** Index of the last open wave; −1 before the first wave opens. */
  wave: number;
  waves: RolloutWave[];
  /** Offers available now (a bucket that refills over time), and the time at which it was last refilled. */
  budget: { offers: number; at: number } | null;
  /** Absent before the first device commits, and without `crashFree` in the policy. */
  crashes?: CrashFigures;
  /** Increases by one with each save. */
  revision: number;
}

export interface RolloutState {
  head: RolloutHead;
  /** In wave order. */
  devices: ReadonlyMap<string, RolloutDevice>;
}

/** The part of a device's update report that a rollout uses. */
export interface UpdateReport {
  /** Time by the device's clock, ms since 1970; 0 or absent = unknown. */
  t?: number | undefined;
  rollout: string | null;
  kind?: Release['kind'] | undefined;
  state: string;
  model: { sequence: number } | null;
  firmware?: { release?: { sequence: number } | null | undefined } | undefined;
  config?: { sequence: number } | null | undefined;
  golden?: { vectors: number; passed: number } | null | undefined;
  delta?: DeltaReport | null | undefined;
  error: RolloutReason | null;
  /** Whether the device ignored the recall and continued the update, so that a failure counts against the release. */
  refusedRecall?: boolean | undefined;
  /** The verified proof; absent = none was sent. */
  proof?: CheckedProof | undefined;
  shadow?: ShadowFigures | undefined;
}

/** The content of a signed proof, or the reason why it is invalid. */
export type CheckedProof =
  | (Pick<DeviceProof, 'golden'> & {
      signed: NonNullable<DeviceProof['signed']>;
      healthyS: number;
      t: number;
    })
  | { refused: RolloutReason };

export type RolloutEvent =
  | { type: 'reported'; device: string; report: UpdateReport }
  /** A user changed the same settings after the rollout had started. */
  | { type: 'changed'; device: string; path: string; who: string }
  /** A committed device reports other settings than those of the rollout. */
  | { type: 'drifted'; device: string; error: RolloutReason }
  /** A newer rollout took over the device, or the device was suspended, revoked or removed. */
  | { type: 'superseded' | 'revoked'; device: string }
  /** The device's program crashed. `t`: time of the crash, ms since 1970; null = unknown. */
  | { type: 'crashed'; device: string; t: number | null; cause?: { signature: string; reason: string } }
  | { type: RolloutCommand; who: string }
  | { type: 'tick' };

/** Input to a rollout step, in addition to the rollout's state. */
export interface World {
  /** ms since 1970 */
  at: number;
  online(device: string): boolean;
  /** When an offline device was last connected, ms since 1970; null or absent = unknown. */
  seen?(device: string): number | null;
  /** Whether the platform has just restarted, so that offline devices may be about to reconnect. Absent = false. */
  returning?: boolean;
  /** Whether the device can run a model as a shadow; absent = no device can. */
  shadows?(device: string): boolean;
  /** Whether the user who started the rollout may still change the device; absent = all devices. */
  permits?: ((device: string) => boolean) | undefined;
}

/** The release that a device must run from now on; null = the desired release with this name is recalled. */
export interface Wish {
  device: string;
  /** Name of the desired release on the device: `rollout` in protocol v1. */
  wish: string;
  release: Release | null;
  /** How long the device must run without problems before it reports again, ms. */
  soakMs?: number;
  /** A patch from the device's current release; absent until the desired release is stored. */
  delta?: Desired['delta'];
  /** Runs the release alongside the active one, without committing it, and reports at this interval. */
  shadow?: { everyMs: number };
}

export interface RolloutStep {
  head: RolloutHead;
  /** Devices that have changed. */
  changed: RolloutDevice[];
  wishes: Wish[];
}

/** A rollout after a step. */
export interface AdvancedRollout {
  /** The rollout in the database before the step. */
  before: RolloutState;
  /** Null = nothing was saved. */
  step: RolloutStep | null;
  /** As returned by `save`. */
  told: Wish[];
}

/** Store for rollouts. */
export interface RolloutStore {
  /** Adds a new rollout. */
  insert(rollout: RolloutState, who: string): Promise<void>;
  /**
   * Resolves when the step and the new desired releases are on disk. Devices may be notified only after that. The new
   * revision is one higher than in `before`. If two saves have the same `before`, the later one is rejected.
   * @returns the desired releases in force; a recall is omitted if the device has received another desired release
   * since then
   */
  save(before: RolloutState, step: RolloutStep, who: string): Promise<Wish[]>;
  /**
   * Computes and saves a rollout's next step from the state in the database. Other steps of this rollout wait meanwhile; those of other
   * rollouts do not. `decide` returns null if there is nothing to save. Otherwise, as for `save`.
   * @param known the rollout as it was read before; only devices changed since then are read
   * @returns null if the rollout does not exist
   */
  advance(
    id: string,
    known: RolloutState | undefined,
    decide: (state: RolloutState) => RolloutStep | null,
    who: string,
  ): Promise<AdvancedRollout | null>;
  get(id: string): Promise<RolloutState | null>;
  head(id: string): Promise<RolloutHead | null>;
  count(): Promise<number>;
  /** Newest first, at most `limit` rollouts older than `after` (an id). */
  list(page: { after?: string | undefined; limit: number }): Promise<RolloutHead[]>;
  /** Devices sorted by name, at most `limit` after `after`. */
  devices(id: string, query: RolloutDevicesQuery): Promise<RolloutDevice[]>;
  /** Unfinished rollouts. @param known rollouts that were read before; only rollouts changed since then are read */
  running(known: ReadonlyMap<string, RolloutState>): Promise<RolloutState[]>;
}
