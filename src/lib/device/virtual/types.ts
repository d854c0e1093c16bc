import type { Clock } from '../../core/time.js';
import type { Recording } from '../../data/types.js';
import type { DeviceEvent } from '../events.js';
import type { DeviceIdentity } from '../identity/identity.js';
import type { Reported } from '../protocol/messages.js';
import type { ModelRuntime } from '../runtime.js';
import type { FeedResult } from '../telemetry/feed.js';
import type { Sensor } from '../telemetry/sensor.js';
import type { BundleSource, UpdateCheck } from '../update/types.js';
import type { FirmwareTraits } from './firmware.js';
import type { Flash } from './flash.js';
import type { openLink } from './mqtt-link.js';
import type { TrustMemory, TrustSource } from './trust.js';

/** Bytes of one model slot, where no flash is given. */
export const defaultSlotBytes = 1024 ** 2;

/** Bytes of the flash of configurations: two records, and a sector for each of two versions. */
export const configFlashBytes = 4 * 4096;

export interface VirtualDeviceOptions {
  /** Folder of `aiot device provision`; or the identity itself. */
  identityDir?: string;
  identity?: DeviceIdentity;
  /** Default: a blank one in memory. */
  flash?: Flash;
  /** Of configurations; default: a blank one in memory. */
  configFlash?: Flash;
  /** Of whom it trusts; default: in memory. */
  trustMemory?: TrustMemory;
  clock?: Clock;
  /** Of `sense`. */
  sensor?: Sensor;
  onEvent?: (event: DeviceEvent) => void;
  /** Default: the int8 interpreter of the model room. */
  runtime?: ModelRuntime;
  /** What its firmware can run; default: all that the interpreter does. */
  firmware?: FirmwareTraits;
  /** Default: HTTPS with the device's certificate. */
  source?: BundleSource & Partial<TrustSource>;
  /** Default: MQTT over TLS with the device's certificate. */
  openLink?: typeof openLink;
  /** For tests of attacks alone, which no flag, setting or environment reaches: checks that this device does not make. */
  unchecked?: readonly UpdateCheck[];
}

export interface ReplayOptions {
  /** Name of the telemetry stream. */
  stream: string;
  /** 1 = as it was recorded (the default), 2 = twice as fast; `max` = as fast as the broker takes it. */
  speed?: number | 'max';
  /** Publish the model's answers; the samples themselves only with `telemetry`. */
  predict?: boolean;
  /** Publish the samples; default: unless `predict`. */
  telemetry?: boolean;
  /** Default: the recording's id. */
  recordingId?: string;
  signal?: AbortSignal;
}

/** A device as protocol v1 knows it, all in this process. */
export interface VirtualDevice {
  readonly name: string;
  readonly id: string;
  readonly online: boolean;
  /** What it reports of itself: the active model, and where an update stands. */
  readonly reported: Reported;
  /** Rejects when the device has died: what it runs can no longer be kept, or an update broke off. */
  readonly lost: Promise<never>;
  /** Goes online. Later losses of the connection are mended by themselves. @throws AIOT_BROKER_UNREACHABLE, AIOT_BROKER_REFUSED */
  connect(options?: { signal?: AbortSignal }): Promise<void>;
  /** Resolves when every message is acknowledged. @throws AIOT_RECORDING_UNFIT, AIOT_DEVICE_NO_MODEL */
  replay(recording: Recording, options: ReplayOptions): Promise<FeedResult>;
  /** Reads the sensor until the signal is aborted, then resolves. */
  sense(options: ReplayOptions & { signal: AbortSignal }): Promise<FeedResult>;
  /** Resolves when no update is under way. */
  settled(): Promise<void>;
  /** Off and on again: all that is not in the flash is forgotten. */
  reboot(): Promise<void>;
  /** Says goodbye and ends all it started. The flash keeps its contents; one that was given stays open. */
  stop(): Promise<void>;
}
