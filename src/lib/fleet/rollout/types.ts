import type { Desired } from '../../device/protocol/messages.js';
import type {
  DeltaReport,
  DeviceProof,
  DeviceTimes,
  Release,
  RolloutCommand,
  RolloutDeviceState,
  RolloutPhase,
  RolloutPolicy,
  RolloutReason,
} from '../../registry/rollouts/schema.js';
import type { ShadowFigures, WaveShadow } from '../../registry/rollouts/shadow.js';

/** One device of a rollout. */
export interface RolloutDevice {
  name: string;
  /** Index of its wave. */
  wave: number;
  state: RolloutDeviceState;
  /** Index of the release that it is at. */
  item: number;
  /** Wishes told to it so far: each has a number of its own, so that what is said of an earlier one is known as such. */
  offer: number;
  /** Offers of the release that it is at. */
  attempts: number;
  /** The update state last reported. */
  step: string | null;
  error: RolloutReason | null;
  /** When the last offer was made, and not before when the next one is, ms since 1970. */
  offered: number | null;
  retryAt: number | null;
  /** Proof of the update: when each step was first reported, ms since 1970. */
  times: DeviceTimes;
  /** Absent before it commits. */
  proof?: DeviceProof | null;
  /** How the release that it is at came where a delta was offered; absent where none was. */
  delta?: DeltaReport;
  /** Its last offer was to run it as a shadow. */
  asShadow?: boolean;
  /** It runs the release, though its commit did not count: it has to go back with all others. */
  holds?: boolean;
  /** What it measured last. */
  shadow?: ShadowFigures | null;
  updated: number;
}

export type DeviceCounts = Record<RolloutDeviceState, number>;

export interface RolloutWave {
  devices: number;
  state: 'waiting' | 'shadowing' | 'open' | 'soaking' | 'passed' | 'stopped';
  opened: number | null;
  /** Since when nothing of it is under way and enough have committed. */
  settled: number | null;
  ended: number | null;
  counts: DeviceCounts;
  /** Failures that somebody has seen and gone on from. */
  forgiven: number;
  /** Somebody went on though too few had committed. */
  waived: boolean;
  /** Absent before it begins, and where there is none. */
  shadow?: WaveShadow | null;
}

/** A rollout without its devices. */
export interface RolloutHead {
  id: string;
  /** Each device takes one after the other. */
  releases: Release[];
  /** What the devices go back to where the rollout is rolled back: signed when it was started, for the key is its operator's. */
  rollback: Release | null;
  selector: string;
  policy: RolloutPolicy;
  /** Who started it. */
  by: string;
  created: number;
  ended: number | null;
  state: RolloutPhase;
  /** Why it is paused or has ended before its end. */
  reason: RolloutReason | null;
  approvals: { who: string; at: number }[];
  /** Index of the last wave that is open; −1 before the first. */
  wave: number;
  waves: RolloutWave[];
  /** How many offers may be made now (a bucket that fills with time), and when that was counted. */
  budget: { offers: number; at: number } | null;
  /** Rises with each save. */
  revision: number;
}

export interface RolloutState {
  head: RolloutHead;
  /** In the order of their waves. */
  devices: ReadonlyMap<string, RolloutDevice>;
}

/** What a device says about its update, as far as a rollout looks at it. */
export interface UpdateReport {
  rollout: string | null;
  kind?: Release['kind'] | undefined;
  state: string;
  model: { sequence: number } | null;
  firmware?: { release?: { sequence: number } | null | undefined } | undefined;
  config?: { sequence: number } | null | undefined;
  golden?: { vectors: number; passed: number } | null | undefined;
  delta?: DeltaReport | null | undefined;
  error: RolloutReason | null;
  /** It would not leave what was taken back, and went on with it: that it failed is a failure of the release. */
  refusedRecall?: boolean | undefined;
  /** Its proof, looked at; absent = it sent none. */
  proof?: CheckedProof | undefined;
  shadow?: ShadowFigures | undefined;
}

/** What a device has signed, or why that counts for nothing. */
export type CheckedProof =
  | (Pick<DeviceProof, 'golden'> & {
      signed: NonNullable<DeviceProof['signed']>;
      healthyS: number;
      t: number;
    })
  | { refused: RolloutReason };

export type RolloutEvent =
  | { type: 'reported'; device: string; report: UpdateReport }
  /** A newer rollout took the device over, or the device was suspended, revoked or removed. */
  | { type: 'superseded' | 'revoked'; device: string }
  | { type: RolloutCommand; who: string }
  | { type: 'tick' };

/** What a rollout looks at besides its own state. */
export interface World {
  /** ms since 1970 */
  at: number;
  online(device: string): boolean;
  /** Whoever is not online may be on the way back: the platform itself was away until just now. Absent = it was not. */
  returning?: boolean;
  /** Whether it can run a model as a shadow; absent = none can. */
  shadows?(device: string): boolean;
}

/** What a device is to run from now on; null = the wish of that number is taken back. */
export interface Wish {
  device: string;
  /** Names the wish on the device: `rollout` of protocol v1. */
  wish: string;
  release: Release | null;
  /** How long it is to run it well before it says so once more, ms. */
  soakMs?: number;
  /** A patch that makes it of what the device runs: known once the wish is written down. */
  delta?: Desired['delta'];
  /** It is to run beside the active one, and not to be committed. */
  shadow?: { everyMs: number };
}

export interface RolloutStep {
  head: RolloutHead;
  /** Those that are other than before. */
  changed: RolloutDevice[];
  wishes: Wish[];
}

/** Where rollouts live. */
export interface RolloutStore {
  /** A new one. */
  insert(rollout: RolloutState, who: string): Promise<void>;
  /**
   * Resolves when the step, and what devices are to run from now on, is on disk: only then may anybody be told. Its revision is one
   * above that of what it was made from: of two that were made from the same, one is refused. @returns the wishes that hold:
   * one is not taken back where the device has another since.
   */
  save(before: RolloutState, step: RolloutStep, who: string): Promise<Wish[]>;
  get(id: string): Promise<RolloutState | null>;
  head(id: string): Promise<RolloutHead | null>;
  count(): Promise<number>;
  /** Newest first, at most so many of those that are older than `after` (its id). */
  list(page: { after?: string | undefined; limit: number }): Promise<RolloutHead[]>;
  /** By name, at most so many of those behind `after`. */
  devices(id: string, query: RolloutDevicesQuery): Promise<RolloutDevice[]>;
  /** Those that have not ended. `known`: what was read before; of these only what has changed since is read. */
  running(known: ReadonlyMap<string, RolloutState>): Promise<RolloutState[]>;
}

interface RolloutDevicesQuery {
  state?: RolloutDeviceState | undefined;
  wave?: number | undefined;
  after?: string | undefined;
  limit: number;
}
