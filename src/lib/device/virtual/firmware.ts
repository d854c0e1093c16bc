import type { ErrorCode } from '../../core/catalogue.js';
import { AiotError } from '../../core/errors.js';
import { aiotVersion } from '../../core/folders.js';
import { deferred, untilAborted } from '../../core/tasks.js';
import type { Clock } from '../../core/time.js';
import {
  type DeviceConfig,
  defaultDeviceConfig,
  readDeviceConfig,
  sampleGroup,
} from '../../formats/device-config.js';
import { newestInterface } from '../../formats/manifest/manifest.js';
import type { Vitals } from '../../formats/vitals.js';
import type { DeviceNews } from '../events.js';
import type { DeviceIdentity } from '../identity/identity.js';
import type { LogLevel } from '../protocol/control.js';
import type { Desired, Reported, ShadowFigures } from '../protocol/messages.js';
import { type LoadedModel, limitedRuntime, type ModelRuntime } from '../runtime.js';
import { type ActiveModel, type SampleForm, type ShadowRun, whyUnfit } from '../telemetry/answer.js';
import { Shadow } from '../telemetry/shadow.js';
import { Prover } from '../update/prover.js';
import { reportOfAll } from '../update/record.js';
import type { BundleSource, DeviceTraits, UpdateCheck } from '../update/types.js';
import { startUpdater } from '../update/updater.js';
import type { Radio } from './mqtt-link.js';
import type { DeviceStore } from './store.js';
import type { TrustKeeper } from './trust.js';

/** Components that persist when the device reboots. */
export interface Hardware {
  identity: DeviceIdentity;
  clock: Clock;
  store: DeviceStore;
  /** Store of configurations, separate from the store of models. */
  configStore: DeviceStore;
  source: BundleSource;
  /** Keeps the trust root up to date; absent if the device trusts no keys, or gets its updates from another source. */
  keeper: TrustKeeper | undefined;
  runtime: ModelRuntime;
  radio: Radio;
  emit(news: DeviceNews): void;
  log(level: LogLevel, message: string, error?: unknown): void;
  /** The level of the log, for reports. */
  logLevel(): Reported['log'];
  onDead(error: unknown): void;
  /** Memory for models, bytes; null = not limited. */
  memoryBytes: number | null;
  /** The samples that the device takes or will take; null = none. */
  sensed(): SensedForm | null;
  /** The recording that is being sent, if any. */
  take: ConfiguredUse['take'];
  /** Called when a new configuration is in use, to apply its connection settings. */
  configured(config: DeviceConfig): Promise<void>;
  /** Capabilities of the device's firmware. */
  firmware: FirmwareTraits;
  /** The device's settings for its reports; undefined = it has none. */
  settings(): Reported['settings'];
  /** Readings of the simulated hardware. */
  vitals(): Vitals;
  /** For tests: see `updateChecks`. */
  unchecked: ReadonlySet<UpdateCheck>;
}

export type FirmwareTraits = Pick<DeviceTraits, 'interface' | 'modes' | 'firmware' | 'features'>;

/** Like TFLite Micro, the interpreter supports everything except dynamic-range quantization. */
export const ownFirmware: FirmwareTraits = {
  interface: newestInterface,
  modes: ['int8', 'int16x8', 'float32', 'float16', 'mixed'],
  features: ['shadow'],
  get firmware() {
    return { name: 'virtual', version: aiotVersion() };
  },
};

/** The firmware, from power-on to the next reboot. */
export interface Firmware {
  /** Handles the platform's desired release; null = withdrawn. */
  desire(desired: Desired | null): void;
  readonly config: DeviceConfig;
  /** The device's report. It contains the update state of the most recently updated kind. */
  readonly reported: Reported;
  /** Reports again, as after a reconnect. */
  report(): void;
  settled(): Promise<void>;
  stop(): Promise<void>;
  /** null before the first commit, and if the active bundle is unusable. */
  readonly model: ActiveModel | null;
  /** The shadow that runs alongside the active model. */
  readonly shadow: ShadowRun | null;
  /** Sequence number for the next inference message. */
  nextInference(): number;
}

