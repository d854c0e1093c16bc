import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { AiotError, systemCode } from '../core/errors.js';
import { takeLock } from '../core/lock.js';
import { onAbort, timeLimit } from '../core/tasks.js';
import { systemClock } from '../core/time.js';
import type { MotorState } from '../data/motor.js';
import type { Recording } from '../data/types.js';
import type { DeviceEvent } from './events.js';
import { type DeviceIdentity, readIdentity } from './identity/identity.js';
import type { Reported } from './protocol/messages.js';
import { motorSensor, readRecording, type Sensor } from './telemetry/sensor.js';
import { createVirtualDevice } from './virtual/device.js';
import { createFlash } from './virtual/flash.js';
import { flashBytesFor } from './virtual/store.js';
import { trustInFile } from './virtual/trust.js';
import { configFlashBytes, defaultSlotBytes, type VirtualDevice } from './virtual/types.js';

export interface SimulateOptions {
  /** Folder of `aiot device provision`; the device's flash is kept in it too. */
  identityDir: string;
  /** A CSV file to replay, or a motor to watch; neither = only be there for updates and commands. */
  recording?: string;
  motor?: MotorState;
  /** Samples a second; default 100 for a recording, 200 for a motor: as in the templates. */
  rateHz?: number;
  /** Default: as in the templates, `motion` for a recording and `shaded-pole-motor-sensor_data` for a motor. */
  stream?: string;
  speed: number | 'max';
  predict: boolean;
  /** Begin the recording again when it ends, as a new take. */
  loop: boolean;
  /** End after this time online, ms. */
  forMs?: number;
  seed: number;
  /** The firmware's core as a program of its own, instead of the device in this process. */
  native?: boolean;
  /** That program, where it is not aiot's own. */
  program?: string;
  signal?: AbortSignal;
  onEvent: (event: DeviceEvent) => void;
  /** The native program is being built, which takes a while. */
  onBuild?: () => void;
}

/**
 * Runs a virtual device until its recording ends, the time is over, or the signal is aborted; it says goodbye in any case.
 * @throws AIOT_DEVICE_BUSY, AIOT_INTERRUPTED when a recording was cut short by the signal; bad input before the device goes online
 */
export async function simulateDevice(options: SimulateOptions): Promise<void> {
  const { identityDir, forMs, signal } = options;
  const identity = await readIdentity(identityDir);
  const recording = options.recording
    ? await readRecording(options.recording, options.rateHz ?? 100)
    : undefined;
  const sensor = options.motor
    ? motorSensor({ state: options.motor, rateHz: options.rateHz ?? 200, seed: options.seed })
    : undefined;
  const unlock = await lockDevice(identityDir);
  try {
    const run = options.native ? runNative : runVirtual;
    await run(options, identity, sensor, async (device) => {
      // Without a recording to send whole it runs until it is told to end, on the way to the platform, too.
      const endless = !recording || options.loop;
      await device.connect({ signal }).catch((error: unknown) => {
        if (!endless || !signal?.aborted) throw error;
      });
      await act(device, options, { recording, sensor }, timeLimit(forMs, signal));
    });
  } finally {
    await unlock();
  }
}

type Simulated = Pick<VirtualDevice, 'name' | 'connect' | 'replay' | 'sense'> & {
  readonly reported: Reported | null;
};

type Task = (device: Simulated) => Promise<void>;

async function runVirtual(
  { identityDir, onEvent }: SimulateOptions,
  identity: DeviceIdentity,
  sensor: Sensor | undefined,
  task: Task,
): Promise<void> {
  const file = join(identityDir, 'flash.bin');
  const flash = createFlash({ bytes: flashBytesFor(defaultSlotBytes), file });
  try {
    const configFlash = createFlash({ bytes: configFlashBytes, file: join(identityDir, 'config.bin') });
    try {
      const device = await createVirtualDevice({
        ...{ identity, flash, configFlash, sensor, onEvent },
        trustMemory: trustInFile(join(identityDir, 'trust-state.json')),
      });
      try {
        await Promise.race([task(device), device.lost]);
      } finally {
        await device.stop();
      }
    } finally {
      configFlash.close();
    }
  } finally {
    flash.close();
  }
}

