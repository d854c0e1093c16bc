import type { ErrorCode } from '../../core/catalogue.js';
import type { Clock } from '../../core/time.js';
import type { TrustRoot } from '../../formats/manifest/envelope.js';
import type { Manifest, NetworkMode } from '../../formats/manifest/manifest.js';
import type { Desired, Reported, UpdateState } from '../protocol/messages.js';
import type { ModelRuntime } from '../runtime.js';
import type { DeviceStore } from '../virtual/store.js';
import type { TrustKeeper } from '../virtual/trust.js';
import type { DeviceRecord, Refusal, SlotContent, SlotIndex } from './record.js';

/** Properties that do not change while a device runs. */
export interface DeviceTraits {
  type: string;
  /** The kind that the machine updates. Each kind has its own machine, record and slots. Absent = models. */
  kind?: Desired['kind'];
  /** Size of one slot, bytes. */
  slotBytes: number;
  /** Interface version of the device's firmware. A manifest contains the minimum version that its release needs. */
  interface: number;
  /** Types of models that the device's firmware can run. */
  modes: readonly NetworkMode[];
  /** Additional capabilities. */
  features?: Reported['features'];
  /** Name and version reported by the device's firmware. */
  firmware?: Reported['firmware'];
  /** Lowest secure version of firmware that the chip boots; absent = any. */
  secureVersion?: number;
  /** Whether the device applies deltas. */
  deltas?: boolean;
  /** Disabled checks, for tests only; see `updateChecks`. */
  unchecked?: ReadonlySet<UpdateCheck>;
}

/** The update in progress. */
interface UpdateJob {
  rollout: string;
  /** The desired release; null if the job was found in the flash after a reboot. */
  desired: Desired | null;
  /** The manifest, once its signatures and its suitability for this device are verified; null before that. */
  manifest: Manifest | null;
  slot: SlotIndex;
  /** Whether the slot is built from the active slot's content with the offered patch; false = the artifact is downloaded whole. */
  byDelta?: boolean;
}

/** A patch, and the slot to which it applies. */
export interface Delta {
  base: SlotIndex;
  /** Size of the base. */
  baseBytes: number;
  /** Digest of the patch. */
  digest: string;
  /** Size of the patch. */
  bytes: number;
}

/** The complete state of a device's update: plain data, replaced by each step. */
export interface UpdateMachine {
  traits: DeviceTraits;
  phase: UpdateState;
  /** The record in the flash, once all effects so far have been carried out. */
  record: DeviceRecord;
  /** Number of the job. Events of an earlier job are ignored. */
  attempt: number;
  job: UpdateJob | null;
  /** A desired release that arrived during a trial; it is handled after the trial. */
  pending: Desired | null;
  /** The rollout to which the phase belongs. */
  rollout: string | null;
  download: { bytes: number; total: number } | null;
  golden: { vectors: number; passed: number } | null;
  /** How the update was transferred if a delta was offered; null = no delta was offered. */
  delta: NonNullable<Reported['delta']> | null;
  error: Refusal | null;
}

/** Events on a device. Events with `attempt` are the results of that job's effects. */
export type UpdateEvent =
  | { type: 'desired'; desired: Desired }
  | { type: 'withdrawn' }
  /** The signatures of `manifest` are valid. `now` is in ms since 1970, or null without a clock. */
  | {
      type: 'manifest';
      attempt: number;
      manifest: Manifest;
      now: number | null;
      /** Version of the root that last replaced all keys that sign releases; absent = none. */
      epoch?: number;
    }
  /** The whole slot is erased. */
  | { type: 'erased'; attempt: number }
  | { type: 'progress'; attempt: number; bytes: number }
  | { type: 'downloaded'; attempt: number; bytes: number }
  /** The delta failed: the whole artifact is downloaded. */
  | { type: 'deltaFailed'; attempt: number; code: ErrorCode; message: string }
  /** Digest of the slot's bytes, as read back. */
  | { type: 'hashed'; attempt: number; digest: string }
  /** `entered`: the device was restarted into the firmware on trial. */
  | { type: 'trial'; attempt: number; entered?: boolean }
  | { type: 'golden'; attempt: number; vectors: number; passed: number }
  /** The broker has acknowledged a message sent during the trial. */
  | { type: 'heartbeat'; attempt: number }
  | { type: 'failed'; attempt: number; code: ErrorCode; message: string };

export type JobEvent = Extract<UpdateEvent, { attempt: number }>;

