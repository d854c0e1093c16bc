import { readFile, rm } from 'node:fs/promises';
import { AiotError } from '../../core/errors.js';
import { writeFileAtomic } from '../../core/files.js';
import { newId } from '../../core/names.js';
import { preload } from '../../core/process.js';
import { deferred } from '../../core/tasks.js';
import { parsedJson } from '../../core/text.js';
import { type Clock, systemClock } from '../../core/time.js';
import { type CrashReport, placesOfStack } from '../../formats/crash.js';
import { type DeviceConfig, defaultDeviceConfig, sampleGroup } from '../../formats/device-config.js';
import { modelMemoryOf } from '../../model/bundle/board-memory.js';
import type { DeviceEvent } from '../events.js';
import { readIdentity } from '../identity/identity.js';
import { decodeMessage, topicOf } from '../protocol/codec.js';
import {
  type Command,
  commandSchema,
  type LogLevel,
  type LogLevelState,
  logLevelMs,
  logLevelSchema,
  logLevels,
  type Reply,
  usualLogLevel,
} from '../protocol/control.js';
import { desiredSchema, type Inference, type Reported, settingsSchema } from '../protocol/messages.js';
import { interpreterRuntime, laterParts } from '../runtime.js';
import { unfitText, whyUnfit } from '../telemetry/answer.js';
import { feed } from '../telemetry/feed.js';
import { checkSensor, recordingSensor, type Sensor } from '../telemetry/sensor.js';
import { boot, codeOf, type Firmware, type Hardware, ownFirmware, type SensedForm } from './firmware.js';
import { createFlash } from './flash.js';
import { createHttpSource } from './http-link.js';
import { createRadio, openLink } from './mqtt-link.js';
import { createDeviceStore, flashBytesFor } from './store.js';
import { createTrustKeeper, trustInMemory } from './trust.js';
import {
  type CommandHandler,
  configFlashBytes,
  defaultSlotBytes,
  type ReplayOptions,
  type VirtualDevice,
  type VirtualDeviceOptions,
} from './types.js';

/** Number of lines of the log in a crash report. */
const logLines = 20;

/** How often an online device checks the platform's timestamp, and the timeout of each check, ms. */
const lookEveryMs = 3600_000;

const lookTimeoutMs = 60_000;

/**
 * Boots a device from its flash. The device goes online only with `connect`.
 * @throws AIOT_FILE_NOT_FOUND, AIOT_FILE_MALFORMED (the identity)
 */
