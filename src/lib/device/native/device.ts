import { AiotError } from '../../core/errors.js';
import { deferred, untilAborted } from '../../core/tasks.js';
import { systemClock } from '../../core/time.js';
import type { Recording } from '../../data/types.js';
import { type DeviceEvent, deviceEventSchema } from '../events.js';
import { readIdentity } from '../identity/identity.js';
import type { Reported } from '../protocol/messages.js';
import type { FeedResult } from '../telemetry/feed.js';
import { checkSensor, recordingSensor, type Sensor } from '../telemetry/sensor.js';
import type { ReplayOptions, VirtualDevice } from '../virtual/types.js';
import { nativeProgram } from './build.js';
import { type NativeProcess, startNative } from './process.js';

export { programAt } from './build.js';

/** Interface that this virtual device shares with the TypeScript virtual device. */
export type SimulatedDevice = Pick<
  VirtualDevice,
  'name' | 'online' | 'connect' | 'replay' | 'sense' | 'stop'
>;

export interface NativeDevice extends SimulatedDevice {
  /** The last reported state; null before the first report. */
  readonly reported: Reported | null;
  readonly pid: number;
  /** Rejects if the process ends unexpectedly. */
  readonly lost: Promise<never>;
  /** Simulates a power cut: the device does not disconnect cleanly. `connect` boots it again. */
  kill(): Promise<void>;
}

export interface NativeDeviceOptions {
  identityDir: string;
  /** Default: built from the firmware's sources. */
  program?: string;
  sensor?: Sensor | undefined;
  arguments?: string[];
  onEvent?: (event: DeviceEvent) => void;
  onBuild?: () => void;
}

/** Maximum time from a device's start to its connection, ms. */
const onlineMs = 15_000;
/** Number of samples written at a time. */
const rows = 50;

type Sent = Extract<DeviceEvent, { event: 'sent' }>;

/**
 * Creates a device that runs the firmware's core as a program on this machine. It has the same interface, identity, flash and events
 * as the TypeScript virtual device. `connect` starts it. @throws AIOT_FILE_NOT_FOUND, AIOT_FILE_MALFORMED, and the errors of
 * `nativeProgram`
 */
