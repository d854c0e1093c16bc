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
import type { SampleForm } from './telemetry/answer.js';
import {
  defaultStream,
  motorSensor,
  motorStream,
  readRecording,
  type Sensor,
  streamAbove,
} from './telemetry/sensor.js';
import { projectCommands, projectSettings } from './virtual/commands.js';
import { createVirtualDevice } from './virtual/device.js';
import type { SensedForm } from './virtual/firmware.js';
import { createFlash } from './virtual/flash.js';
import { flashBytesFor } from './virtual/store.js';
import { trustInFile } from './virtual/trust.js';
import { configFlashBytes, defaultSlotBytes, type VirtualDevice } from './virtual/types.js';

export interface SimulateOptions {
  /** Folder written by `aiot device provision`, which also contains the device's flash. */
  identityDir: string;
  /** A recording to replay. If neither this nor a motor to simulate is given, the device only handles updates and commands. */
  recording?: string;
  motor?: MotorState;
  /** Folder of a project whose commands the device runs, and whose program applies its settings; absent = only the commands of protocol v1. */
  project?: string;
  /** Samples per second. By default, that of the recording or else of the project above it, or 100; for a motor, 200. */
  rateHz?: number;
  /**
   * Stream name. Default: for a recording, the topic of the project above it, else `motion`; for a motor,
   * `shaded-pole-motor-sensor_data`.
   */
  stream?: string;
  speed: number | 'max';
  /** Whether to send only predictions. Otherwise the device sends samples and, once it has a model that fits, predictions. */
  predict: boolean;
  /** Whether to replay the recording again when it ends, under a new name. */
  loop: boolean;
  /** How long the device runs after it has come online, ms. */
  forMs?: number;
  seed: number;
  /** Whether to run the firmware's core as a separate program instead of the device in this process. */
  native?: boolean;
  /** Path of that program; absent = aiot's own. */
  program?: string;
  signal?: AbortSignal;
  onEvent: (event: DeviceEvent) => void;
  /** Called while the native program is being built, which takes a while. */
  onBuild?: () => void;
}

/**
 * Runs a virtual device until its recording ends, its time is up, or the signal is aborted. In every case, the device
 * goes offline cleanly.
 * @throws AIOT_DEVICE_BUSY, AIOT_INTERRUPTED if the signal cut a recording short; invalid input before the device goes
 * online
 */
