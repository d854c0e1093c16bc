import type { ErrorCode } from '../../core/catalogue.js';
import type { Clock } from '../../core/time.js';
import type { TrustRoot } from '../../formats/manifest/envelope.js';
import type { Manifest, NetworkMode } from '../../formats/manifest/manifest.js';
import type { Desired, Reported, UpdateState } from '../protocol/messages.js';
import type { ModelRuntime } from '../runtime.js';
import type { DeviceStore } from '../virtual/store.js';
import type { TrustKeeper } from '../virtual/trust.js';
import type { DeviceRecord, Refusal, SlotContent, SlotIndex } from './record.js';

/** What never changes while a device runs. */
export interface DeviceTraits {
  type: string;
  /** What is updated; each kind has a machine, a record and slots of its own. Absent = models. */
  kind?: Desired['kind'];
  /** Bytes that fit into one slot. */
  slotBytes: number;
  /** What its firmware can run; a manifest names the least that it needs. */
  interface: number;
  /** Types of network that its firmware can run. */
  modes: readonly NetworkMode[];
  /** What it can do besides. */
  features?: Reported['features'];
  /** What its firmware calls itself. */
  firmware?: Reported['firmware'];
  /** Whether it applies deltas. */
  deltas?: boolean;
  /** Checks that are switched off: of tests alone, see checks.ts. */
  unchecked?: ReadonlySet<UpdateCheck>;
}

/** The one update that is under way. */
interface UpdateJob {
  rollout: string;
  /** What was asked for; null when the job was found in the flash after a reboot. */
  desired: Desired | null;
  /** Its signatures are valid and it fits this device. */
  manifest: Manifest | null;
  slot: SlotIndex;
  /** It is made of the active slot's content, by the patch that was offered; false = it is downloaded as a whole. */
  byDelta?: boolean;
}

/** A patch, and the slot that it is applied to. */
export interface Delta {
  base: SlotIndex;
  /** Of the base, and of the patch. */
  baseBytes: number;
  digest: string;
  bytes: number;
}

/** The whole state of a device's update: plain data, replaced by each step. */
export interface UpdateMachine {
  traits: DeviceTraits;
  phase: UpdateState;
  /** As it stands in the flash once all effects so far are done. */
  record: DeviceRecord;
  /** Number of the job; events of an earlier one are ignored. */
  attempt: number;
  job: UpdateJob | null;
  /** Came while a trial ran; its turn is after it. */
  pending: Desired | null;
  /** The rollout that the phase speaks of. */
  rollout: string | null;
  download: { bytes: number; total: number } | null;
  golden: { vectors: number; passed: number } | null;
  /** How the update came where a delta was offered; null = none was. */
  delta: NonNullable<Reported['delta']> | null;
  error: Refusal | null;
}

/** What happens to a device. Those with `attempt` are the answers to effects of that job. */
export type UpdateEvent =
  | { type: 'desired'; desired: Desired }
  | { type: 'withdrawn' }
  /** `manifest` has valid signatures. `now` in ms since 1970, or null without a clock. */
  | {
      type: 'manifest';
      attempt: number;
      manifest: Manifest;
      now: number | null;
      /** The root with which all keys that sign releases were last replaced; absent = never. */
      epoch?: number;
    }
  /** The slot is all erased. */
  | { type: 'erased'; attempt: number }
  | { type: 'progress'; attempt: number; bytes: number }
  | { type: 'downloaded'; attempt: number; bytes: number }
  /** The delta made nothing good: the whole is downloaded. */
  | { type: 'deltaFailed'; attempt: number; code: ErrorCode; message: string }
  /** Digest of the slot's bytes, as read back. */
  | { type: 'hashed'; attempt: number; digest: string }
  /** `entered`: firmware runs that was restarted into for its trial. */
  | { type: 'trial'; attempt: number; entered?: boolean }
  | { type: 'golden'; attempt: number; vectors: number; passed: number }
  /** The broker has acknowledged a message sent during the trial. */
  | { type: 'heartbeat'; attempt: number }
  | { type: 'failed'; attempt: number; code: ErrorCode; message: string };

export type JobEvent = Extract<UpdateEvent, { attempt: number }>;