/** Reads the flash and starts the updaters. A device without a usable model boots too. @param reason for the restart */
export async function boot(
  hardware: Hardware,
  reason: NonNullable<Vitals['boot']>['reason'],
): Promise<Firmware> {
  const { identity, clock, source, memoryBytes, radio, emit, log } = hardware;
  const began = clock.now();
  let model: ActiveModel | null = null;
  const free = () => Math.max(0, (memoryBytes ?? 0) - (model?.loaded.need?.active ?? 0));
  const runtime =
    memoryBytes === null ? hardware.runtime : limitedRuntime(hardware.runtime, memoryBytes, free);
  let config = defaultDeviceConfig;
  let inferences = 0;
  let speaks: 'model' | 'config' = 'model';
  let firmware: Firmware | null = null;
  const ready = deferred<Firmware>();
  const prover = new Prover({ signer: identity, now: () => clock.now(), report: () => tell(speaks) });
  const shadowing = createShadowing({ again: () => tell('model') });
  const publish = (told: Reported) => {
    const { figures } = shadowing;
    const reported = prover.prove(figures && speaks === 'model' ? { ...told, shadow: figures } : told);
    emit({ event: 'reported', reported });
    radio.tell('reported', reported, { retain: true });
  };
  /** Nothing is reported during the boot; the current state is reported when it is complete. */
  const tell = (kind: typeof speaks) => {
    if (!firmware) return;
    speaks = kind;
    publish(firmware.reported);
  };
  const use = async (next: DeviceConfig) => {
    config = next;
    prover.use('config');
    await hardware.configured(next);
  };
  const unusable = (what: string) => (error: unknown) => {
    const reason = error instanceof Error ? error.message : String(error);
    log('error', `the active ${what} cannot be used: ${reason}`, error);
  };
  const shared = {
    ...{ clock, trust: identity.trust, keeper: hardware.keeper, source, onDead: hardware.onDead },
    async heartbeat(_: Reported, signal: AbortSignal) {
      const { reported } = await ready.promise;
      await untilAborted(radio.publish('reported', reported, { retain: true }), signal);
    },
  };
  const configs = await startUpdater({
    ...shared,
    store: hardware.configStore,
    traits: { type: identity.type, kind: 'config', ...hardware.firmware, unchecked: hardware.unchecked },
    runtime: {
      async checkGolden(bytes) {
        await use(tryConfig(bytes, { take: hardware.take, model: model?.loaded ?? null }));
        return { vectors: 0, passed: 0 };
      },
    },
    report: () => tell('config'),
    activate: async (bytes) => use(configIn(bytes, unusable('configuration'))),
    abandon: async (bytes) => use(configIn(bytes, unusable('configuration'))),
  });
  const updater = await startUpdater({
    ...shared,
    store: hardware.store,
    traits: { type: identity.type, ...hardware.firmware, deltas: true, unchecked: hardware.unchecked },
    runtime,
    report: () => tell('model'),
    async shadow(bundle, content) {
      const fail = (error: unknown) => {
        const { code = 'AIOT_RECORDING_UNFIT' } = codeOf(error);
        const message = error instanceof Error ? error.message : String(error);
        void ready.promise.then(() => updater.failShadow(code, message));
      };
      try {
        const candidate = bundle && content && (await runtime.load(bundle));
        shadowing.run(candidate && model ? { shadow: new Shadow(model.loaded, candidate), fail } : null);
      } catch (error) {
        fail(error);
      }
    },
    async activate(bundle, { name, version, sequence, digest }) {
      prover.use('model');
      try {
        model = { loaded: await runtime.load(bundle), name: { name, version, sequence, digest } };
      } catch (error) {
        model = null;
        unusable('model')(error);
      }
    },
  });
  firmware = {
    desire(desired) {
      prover.wish(desired);
      shadowing.wish(desired);
      // Only one update runs at a time: a desired release of one kind ends the updates of all other kinds.
      const isConfig = desired?.kind === 'config';
      configs.desire(isConfig ? desired : null);
      updater.desire(isConfig ? null : desired);
    },
    get config() {
      return config;
    },
    get reported() {
      const told = reportOfAll({ model: updater.state, config: configs.state }, speaks, clock.now());
      return {
        ...told,
        vitals: {
          ...{ uptimeMs: Math.max(0, Math.round(clock.now() - began)), boot: { reason } },
          // Samples wait at their source, so that nothing is dropped.
          ...{ queue: { waiting: radio.waiting, dropped: 0 }, ...hardware.vitals() },
        },
        log: hardware.logLevel(),
        ...(hardware.settings() ? { settings: hardware.settings() } : {}),
        ...(memoryBytes === null ? {} : { memory: { bytes: memoryBytes, free: free() } }),
        ...sensorOf(hardware.sensed(), config, model),
      };
    },
    report: () => tell(speaks),
    get model() {
      return model;
    },
    get shadow() {
      return shadowing.now;
    },
    nextInference: () => inferences++,
    async settled() {
      await updater.settled();
      await configs.settled();
    },
    async stop() {
      prover.stop();
      shadowing.run(null);
      await updater.stop();
      await configs.stop();
    },
  };
  ready.resolve(firmware);
  // An update interrupted by a restart is reported first.
  tell(configs.state.job ? 'config' : 'model');
  return firmware;
}

