import type { Clock } from '../../core/time.js';
import type { Recording } from '../../data/types.js';
import type { Vitals } from '../../formats/vitals.js';
import type { DeviceEvent } from '../events.js';
import type { DeviceIdentity } from '../identity/identity.js';
import type { Reported } from '../protocol/messages.js';
import type { ModelRuntime } from '../runtime.js';
import type { SampleForm } from '../telemetry/answer.js';
import type { FeedResult } from '../telemetry/feed.js';
import type { Sensor } from '../telemetry/sensor.js';
import type { BundleSource, UpdateCheck } from '../update/types.js';
import type { FirmwareTraits, SensedForm } from './firmware.js';
import type { Flash } from './flash.js';
import type { openLink } from './mqtt-link.js';
import type { TrustMemory, TrustSource } from './trust.js';

/** Size of one model slot if no flash is given. */
export const defaultSlotBytes = 1024 ** 2;

/** Size of the flash for configurations, bytes: two records, and a sector for each of two versions. */
export const configFlashBytes = 4 * 4096;

export interface VirtualDeviceOptions {
  /** Folder written by `aiot device provision`. Alternatively, pass the identity itself. */
  identityDir?: string;
  identity?: DeviceIdentity;
  /** Default: a blank flash in memory. */
  flash?: Flash;
  /** Flash for configurations; default: a blank one in memory. */
  configFlash?: Flash;
  /** Storage of the trust state; default: in memory. */
  trustMemory?: TrustMemory;
  clock?: Clock;
  /** Sensor for `sense`. */
  sensor?: Sensor;
  onEvent?: (event: DeviceEvent) => void;
  /** Default: the interpreter of the model module. */
  runtime?: ModelRuntime;
  /**
   * The samples that the device will take, for its reports from the start. Without it, a report contains them only while a recording is
   * being sent.
   */
  form?: SensedForm;
  /**
   * Memory for models, bytes; null = not limited. Default: the memory in the board's default firmware, if the type is a
   * known board.
   */
  memoryBytes?: number | null;
  /** Capabilities of the device's firmware; default: everything that the interpreter supports. */
  firmware?: FirmwareTraits;
  /** Default: HTTPS with the device's certificate. */
  source?: BundleSource & Partial<TrustSource>;
  /** Default: MQTT over TLS with the device's certificate. */
  openLink?: typeof openLink;
  /** Readings of the simulated hardware, such as its battery. They replace the device's own readings of its uptime, queue and boot. */
  vitals?: () => Vitals;
  /** Custom commands by name, in addition to those of protocol v1. */
  commands?: Readonly<Record<string, CommandHandler>>;
  /**
   * Applies custom settings. If it throws, the settings are rejected, and the device reports the error. Absent = settings are only stored.
   */
  applySettings?: ((values: Record<string, unknown>) => Promise<void>) | undefined;
  /** File with the settings that the device applied last; absent = in memory. */
  settingsFile?: string;
  /** Checks that this device skips. For attack tests only; no flag, setting or environment variable can set it. */
  unchecked?: readonly UpdateCheck[];
}

/**
 * Runs a command; its parameters were checked by the platform. The return value becomes the reply's result, and a thrown error becomes the
 * reply's error.
 */
export type CommandHandler = (params: Record<string, unknown>) => Promise<Record<string, unknown>>;

export interface ReplayOptions {
  /** Name of the telemetry stream. */
  stream: string;
  /** 1 = as recorded (the default), 2 = twice as fast; `max` = as fast as the broker accepts. */
  speed?: number | 'max';
  /** Whether to publish the model's predictions. The samples are published only with `telemetry`. */
  predict?: boolean;
  /** Whether to publish the samples; default: the opposite of `predict`. */
  telemetry?: boolean;
  /** Default: the recording's id. */
  recordingId?: string;
  /**
   * Whether to wait without predicting until an update installs a model that fits, instead of failing at the start. `sense` always
   * waits.
   */
  waits?: boolean;
  signal?: AbortSignal;
}

/** A protocol v1 device that runs entirely in this process. */
export interface VirtualDevice {
  readonly name: string;
  readonly id: string;
  readonly online: boolean;
  /** The device's report: the active model, and the state of an update. */
  readonly reported: Reported;
  /** Rejects when the device has failed: its state can no longer be saved, or an update failed internally. */
  readonly lost: Promise<never>;
  /** Goes online. Lost connections are re-established automatically. @throws AIOT_BROKER_UNREACHABLE, AIOT_BROKER_REFUSED */
  connect(options?: { signal?: AbortSignal }): Promise<void>;
  /** Sends a recording. Resolves when every message is acknowledged. @throws AIOT_RECORDING_UNFIT, AIOT_DEVICE_NO_MODEL */
  replay(recording: Recording, options: ReplayOptions): Promise<FeedResult>;
  /** Reads the sensor until the signal is aborted, then resolves. */
  sense(options: ReplayOptions & { signal: AbortSignal }): Promise<FeedResult>;
  /**
   * Reason why the active model cannot predict on such samples; null = it can, or there is no model. The reason is also
   * logged once.
   */
  unfit(source: SampleForm): string | null;
  /** Resolves when no update is under way. */
  settled(): Promise<void>;
  /** Restarts the device. Only the contents of the flash persist. */
  reboot(): Promise<void>;
  /**
   * Disconnects cleanly and stops everything that it started. The flash keeps its contents; a flash that the caller passed in remains
   * open.
   */
  stop(): Promise<void>;
}