export async function createVirtualDevice(options: VirtualDeviceOptions): Promise<VirtualDevice> {
  const identity = options.identity ?? (await readIdentity(options.identityDir ?? '.'));
  const { name } = identity;
  preload(...laterParts);
  const clock = options.clock ?? systemClock;
  const now = () => clock.now();
  const flash = options.flash ?? createFlash({ bytes: flashBytesFor(defaultSlotBytes) });
  const unchecked = new Set(options.unchecked);
  const http = createHttpSource(identity, unchecked, clock);
  const radio = createRadio();
  const configFlash = options.configFlash ?? createFlash({ bytes: configFlashBytes });
  let dead: { error: unknown } | null = null;
  const lost = deferred<never>();
  // Prevents an unhandled rejection if no caller awaits `lost`; the next call throws the error.
  lost.promise.catch(() => {});
  let reports: NodeJS.Timeout | undefined;
  let looks: NodeJS.Timeout | undefined;
  let taken: SensedForm | null = null;
  let keepAliveS = defaultDeviceConfig.mqtt.keepAliveS;
  /** Last lines of the log, for crash reports. */
  const lastLines: string[] = [];
  const startedAt = now();
  const logLevel = createLogLevel(clock, () => firmware.report());

  const hardware: Hardware = {
    identity,
    clock,
    store: createDeviceStore(flash),
    configStore: createDeviceStore(configFlash),
    take: null,
    memoryBytes: options.memoryBytes === undefined ? modelMemoryOf(identity.type) : options.memoryBytes,
    sensed: () => taken ?? options.form ?? null,
    source: options.source ?? http,
    keeper: undefined,
    runtime: options.runtime ?? interpreterRuntime,
    firmware: options.firmware ?? ownFirmware,
    settings: () => settings.reported,
    unchecked,
    vitals: () => options.vitals?.() ?? {},
    radio,
    emit: (news) => options.onEvent?.({ device: name, t: now(), ...news } as DeviceEvent),
    logLevel: () => logLevel.reported,
    log(level, message, error) {
      if (!logLevel.includes(level)) return;
      lastLines.push(`${level}: ${message}`.slice(0, 512));
      if (lastLines.length > logLines) lastLines.shift();
      hardware.emit({ event: 'log', level, message, ...codeOf(error) });
      radio.tell('log', { t: now(), level, message, ...codeOf(error) });
    },
    configured: async () => {},
    onDead(error) {
      dead = { error };
      hardware.emit({ event: 'died', message: error instanceof Error ? error.message : String(error) });
      radio.link?.cut();
      radio.fail(error);
      lost.reject(error);
    },
  };
  const { root, timestamp } = options.source ?? http;
  if (identity.trust && root && timestamp) {
    hardware.keeper = createTrustKeeper({
      ...{ trust: identity.trust, root: identity.root, clock, unchecked, source: { root, timestamp } },
      memory: options.trustMemory ?? trustInMemory(),
    });
  }
  const { emit } = hardware;
  /**
   * Detects an attacker who withholds `desired`. The attacker must also withhold the timestamp, and a missing timestamp
   * is detected and reported.
   */
  const lookForFreeze = () => {
    const { keeper } = hardware;
    if (!keeper?.stamped) return;
    keeper.refresh(AbortSignal.timeout(lookTimeoutMs)).catch((error: unknown) => {
      hardware.log('warn', error instanceof Error ? error.message : String(error), error);
    });
  };
  /**
   * Applies a configuration. A new keep-alive interval needs a new connection. Messages wait until the new connection
   * is established.
   */
  const configured = async ({ report, mqtt }: DeviceConfig) => {
    clearInterval(reports);
    if (report.intervalMs > 0)
      reports = setInterval(() => radio.link && firmware.report(), report.intervalMs).unref();
    const { link } = radio;
    const changed = mqtt.keepAliveS !== keepAliveS;
    keepAliveS = mqtt.keepAliveS;
    if (!link || !changed) return;
    radio.detach();
    await link.keepAlive(keepAliveS);
    radio.attach(link);
  };
  hardware.configured = configured;
  const powerOn = async (reason: 'power-on' | 'software' | 'panic') => {
    const running = await boot(hardware, reason);
    emit({ event: 'booted', model: running.model?.name ?? null });
    return running;
  };
  const settings = await createSettingsKeeper(options, (message) => hardware.log('warn', message));
  let firmware = await powerOn('power-on');
  const onMessage = createInbox(
    hardware,
    () => firmware,
    () => device.reboot(),
    async () => {
      const report = crashOf(new Error('test crash, requested by a command'));
      await restart('panic');
      await radio.publish('crash', report);
    },
    options.commands ?? {},
    settings,
    logLevel,
  );
  /** The report of a crash in this program, as firmware would store it before it restarts. */
  const crashOf = (error: Error): CrashReport => ({
    ...{ id: newId('crash', now()), t: now(), kind: 'exception', reason: error.message },
    firmware: hardware.firmware.firmware && {
      name: hardware.firmware.firmware.name,
      version: hardware.firmware.firmware.version,
    },
    ...{ uptimeMs: Math.max(0, now() - startedAt), task: 'main' },
    backtrace: placesOfStack(error.stack?.split('\n') ?? []),
    log: [...lastLines],
  });
  const disconnect = async () => {
    const { link } = radio;
    if (!link) return;
    radio.detach();
    await link.close();
    emit({ event: 'offline' });
  };

  const restart = async (reason: 'software' | 'panic') => {
    const wasOnline = radio.link !== null;
    logLevel.reset();
    await disconnect();
    await firmware.stop();
    firmware = await powerOn(reason);
    if (wasOnline) await device.connect();
  };

  let warned: string | null = null;
  /** Logs why a model does not fit the samples, unless that reason was the last one logged; null = the model fits. */
  const warnOnce = (unfit: string | null) => {
    if (unfit !== null && unfit !== warned) hardware.log('warn', unfit);
    warned = unfit;
  };

  const run = async (
    sensor: Sensor,
    take: ReplayOptions,
    id: string,
    startedAt: number,
    endless: boolean,
  ) => {
    checkSensor(sensor, id, take.stream);
    if (dead) throw dead.error;
    const { stream, speed = 1, predict = false, telemetry = !predict, waits = endless, signal } = take;
    hardware.take = { sensorHz: sensor.rateHz, predict };
    taken = {
      stream,
      fields: sensor.fields,
      rateHz: sensor.rateHz,
      ...(sensor.size && { size: sensor.size }),
    };
    const result = await feed(
      sensor,
      { stream, recordingId: id, speed, telemetry, predict, startedAt, endless, waits, signal },
      {
        clock,
        model: () => firmware.model,
        shadow: () => firmware.shadow,
        onModel: warnOnce,
        config: () => firmware.config,
        publishTelemetry: (to, message) => radio.publish('telemetry', message, { stream: to }),
        async publishInference(message) {
          const inference = { seq: firmware.nextInference(), ...message } as Inference;
          emit({ event: 'inference', inference });
          await radio.publish('inference', inference);
        },
      },
    ).finally(() => {
      taken = null;
      hardware.take = null;
    });
    emit({ event: 'sent', recording: id, ...result });
    return result;
  };

  const device: VirtualDevice = {
    name,
    id: identity.id,
    get online() {
      return radio.link?.online ?? false;
    },
    get reported() {
      return firmware.reported;
    },
    lost: lost.promise,
    async connect({ signal } = {}) {
      if (dead) throw dead.error;
      if (radio.link) return;
      const link = await (options.openLink ?? openLink)({
        identity,
        now,
        signal,
        keepAliveS,
        onOnline() {
          emit({ event: 'online' });
          if (radio.link) firmware.report();
        },
        onOffline: () => emit({ event: 'offline' }),
        onMessage,
      });
      radio.attach(link);
      firmware.report();
      clearInterval(looks);
      looks = setInterval(lookForFreeze, lookEveryMs).unref();
      lookForFreeze();
    },
    async replay(recording, take) {
      const id = take.recordingId ?? recording.id;
      return run(recordingSensor(recording), take, id, recording.startedAt ?? now(), false);
    },
    async sense(take) {
      const { sensor } = options;
      if (!sensor) throw new AiotError('AIOT_USAGE', `${name} has no sensor`);
      return run(sensor, take, take.recordingId ?? `live-${now().toString(36)}`, now(), true);
    },
    unfit({ fields, rateHz, size }) {
      const { model, config } = firmware;
      const group = sampleGroup(config, rateHz) ?? 1;
      const why = model && whyUnfit({ fields, rateHz: rateHz / group, size }, model.loaded);
      const unfit = model && why !== null ? unfitText(model, why) : null;
      warnOnce(unfit);
      return unfit;
    },
    settled: () => firmware.settled(),
    reboot: () => restart('software'),
    async stop() {
      logLevel.reset();
      clearInterval(reports);
      clearInterval(looks);
      await firmware.stop();
      await disconnect();
      await http.close();
      if (!options.flash) flash.close();
      if (!options.configFlash) configFlash.close();
      emit({ event: 'stopped' });
    },
  };
  return device;
}