/** What the device has to do, in this order. `persist` is durable before the next one starts. */
export type UpdateEffect =
  | { type: 'persist'; record: DeviceRecord }
  | { type: 'report' }
  /** End what an earlier job still does. */
  | { type: 'abort' }
  | { type: 'fetchManifest'; attempt: number; path: string }
  | {
      type: 'fetchBundle';
      attempt: number;
      slot: SlotIndex;
      digest: string;
      bytes: number;
      /** The slot holds a part of what comes of this very blob: of the patch, where there is one. */
      resume: boolean;
      /** Made by this patch instead of downloaded. */
      delta: Delta | null;
    }
  | { type: 'hashSlot'; attempt: number; slot: SlotIndex; bytes: number }
  | { type: 'beginTrial'; attempt: number }
  | { type: 'runGolden'; attempt: number; slot: SlotIndex }
  | { type: 'sendHeartbeat'; attempt: number }
  /** Run this slot's content beside the active one; null = no longer. */
  | { type: 'shadow'; slot: SlotIndex | null }
  /** Use this slot's content from now on. */
  | { type: 'activate'; slot: SlotIndex }
  /** A configuration or firmware was in use for its trial, and is not to be kept: back to the active one. */
  | { type: 'abandon' };

export interface UpdateStep {
  state: UpdateMachine;
  effects: UpdateEffect[];
}

/**
 * What a device checks before it takes an update, each by the name under which tests switch it off. An attack that is refused
 * must succeed once its check is off: otherwise nothing shows that this check is what refuses it.
 */
const updateChecks = [
  /** The envelope's signatures. */
  'signature',
  /** That there are as many of them as the trust root wants; off = one is enough. */
  'threshold',
  /** Manifests are asked of the device's own platform alone. */
  'origin',
  /** The manifest is the one that was announced. */
  'announced',
  'deviceType',
  'interface',
  'floor',
  'sequence',
  'expiry',
  /** One artifact, and no other beside it. */
  'artifacts',
  /** As many bytes as promised, of manifests and of bundles. */
  'length',
  'digest',
  /** A root is signed by the root keys before it and by its own. */
  'rootSignature',
  /** Roots come one after the other. */
  'rootVersion',
  'rootExpiry',
  /** No newer root is kept back. */
  'rootNewest',
  'timestampSignature',
  'timestampVersion',
  'timestampExpiry',
  /** The timestamp knows of this release. */
  'published',
] as const;

export type UpdateCheck = (typeof updateChecks)[number];

/** Manifests and bundles, from wherever. Errors are AiotErrors; `retryable` ones are tried again. */
export interface BundleSource {
  /** The signed envelope, not checked. */
  manifest(path: string, signal: AbortSignal): Promise<unknown>;
  /** A blob's bytes from an offset on. */
  blob(digest: string, from: number, signal: AbortSignal): AsyncIterable<Uint8Array>;
}

/** What an updater works with. */
export interface UpdatePorts {
  store: DeviceStore;
  traits: Omit<DeviceTraits, 'slotBytes'>;
  clock: Clock;
  /** null = the device trusts nobody yet, and takes nothing. */
  trust: TrustRoot | null;
  /** Keeps that trust up to date; absent = it stays as it is. */
  keeper?: TrustKeeper | undefined;
  source: BundleSource;
  /** The trial of a slot's content; of a configuration the numbers mean nothing. */
  runtime: Pick<ModelRuntime, 'checkGolden'>;
  report(reported: Reported): void;
  /** Resolves once the broker has acknowledged this report. */
  heartbeat(reported: Reported, signal: AbortSignal): Promise<void>;
  /** Use this bundle from now on. */
  activate(bundle: Uint8Array, content: SlotContent): Promise<void>;
  /** A configuration on trial was given up: use the active one's bytes again, or the usual one. */
  abandon?(active: Uint8Array | null): Promise<void>;
  /** Run this bundle beside the active one; null = no longer. */
  shadow?(bundle: Uint8Array | null, content: SlotContent | null): Promise<void>;
  /** The flash failed (or its power was cut): the device is dead until it boots again. */
  onDead(error: unknown): void;
}
