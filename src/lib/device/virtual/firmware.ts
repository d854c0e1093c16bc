import { AiotError, aiotVersion, type Clock, whenAborted } from '../../core/index.js';
import type { DeviceNews } from '../events.js';
import type { DeviceIdentity } from '../identity/identity.js';
import type { LogLevel } from '../protocol/control.js';
import type { ModelRuntime } from '../runtime.js';
import type { DeviceStore } from '../sim/store.js';
import type { ActiveModel } from '../telemetry/answer.js';
import type { BundleSource } from '../update/ports.js';
import type { DeviceTraits } from '../update/types.js';
import { startUpdater, type Updater } from '../update/updater.js';
import type { Radio } from './radio.js';

/** What stays the same over reboots. */
export interface Hardware {
  identity: DeviceIdentity;
  clock: Clock;
  store: DeviceStore;
  source: BundleSource;
  runtime: ModelRuntime;
  radio: Radio;
  emit(news: DeviceNews): void;
  log(level: LogLevel, message: string, error?: unknown): void;
  onDead(error: unknown): void;
  /** What its firmware can run. */
  firmware: FirmwareTraits;
}

export type FirmwareTraits = Pick<DeviceTraits, 'interface' | 'modes' | 'firmware'>;

/** The interpreter runs all but dynamic range, as TFLite Micro does. */
export const ownFirmware: FirmwareTraits = {
  interface: 2,
  modes: ['int8', 'int16x8', 'float32', 'float16', 'mixed'],
  get firmware() {
    return { name: 'virtual', version: aiotVersion() };
  },
};

/** What runs from power-on to the next reboot. */
export interface Firmware {
  readonly updater: Updater;
  /** null before the first commit, and when the active bundle cannot be used. */
  readonly model: ActiveModel | null;
  /** Number for the next inference message. */
  nextInference(): number;
}

/** Reads the flash and starts the updater; a device without a usable model boots as well. */
export async function boot(hardware: Hardware): Promise<Firmware> {
  const { identity, clock, store, source, runtime, radio, emit, log } = hardware;
  let model: ActiveModel | null = null;
  let inferences = 0;
  const updater = await startUpdater({
    store,
    traits: { type: identity.type, ...hardware.firmware },
    clock,
    trust: identity.trust,
    source,
    runtime,
    report(reported) {
      emit({ event: 'reported', reported });
      radio.tell('reported', reported, { retain: true });
    },
    async heartbeat(reported, signal) {
      await Promise.race([radio.publish('reported', reported, { retain: true }), whenAborted(signal)]);
    },
    async activate(bundle, { name, version, sequence, digest }) {
      try {
        model = { loaded: await runtime.load(bundle), name: { name, version, sequence, digest } };
      } catch (error) {
        model = null;
        const reason = error instanceof Error ? error.message : String(error);
        log('error', `the active model cannot be used: ${reason}`, error);
      }
    },
    onDead: hardware.onDead,
  });
  return {
    updater,
    get model() {
      return model;
    },
    nextInference: () => inferences++,
  };
}

/** The code of an error, where it has one. */
export function codeOf(error: unknown): { code?: string } {
  return error instanceof AiotError ? { code: error.code } : {};
}