/** Samples of a sensor or a recording, and the stream in which they are sent. */
export type SensedForm = SampleForm & { stream: string };

/** The member `sensor` of a report. A sensor's rate is that after the configured averaging. */
function sensorOf(
  sensed: SensedForm | null,
  config: DeviceConfig,
  model: ActiveModel | null,
): Pick<Reported, 'sensor'> {
  if (!sensed) return {};
  const { stream, fields } = sensed;
  const rate = sensed.rateHz / (sampleGroup(config, sensed.rateHz) ?? 1);
  const unfit = model && whyUnfit({ ...sensed, rateHz: rate }, model.loaded);
  return { sensor: { stream, fields: [...fields], rate, unfit: unfit?.slice(0, 512) ?? null } };
}

/** Returns an error's code, if it has one. */
export function codeOf(error: unknown): { code?: ErrorCode } {
  return error instanceof AiotError ? { code: error.code } : {};
}

/**
 * Interval of shadow reports, ms, for a shadow that began before the device started, because its requested interval is
 * no longer known.
 */
const usualMs = 10_000;

/** The shadow of a device and its reports. */
interface Shadowing {
  readonly now: ShadowRun | null;
  readonly figures: ShadowFigures | null;
  wish(desired: Desired | null): void;
  /** Replaces the shadow; null = stops it. */
  run(next: ShadowRun | null): void;
}

/** @param again sends another report */
function createShadowing({ again }: { again: () => void }): Shadowing {
  let now: ShadowRun | null = null;
  let everyMs = usualMs;
  let timer: NodeJS.Timeout | undefined;
  const start = () => {
    clearInterval(timer);
    if (now) timer = setInterval(again, everyMs).unref();
  };
  return {
    get now() {
      return now;
    },
    get figures() {
      return now?.shadow.figures ?? null;
    },
    wish(desired) {
      if (!desired?.shadow) return;
      everyMs = desired.shadow.everyMs;
      start();
    },
    run(next) {
      now = next;
      start();
    },
  };
}

/** Current activities that a new configuration must not interrupt. */
interface ConfiguredUse {
  /** The recording that is being sent, with its sensor's rate in Hz. */
  take: { sensorHz: number; predict: boolean } | null;
  model: Pick<LoadedModel, 'rateHz'> | null;
}

/**
 * Reads a configuration and checks it against the sensor and the model, if they are known. @throws AIOT_CONFIG_MALFORMED, AIOT_CONFIG_UNFIT
 */
export function tryConfig(bytes: Uint8Array, { take, model }: ConfiguredUse): DeviceConfig {
  const config = readDeviceConfig(bytes, 'the configuration');
  const unfit = (message: string) => new AiotError('AIOT_CONFIG_UNFIT', `sampleHz: ${message}`);
  const group = take ? sampleGroup(config, take.sensorHz) : 1;
  if (group === null) {
    throw unfit(
      `expected a rate that divides the sensor's ${Math.round(take?.sensorHz ?? 0)} Hz, got ${config.sampleHz}`,
    );
  }
  const needed = model?.rateHz ?? null;
  const rate = take ? take.sensorHz / group : config.sampleHz;
  if (needed === null || rate === undefined || (take && !take.predict) || rate === needed) return config;
  throw unfit(`expected ${needed} Hz as required by the active model, got ${rate}`);
}

/**
 * The configuration in a slot. If it cannot be read, the error is reported and the default configuration is returned.
 */
function configIn(bytes: Uint8Array | null, tell: (error: unknown) => void): DeviceConfig {
  if (bytes === null) return defaultDeviceConfig;
  try {
    return readDeviceConfig(bytes, 'the active configuration');
  } catch (error) {
    tell(error);
    return defaultDeviceConfig;
  }
}
