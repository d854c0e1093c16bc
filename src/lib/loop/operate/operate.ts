import { join } from 'node:path';
import { AiotError } from '../../core/errors.js';
import { takeLock } from '../../core/lock.js';
import { namePattern } from '../../core/names.js';
import { notifierFor } from '../../core/systemd.js';
import type { LoopMonitor, LoopStatus } from '../status.js';
import { type Pages, serveLoop } from './server.js';
import {
  healthOf,
  lockName,
  loopFolder,
  readStatus,
  runtimeFolder,
  statusName,
  writeStatus,
} from './state.js';

export interface OperateOptions {
  /** Name of the loop. Only one loop with this name can run at a time. */
  name: string;
  /** `HOST:PORT` of `/healthz` and `/metrics`; absent = there are no such pages. */
  listen?: string | undefined;
  /** A trial run, which does not reserve the name and leaves nothing behind. */
  transient?: boolean | undefined;
  onEvent?: ((text: string) => void) | undefined;
  environment?: Readonly<Record<string, string | undefined>>;
}

/** A loop that can be observed from outside. */
export interface Operation {
  /** Address of its pages; undefined if they were not requested. */
  listening: string | undefined;
  /** Resolves once the last state is written and the name is free. */
  close(): Promise<void>;
}

/** Interval between writes of the state, ms. Shorter in memory than on a disk, which wears out. */
const everyMs = { memory: 2000, disk: 10_000 };

const lookMs = 1000;

/**
 * Reserves a loop's name, writes its state for `aiot loop status`, provides its pages, and notifies systemd. Uses real time, even if the
 * loop uses simulated time. The state is read from `monitor`, which must be available from the start.
 * @throws AIOT_LOOP_RUNNING with the pid, AIOT_USAGE, AIOT_PORT_IN_USE, AIOT_FILE_NOT_WRITABLE
 */
export async function operate(monitor: LoopMonitor, options: OperateOptions): Promise<Operation> {
  const { environment = process.env, transient = false } = options;
  if (!namePattern.test(options.name)) {
    throw new AiotError('AIOT_USAGE', `"${options.name}" is not a valid loop name`, {
      next: 'Use letters, digits, - and _.',
    });
  }
  const folder = loopFolder(options.name, environment);
  const release = transient ? () => {} : await holdName(options.name, folder);
  let pages: Pages | undefined;
  try {
    pages = options.listen === undefined ? undefined : await serveLoop(options.listen, monitor);
  } catch (error) {
    release();
    throw error;
  }
  const writer = transient ? undefined : keepWritten(monitor, folder, options);
  const manager = answerManager(monitor, environment);
  return {
    listening: pages?.at,
    async close() {
      await Promise.all([manager?.close(), pages?.close()]);
      await writer?.close();
      release();
    },
  };
}

async function holdName(name: string, folder: string): Promise<() => void> {
  const release = await takeLock(join(folder, lockName));
  if (release) return release;
  const found = await readStatus(join(folder, statusName));
  const pid = found ? ` (pid ${found.status.pid})` : '';
  throw new AiotError('AIOT_LOOP_RUNNING', `a loop named ${name} is already running${pid}`, {
    next: `Choose another name with --name, or stop the other loop. To see it, run \`aiot loop status ${name}\`.`,
  });
}

/** Writes the state to a file regularly, so that readers can recognize an outdated one. */
function keepWritten(monitor: LoopMonitor, folder: string, { environment, onEvent }: OperateOptions) {
  const memory = runtimeFolder(environment);
  const file = join(memory ?? folder, statusName);
  const periodMs = memory ? everyMs.memory : everyMs.disk;
  let writtenAt = Number.NEGATIVE_INFINITY;
  let state = '';
  let failing = false;
  let under: Promise<void> = Promise.resolve();
  const write = async (to: string) => {
    const status = monitor.status();
    state = status.state;
    writtenAt = performance.now();
    try {
      await writeStatus(to, status);
      failing = false;
    } catch (error) {
      if (!failing) onEvent?.(`the state of the loop cannot be written: ${(error as Error).message}`);
      failing = true;
    }
  };
  const look = () => {
    const due = performance.now() - writtenAt >= periodMs || monitor.status().state !== state;
    if (due) under = under.then(() => write(file));
  };
  look();
  const timer = setInterval(look, lookMs).unref();
  return {
    async close() {
      clearInterval(timer);
      await under;
      // systemd removes its folder in memory when the service ends, so the last state is written to disk.
      await write(join(folder, statusName));
    },
  };
}