/** Creates the handler of incoming messages. An invalid payload is only logged. */
function createInbox(
  hardware: Hardware,
  firmware: () => Firmware,
  reboot: () => Promise<void>,
  crash: () => Promise<void>,
  own: Readonly<Record<string, CommandHandler>>,
  settings: SettingsKeeper,
  logLevel: LogLevelKeeper,
): (channel: 'desired' | 'command' | 'settings', payload: Uint8Array) => void {
  const { identity, clock, radio, emit, log } = hardware;
  const now = () => clock.now();
  const answer = createCommander({
    topic: topicOf(identity.name, 'command'),
    now,
    handlers: {
      ...own,
      ping: async () => ({ t: now() }),
      status: async () => ({ id: identity.id, ...firmware().reported, t: now() }),
      reboot: async () => ({}),
      crash: async () => ({}),
      'log-level': async (args) => logLevel.set(args),
    },
  });
  const command = async (payload: Uint8Array) => {
    const answered = await answer(payload);
    if (!answered) return;
    const [asked, reply] = answered;
    await radio.publish('reply', reply);
    emit({ event: 'command', command: asked.command, ok: reply.ok });
    log('debug', `command ${asked.command}: ${reply.ok ? 'done' : 'failed'}`);
    if (asked.command === 'log-level' && reply.ok) firmware().report();
    if (asked.command === 'reboot') await reboot();
    if (asked.command === 'crash') await crash();
  };
  const desired = async (payload: Uint8Array) => {
    const withdrawn = payload.length === 0;
    const topic = topicOf(identity.name, 'desired');
    firmware().desire(withdrawn ? null : decodeMessage(desiredSchema, topic, payload));
  };
  // Settings are applied one after another, so that the most recent ones take effect.
  let setting = Promise.resolve();
  const handlers = {
    command,
    desired,
    async settings(payload: Uint8Array) {
      const topic = topicOf(identity.name, 'settings');
      const wanted = payload.length === 0 ? null : decodeMessage(settingsSchema, topic, payload);
      const taken = setting.then(() => settings.take(wanted));
      setting = taken.catch(() => {});
      await taken;
      firmware().report();
    },
  };
  return (channel, payload) => {
    handlers[channel](payload).catch((error: unknown) => {
      log('warn', error instanceof Error ? error.message : String(error), error);
    });
  };
}

interface LogLevelKeeper {
  readonly reported: LogLevelState;
  /** Whether lines of this level are logged. */
  includes(level: LogLevel): boolean;
  /** Sets the level, as the command log-level. @throws AIOT_COMMAND_FAILED */
  set(args: Record<string, unknown>): LogLevelState;
  /** Sets the usual level, as a restart does. */
  reset(): void;
}