async function runNative(
  { identityDir, onEvent, onBuild, program }: SimulateOptions,
  _identity: DeviceIdentity,
  sensor: Sensor | undefined,
  task: Task,
): Promise<void> {
  const { createNativeDevice } = await import('./native/device.js');
  const { programAt } = await import('./native/build.js');
  const device = await createNativeDevice({
    ...{ identityDir, sensor, onEvent },
    ...(program === undefined ? {} : { program: await programAt(program) }),
    ...(onBuild ? { onBuild } : {}),
  });
  try {
    await Promise.race([task(device), device.lost]);
  } finally {
    await device.stop();
  }
}

async function act(
  device: Simulated,
  options: SimulateOptions,
  { recording, sensor }: { recording: Recording | undefined; sensor: Sensor | undefined },
  end: AbortSignal,
): Promise<void> {
  const { speed, predict, loop } = options;
  if (predict && (sensor || recording)) await firstModel(device, options, end);
  if (end.aborted) return;
  if (sensor) {
    const stream = options.stream ?? 'shaded-pole-motor-sensor_data';
    await device.sense({ stream, speed, predict, signal: end });
    return;
  }
  if (!recording) return aborted(end);
  const stream = options.stream ?? 'motion';
  const started = Date.now().toString(36);
  for (let take = 1; !end.aborted; take++) {
    const recordingId = loop ? `${recording.id}-${started}-${take}` : recording.id;
    try {
      await device.replay(recording, { stream, speed, predict, recordingId, signal: end });
    } catch (error) {
      if (!end.aborted) throw error;
    }
    if (!loop) break;
  }
  if (!loop && options.signal?.aborted) {
    throw new AiotError('AIOT_INTERRUPTED', `${recording.id} was cut short`);
  }
}

/** A device without a model waits for its first one to be rolled out. @throws AIOT_DEVICE_NO_MODEL when the time is over */
async function firstModel(device: Simulated, options: SimulateOptions, end: AbortSignal): Promise<void> {
  const hasModel = () => (device.reported?.model ?? null) !== null;
  if (hasModel()) return;
  const message = 'no model yet: waiting for one to be rolled out';
  options.onEvent({ device: device.name, t: Date.now(), event: 'log', level: 'info', message });
  while (!hasModel() && !end.aborted) await systemClock.sleep(100, end).catch(() => {});
  if (hasModel() || options.signal?.aborted) return;
  throw new AiotError('AIOT_DEVICE_NO_MODEL', 'the device has no active model to predict with');
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => onAbort(signal, resolve));
}

/**
 * Takes a device's folder for this process, and notes in device.pid which one that is. Returns what gives it back.
 * @throws AIOT_DEVICE_BUSY, AIOT_FILE_NOT_WRITABLE
 */
async function lockDevice(folder: string): Promise<() => Promise<void>> {
  const note = join(folder, 'device.pid');
  const release = await takeLock(join(folder, 'device.lock'));
  if (!release) {
    const owner = (await readFile(note, 'utf8').catch(() => '')).trim();
    throw new AiotError(
      'AIOT_DEVICE_BUSY',
      `the device in ${folder} is run by ${owner ? `process ${owner}` : 'another process'}`,
    );
  }
  try {
    await writeFile(note, `${process.pid}\n`);
  } catch (error) {
    release();
    const reason = systemCode(error) ?? 'unknown error';
    throw new AiotError('AIOT_FILE_NOT_WRITABLE', `cannot write ${note} (${reason})`, { cause: error });
  }
  return async () => {
    await rm(note, { force: true });
    release();
  };
}