/** Sends READY, WATCHDOG and STATUS to systemd, one message after another. */
function answerManager(monitor: LoopMonitor, environment: OperateOptions['environment']) {
  const manager = notifierFor(environment);
  if (!manager) return undefined;
  const { notify, watchdogMs } = manager;
  const beat = createBeat(watchdogMs !== undefined);
  // At most a third of the timeout, so that a late message has no effect.
  const periodMs = Math.max(100, Math.min(watchdogMs ?? 30_000, 30_000) / 3);
  let ready = false;
  let last = Number.NEGATIVE_INFINITY;
  let telling: Promise<void> | undefined;
  const tick = () => {
    const now = performance.now();
    if (telling || (ready && now - last < periodMs)) return;
    const status = monitor.status();
    // Before the first sample, the state is sent only periodically. The first sample is reported at once.
    if (now - last < periodMs && status.sensor.samples === 0) return;
    const lines = beat.next(status, now);
    ready ||= lines.includes('READY=1');
    last = now;
    if (lines.length === 0) return;
    telling = notify(...lines).finally(() => {
      telling = undefined;
    });
  };
  tick();
  const timer = setInterval(tick, Math.min(250, periodMs / 2)).unref();
  return {
    async close() {
      clearInterval(timer);
      await telling;
      await notify('STOPPING=1');
    },
  };
}

/**
 * Maximum time without samples during which systemd still gets keep-alives. An unplugged sensor is not a fault of the process, and a
 * restart would discard its state. A stuck driver looks the same, but does need a restart.
 */
const patienceMs = 10 * 60_000;

/** Decides which messages systemd gets, and when. */
interface Beat {
  /** The messages to send now. @param nowMs of a monotonic clock */
  next(status: LoopStatus, nowMs: number): string[];
}

/**
 * READY=1 is sent with the first sample or prediction. WATCHDOG=1 is sent if samples were processed since the last call, or the sensor has
 * been disconnected or silent for less than ten minutes. STATUS= is sent when its text changes, and with the other two.
 */
export function createBeat(watchdog: boolean): Beat {
  let ready = false;
  let seen = 0;
  let freshAt: number | undefined;
  let said = '';
  return {
    next(status, nowMs) {
      const { sensor, windows } = status;
      const progress = sensor.samples + windows;
      const fresh = progress !== seen;
      freshAt = fresh || freshAt === undefined ? nowMs : freshAt;
      seen = progress;
      const lines: string[] = [];
      if (!ready && progress > 0) {
        ready = true;
        lines.push('READY=1');
      }
      const away = !sensor.connected && nowMs - freshAt < patienceMs;
      if (watchdog && (fresh || away)) lines.push('WATCHDOG=1');
      const text = statusLine(status);
      if (text !== said || lines.length > 0) lines.push(`STATUS=${text}`);
      said = text;
      return lines;
    },
  };
}

function statusLine(status: LoopStatus): string {
  const { reasons } = healthOf(status);
  if (reasons.length > 0) return reasons.join('; ');
  const { sensor, last, outputs, model } = status;
  const away = outputs.filter(({ connected }) => !connected).length;
  const parts = [
    last?.voted ?? last?.label ?? 'no prediction yet',
    `${sensor.rateHz === null ? '?' : sensor.rateHz.toFixed(1)} Hz`,
    `model ${model?.name ?? '?'}${model?.version == null ? '' : ` ${model.version}`}`,
    ...(away > 0 ? [`${away} of ${outputs.length} outputs offline`] : []),
  ];
  return parts.join(', ').replaceAll(/[\r\n]/g, ' ');
}