export async function createNativeDevice(options: NativeDeviceOptions): Promise<NativeDevice> {
  const { identityDir, onEvent, onBuild, sensor } = options;
  const { name } = await readIdentity(identityDir);
  const program =
    options.program ?? (await nativeProgram('aiot-device', { ...(onBuild ? { onBuild } : {}) }));
  let running: NativeProcess | null = null;
  let online = false;
  let reported: Reported | null = null;
  /**
   * Number of boots so far. If the number changes while a recording is sent, the recording was interrupted and must be
   * resent.
   */
  let boots = 0;
  let wasOnline = deferred();
  const lost = deferred<never>();
  let sent = deferred<Sent>();
  let again = deferred<null>();

  const take = (event: DeviceEvent) => {
    if (event.event === 'booted') {
      boots++;
      again.resolve(null);
    }
    if (event.event === 'online') {
      online = true;
      wasOnline.resolve();
    }
    if (event.event === 'offline') online = false;
    if (event.event === 'reported') reported = event.reported;
    if (event.event === 'sent') sent.resolve(event);
    onEvent?.(event);
  };

  const run = async (
    from: Sensor,
    take: ReplayOptions,
    id: string,
    startedAt: number,
    endless: boolean,
  ): Promise<FeedResult> => {
    checkSensor(from, id, take.stream);
    const active = running;
    if (!active) throw new AiotError('AIOT_USAGE', `${name} is not connected`);
    if (take.predict && !take.waits && !endless && reported !== null && reported.model === null)
      throw new AiotError('AIOT_DEVICE_NO_MODEL', 'the device has no active model to predict with');
    for (;;) {
      const boot = boots;
      sent = deferred<Sent>();
      again = deferred<null>();
      const lost = active.ended.then((error) => {
        throw error ?? new AiotError('AIOT_PROGRAM_FAILED', `${name} stopped`);
      });
      lost.catch(() => {});
      const { predict = false, telemetry = !predict, stream } = take;
      const { fields, rateHz } = from;
      const begin = { stream, recording: id, rateHz, fields, telemetry, predict, startedAt };
      await active.write({ take: begin });
      const whole = await write(active, from, take, endless, () => boots !== boot);
      if (whole) await active.write({ end: true });
      const ended = whole ? await Promise.race([sent.promise, lost, again.promise]) : null;
      if (ended) {
        const { samples, messages, inferences, seconds } = ended;
        return { samples, messages, inferences, seconds };
      }
      take.signal?.throwIfAborted();
    }
  };

  const device: NativeDevice = {
    name,
    get online() {
      return online;
    },
    get reported() {
      return reported;
    },
    lost: lost.promise,
    get pid() {
      return running?.pid ?? 0;
    },
    async connect({ signal } = {}) {
      if (running) return;
      wasOnline = deferred();
      const started = startNative({
        program,
        folder: identityDir,
        schema: deviceEventSchema,
        ...(options.arguments ? { arguments: options.arguments } : {}),
        onEvent: take,
      });
      running = started;
      const ended = started.ended.then((error) => {
        online = false;
        if (running === started) {
          running = null;
          lost.reject(error ?? new AiotError('AIOT_PROGRAM_FAILED', `${name} stopped`));
        }
        throw error ?? new AiotError('AIOT_PROGRAM_FAILED', `${name} stopped`);
      });
      ended.catch(() => {});
      const waiting = new AbortController();
      const late = systemClock.sleep(onlineMs, waiting.signal).then(() => {
        throw new AiotError(
          'AIOT_BROKER_UNREACHABLE',
          `${name} did not connect to its broker within ${onlineMs / 1000} s`,
        );
      });
      late.catch(() => {});
      try {
        await untilAborted(Promise.race([wasOnline.promise, ended, late]), signal);
      } catch (error) {
        running = null;
        await started.stop();
        throw error;
      } finally {
        waiting.abort();
      }
    },
    async replay(recording: Recording, take) {
      const id = take.recordingId ?? recording.id;
      return run(recordingSensor(recording), take, id, recording.startedAt ?? Date.now(), false);
    },
    async sense(take) {
      if (!sensor) throw new AiotError('AIOT_USAGE', `${name} has no sensor`);
      const now = Date.now();
      return run(sensor, take, take.recordingId ?? `live-${now.toString(36)}`, now, true);
    },
    async stop() {
      const active = running;
      running = null;
      await active?.stop();
      online = false;
    },
    async kill() {
      const active = running;
      running = null;
      await active?.kill();
      online = false;
    },
  };
  return device;
}

/**
 * Writes the samples in real time. Returns false if the device rebooted in the meantime; the samples must then be
 * rewritten.
 */
async function write(
  to: NativeProcess,
  from: Sensor,
  { speed = 1, signal }: ReplayOptions,
  endless: boolean,
  booted: () => boolean,
): Promise<boolean> {
  const started = systemClock.now();
  let samples: number[][] = [];
  let count = 0;
  const flush = async () => {
    if (samples.length > 0) await to.write({ samples });
    samples = [];
  };
  for (const sample of from.samples()) {
    if (booted()) return false;
    if (speed !== 'max') {
      const due = started + (count * 1000) / (from.rateHz * speed);
      if (due - systemClock.now() > 10) {
        await flush();
        await systemClock.sleep(due - systemClock.now(), signal).catch(() => {});
      }
    }
    if (signal?.aborted && endless) break;
    signal?.throwIfAborted();
    samples.push(Array.from(sample));
    count++;
    if (samples.length === rows) await flush();
  }
  await flush();
  return !booted();
}