/** Actions of the device, performed in order. `persist` must be durable before the next action starts. */
export type UpdateEffect =
  | { type: 'persist'; record: DeviceRecord }
  | { type: 'report' }
  /** Cancels the pending work of an earlier job. */
  | { type: 'abort' }
  | { type: 'fetchManifest'; attempt: number; path: string }
  | {
      type: 'fetchBundle';
      attempt: number;
      slot: SlotIndex;
      digest: string;
      bytes: number;
      /** The slot contains part of this blob or, with a delta, part of the result. */
      resume: boolean;
      /** Builds the content from this patch instead of downloading it; null = downloads the content. */
      delta: Delta | null;
    }
  | { type: 'hashSlot'; attempt: number; slot: SlotIndex; bytes: number }
  | { type: 'beginTrial'; attempt: number }
  | { type: 'runGolden'; attempt: number; slot: SlotIndex }
  | { type: 'sendHeartbeat'; attempt: number }
  /** Runs this slot's content alongside the active one; null = stops the shadow. */
  | { type: 'shadow'; slot: SlotIndex | null }
  /** Starts using this slot's content. */
  | { type: 'activate'; slot: SlotIndex }
  /** Returns to the active configuration or firmware after a failed trial. */
  | { type: 'abandon' };

export interface UpdateStep {
  state: UpdateMachine;
  effects: UpdateEffect[];
}

/**
 * Names of the checks that a device makes before it accepts an update; tests use them to disable checks. A rejected attack must
 * succeed once its check is disabled; otherwise the test does not show that this check rejects it.
 */
const updateChecks = [
  /** The envelope's signatures are valid. */
  'signature',
  /** The envelope has the number of signatures that the trust root requires; if disabled, one is enough. */
  'threshold',
  /** Manifests are requested only from the device's own platform. */
  'origin',
  /** The manifest is the one that was announced. */
  'announced',
  'deviceType',
  'interface',
  'floor',
  'sequence',
  'expiry',
  /** A manifest has exactly one artifact. */
  'artifacts',
  /** Firmware is not below the secure version of the chip, or of firmware committed before. */
  'secureVersion',
  /** Manifests and bundles have the promised number of bytes. */
  'length',
  'digest',
  /** A root is signed by the previous root keys and by its own. */
  'rootSignature',
  /** Root versions are consecutive. */
  'rootVersion',
  'rootExpiry',
  /** No newer root is withheld. */
  'rootNewest',
  'timestampSignature',
  'timestampVersion',
  'timestampExpiry',
  /** The timestamp includes this release. */
  'published',
] as const;

export type UpdateCheck = (typeof updateChecks)[number];

/** A source of manifests and bundles. Its errors are AiotErrors, and `retryable` ones are retried. */
export interface BundleSource {
  /** The signed envelope, not verified. */
  manifest(path: string, signal: AbortSignal): Promise<unknown>;
  /** A blob's bytes, starting at an offset. */
  blob(digest: string, from: number, signal: AbortSignal): AsyncIterable<Uint8Array>;
}

/** Dependencies of an updater. */
export interface UpdatePorts {
  store: DeviceStore;
  traits: Omit<DeviceTraits, 'slotBytes'>;
  clock: Clock;
  /** Keys that the device trusts; null = the device trusts no keys yet and accepts no updates. */
  trust: TrustRoot | null;
  /** Keeps the trust root up to date; absent = the trust root does not change. */
  keeper?: TrustKeeper | undefined;
  source: BundleSource;
  /** Runs the trial of a slot's content. For a configuration, the returned numbers are placeholders. */
  runtime: Pick<ModelRuntime, 'checkGolden'>;
  report(reported: Reported): void;
  /** Resolves once the broker has acknowledged this report. */
  heartbeat(reported: Reported, signal: AbortSignal): Promise<void>;
  /** Starts using this bundle. */
  activate(bundle: Uint8Array, content: SlotContent): Promise<void>;
  /**
   * Called after the failed trial of a configuration, to return to the active configuration's bytes, or to the default
   * (null).
   */
  abandon?(active: Uint8Array | null): Promise<void>;
  /** Runs this bundle alongside the active one; null = stops the shadow. */
  shadow?(bundle: Uint8Array | null, content: SlotContent | null): Promise<void>;
  /** Called when the flash has failed or lost power. The device then stops working until it boots again. */
  onDead(error: unknown): void;
}