export async function simulateDevice(given: SimulateOptions): Promise<void> {
  const { identityDir, forMs, signal } = given;
  const project = given.recording === undefined ? null : await streamAbove(given.recording);
  const stream = given.stream ?? project;
  const options = stream === null ? given : { ...given, stream };
  const identity = await readIdentity(identityDir);
  const recording = options.recording
    ? await readRecording(options.recording, options.rateHz ?? null)
    : undefined;
  const sensor = options.motor
    ? motorSensor({ state: options.motor, rateHz: options.rateHz ?? 200, seed: options.seed })
    : undefined;
  const unlock = await lockDevice(identityDir);
  try {
    const run = options.native ? runNative : runVirtual;
    await run(options, { identity, sensor, form: sensor ?? recording }, async (device) => {
      // Unless the device has to send a complete recording, it runs until it is aborted, possibly while it is still
      // connecting.
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

/** A native device has no `unfit`, because its own process checks whether its model fits. */
type Simulated = Pick<VirtualDevice, 'name' | 'connect' | 'replay' | 'sense'> &
  Partial<Pick<VirtualDevice, 'unfit'>> & { readonly reported: Reported | null };

/** The device's identity, and the source of its samples. */
interface Parts {
  identity: DeviceIdentity;
  /** A live sensor. */
  sensor: Sensor | undefined;
  /** The samples of the sensor or the recording. */
  form: SampleForm | undefined;
}

type Task = (device: Simulated) => Promise<void>;

async function runVirtual(
  options: SimulateOptions,
  { identity, sensor, form }: Parts,
  task: Task,
): Promise<void> {
  const { identityDir, onEvent } = options;
  const file = join(identityDir, 'flash.bin');
  const flash = createFlash({ bytes: flashBytesFor(defaultSlotBytes), file });
  try {
    const configFlash = createFlash({ bytes: configFlashBytes, file: join(identityDir, 'config.bin') });
    try {
      const device = await createVirtualDevice({
        ...{ identity, flash, configFlash, sensor, onEvent, ...formOf(options, form) },
        commands: options.project === undefined ? {} : await projectCommands(options.project, identity.type),
        applySettings:
          options.project === undefined ? undefined : await projectSettings(options.project, identity.type),
        settingsFile: join(identityDir, 'settings.json'),
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

/** A source's stream; by default, the template's. */
function streamOf({ stream, motor }: Pick<SimulateOptions, 'stream' | 'motor'>): string {
  return stream ?? (motor ? motorStream : defaultStream);
}

function formOf(options: SimulateOptions, form: SampleForm | undefined): { form?: SensedForm } {
  if (!form) return {};
  const { fields, rateHz, size } = form;
  return { form: { stream: streamOf(options), fields, rateHz, ...(size && { size }) } };
}

async function runNative(
  { identityDir, onEvent, onBuild, program }: SimulateOptions,
  { sensor }: Parts,
  task: Task,
): Promise<void> {
  const { createNativeDevice, programAt } = await import('./native/device.js');
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
  const source = sensor ?? recording;
  // Like a board, a device sends samples and predictions by default, and does not wait for a model.
  const sends = { speed, predict: true, telemetry: !predict };
  if (predict && source) await usableModel(device, options, source, end);
  if (end.aborted) return;
  if (sensor) {
    await device.sense({ stream: streamOf(options), ...sends, signal: end });
    return;
  }
  if (!recording) return aborted(end);
  const stream = streamOf(options);
  const started = Date.now().toString(36);
  for (let take = 1; !end.aborted; take++) {
    const recordingId = loop ? `${recording.id}-${started}-${take}` : recording.id;
    try {
      const waits = loop || !predict;
      await device.replay(recording, { stream, ...sends, recordingId, waits, signal: end });
    } catch (error) {
      if (!end.aborted) throw error;
    }
    if (!loop) break;
    // While samples were sent, an update may have installed a model that does not fit.
    if (predict) await usableModel(device, options, recording, end);
  }
  if (!loop && options.signal?.aborted) {
    throw new AiotError('AIOT_INTERRUPTED', `stopped before all of ${recording.id} was sent`);
  }
}

/**
 * Waits for a model that fits the source. A device without a model waits for its first rollout, and a device with another model waits for
 * an update.
 * @throws AIOT_DEVICE_NO_MODEL, AIOT_RECORDING_UNFIT when the time is up
 */
async function usableModel(
  device: Simulated,
  options: SimulateOptions,
  source: SampleForm,
  end: AbortSignal,
): Promise<void> {
  const hasModel = () => (device.reported?.model ?? null) !== null;
  const problem = () => {
    if (!hasModel())
      return new AiotError('AIOT_DEVICE_NO_MODEL', 'the device has no active model to predict with');
    const unfit = device.unfit?.(source) ?? null;
    return unfit === null ? null : new AiotError('AIOT_RECORDING_UNFIT', unfit);
  };
  if (!hasModel()) {
    const message = 'no model yet: waiting for a rollout';
    options.onEvent({ device: device.name, t: Date.now(), event: 'log', level: 'info', message });
  }
  while (problem() && !end.aborted) await systemClock.sleep(100, end).catch(() => {});
  const last = problem();
  if (last && !options.signal?.aborted) throw last;
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => onAbort(signal, resolve));
}

/**
 * Locks a device's folder for this process and writes its process id to device.pid. Returns the function that unlocks it.
 * @throws AIOT_DEVICE_BUSY, AIOT_FILE_NOT_WRITABLE
 */
async function lockDevice(folder: string): Promise<() => Promise<void>> {
  const note = join(folder, 'device.pid');
  const release = await takeLock(join(folder, 'device.lock'));
  if (!release) {
    const owner = (await readFile(note, 'utf8').catch(() => '')).trim();
    throw new AiotError(
      'AIOT_DEVICE_BUSY',
      `the device in ${folder} is already run by ${owner ? `process ${owner}` : 'another process'}`,
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