/** The level of the log, which returns to the usual one when its time is up. @param ended called then */
function createLogLevel(clock: Clock, ended: () => void): LogLevelKeeper {
  let level = usualLogLevel;
  let until: number | null = null;
  let waiting = new AbortController();
  const reset = () => {
    waiting.abort();
    level = usualLogLevel;
    until = null;
  };
  return {
    get reported() {
      return { level, ...(until === null ? {} : { forMs: Math.max(0, Math.round(until - clock.now())) }) };
    },
    includes: (each) => logLevels.indexOf(each) >= logLevels.indexOf(level),
    set(args) {
      const wanted = logLevelSchema.safeParse(args).data;
      if (!wanted || (wanted.forMs !== undefined && wanted.forMs < logLevelMs.min))
        throw new AiotError(
          'AIOT_COMMAND_FAILED',
          `expected the level ${logLevels.join(', ')}, and forMs from ${logLevelMs.min} to ${logLevelMs.max} or none`,
        );
      reset();
      const { forMs } = wanted;
      level = wanted.level;
      if (forMs === undefined) return { level };
      until = clock.now() + forMs;
      waiting = new AbortController();
      const end = () => {
        reset();
        ended();
      };
      // After a restart or another level, the wait is aborted.
      clock.sleep(forMs, waiting.signal).then(end, () => {});
      return { level, forMs };
    },
    reset,
  };
}

interface SettingsKeeper {
  readonly reported: Reported['settings'];
  /** Applies settings and stores them; null = there are none. */
  take(settings: { digest: string; values: Record<string, unknown> } | null): Promise<void>;
}

/** Applies the settings of the last run, and then all new settings as they arrive. */
async function createSettingsKeeper(
  { applySettings = async () => {}, settingsFile: file }: VirtualDeviceOptions,
  warn: (message: string) => void,
): Promise<SettingsKeeper> {
  let reported: Reported['settings'];
  const apply = async ({ digest, values }: { digest: string; values: Record<string, unknown> }) => {
    try {
      await applySettings(values);
      reported = { digest, values };
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      warn(`settings: ${message}`);
      const rejected = {
        digest,
        code: codeOf(error).code ?? 'AIOT_SETTINGS_REJECTED',
        message: message.slice(0, 500),
      };
      reported = { ...(reported ?? { digest: null }), error: rejected };
    }
  };
  const stored = file === undefined ? null : await readFile(file, 'utf8').catch(() => null);
  const last = settingsSchema.safeParse(parsedJson(stored ?? '')).data;
  if (last) await apply(last);
  return {
    get reported() {
      return reported;
    },
    async take(settings) {
      if (settings === null) reported = undefined;
      else if (reported?.digest !== settings.digest || reported.error) await apply(settings);
      if (file === undefined) return;
      if (reported === undefined) await rm(file, { force: true });
      else if (reported.digest !== null)
        await writeFileAtomic(file, JSON.stringify({ digest: reported.digest, values: reported.values }));
    },
  };
}

interface CommandOptions {
  topic: string;
  handlers: Readonly<Record<string, CommandHandler>>;
  /** ms since 1970 */
  now: () => number;
}

/** Number of command ids to remember, so that a repeated command is carried out only once. */
const remembered = 256;

/**
 * Creates the handler of commands. It returns null for a command that has expired or was already answered.
 * @throws AIOT_MESSAGE_MALFORMED if the message has no id for a reply
 */
function createCommander(options: CommandOptions): (payload: Uint8Array) => Promise<[Command, Reply] | null> {
  const { topic, handlers, now } = options;
  const answered = new Set<string>();
  return async (payload) => {
    const command = decodeMessage(commandSchema, topic, payload);
    if (answered.has(command.id) || (command.expires !== undefined && command.expires <= now())) return null;
    answered.add(command.id);
    if (answered.size > remembered) answered.delete(answered.values().next().value as string);
    return [command, await answer(command, handlers, now)];
  };
}

async function answer(
  command: Command,
  handlers: CommandOptions['handlers'],
  now: () => number,
): Promise<Reply> {
  const { id } = command;
  const handler = Object.hasOwn(handlers, command.command) ? handlers[command.command] : undefined;
  if (!handler) {
    const message = `expected one of ${Object.keys(handlers).join(', ')}, got ${command.command}`;
    return { id, t: now(), ok: false, error: { code: 'AIOT_COMMAND_UNKNOWN', message } };
  }
  try {
    const result = await handler(command.args ?? {});
    return { id, t: now(), ok: true, result };
  } catch (error) {
    const code = error instanceof AiotError ? error.code : 'AIOT_COMMAND_FAILED';
    const message = error instanceof Error ? error.message : String(error);
    return { id, t: now(), ok: false, error: { code, message } };
  }
}
