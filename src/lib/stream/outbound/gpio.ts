import { setTimeout as delay } from 'node:timers/promises';
import * as z from 'zod';
import { AiotError, systemCode } from '../../core/errors.js';
import {
  type ChildProcess,
  findProgram,
  isRunning,
  lastOutput,
  runProgram,
  startProgram,
  stopProgram,
} from '../../core/process.js';
import type { OutgoingMessage, Sink } from '../message.js';
import { readQuery, type StreamUrl } from '../url.js';
import { environmentFor, labelOf } from './program.js';

const shape = {
  /**
   * Labels that make the line active, separated by commas. All other labels make it inactive. Default: 1, on, true and
   * active.
   */
  on: z.string().min(1).optional(),
  /** Level of an active line; default high. */
  active: z.enum(['high', 'low']).optional(),
};

const switchedOn = new Set(['1', 'on', 'true', 'active']);

/**
 * Opens `gpio://gpiochip0/17?on=walking`, a line of a GPIO chip. The line is active while the label has the given
 * value. If a write has several messages, only the last one with a label matters. The line is released when the sink is
 * closed.
 * @throws AIOT_STREAM_URL, AIOT_PROGRAM_NOT_FOUND, AIOT_PROGRAM_FAILED (no such line, in use, not allowed)
 */
export async function openGpioSink(url: StreamUrl): Promise<Sink> {
  const { on, active = 'high' } = readQuery(url, shape);
  const labels = on === undefined ? switchedOn : new Set(on.split(','));
  const [, chip, offset] = /^([\w.-]+)\/(\d{1,4})$/.exec(`${url.host}/${url.path}`) ?? [];
  if (chip === undefined || offset === undefined) {
    throw new AiotError(
      'AIOT_STREAM_URL',
      `${url.endpoint}: expected gpio://CHIP/LINE, such as gpio://gpiochip0/17`,
    );
  }
  const endpoint = `gpio://${chip}/${offset}`;
  const line = await openGpioLine({ chip, offset: Number(offset), activeLow: active === 'low', endpoint });
  try {
    await line.set(false);
  } catch (error) {
    await line.close();
    throw error;
  }
  let last: Promise<void> = Promise.resolve();
  return {
    endpoint,
    write(messages) {
      const level = levelOf(messages, labels);
      const written = last.then(() => (level === undefined ? undefined : line.set(level)));
      last = written.catch(() => {});
      return written;
    },
    async close() {
      await last;
      await line.close();
    },
  };
}

/** The level requested by the last message with a label; undefined if no message has a label. */
function levelOf(messages: readonly OutgoingMessage[], labels: ReadonlySet<string>): boolean | undefined {
  const label = messages.map(({ payload }) => labelOf(payload)).findLast((found) => found !== undefined);
  return label === undefined ? undefined : labels.has(label);
}

interface GpioLineOptions {
  /** Name of the chip as in libgpiod, such as `gpiochip0`. */
  chip: string;
  offset: number;
  activeLow: boolean;
  endpoint: string;
}

/** A GPIO line that is driven until `close` is called. */
interface GpioLine {
  /** Sets the line's level. @throws AIOT_PROGRAM_FAILED */
  set(active: boolean): Promise<void>;
  close(): Promise<void>;
}

/**
 * If gpioset cannot claim the line, it exits within this time, ms. The first claim has a second, which suffices on a busy machine. Later
 * claims have less, because they delay an action.
 */
const claimMs = { first: 1000, later: 100 };

/** Delay before a gpioset that was ended from outside is restarted, ms. */
const againMs = 1000;

/**
 * Drives a line with libgpiod's `gpioset`, which holds the line while it runs. Each change of the level starts another gpioset.
 * @throws AIOT_PROGRAM_NOT_FOUND, AIOT_PROGRAM_FAILED
 */
async function openGpioLine(options: GpioLineOptions): Promise<GpioLine> {
  const { endpoint } = options;
  const gpioset = await findProgram('gpioset').catch((error: unknown) => {
    throw new AiotError('AIOT_PROGRAM_NOT_FOUND', `${endpoint}: libgpiod's gpioset is not installed`, {
      cause: error,
      endpoint,
      next: 'Install it with `sudo apt install gpiod`.',
    });
  });
  const version = await majorVersion(gpioset, endpoint);
  // `setpriv` ends gpioset 2 with this process, even if this process is killed. Version 1 ends when its stdin is closed.
  const guard = version >= 2 ? await findProgram('setpriv').catch(() => undefined) : undefined;
  let child: ChildProcess | undefined;
  let level: boolean | undefined;
  let closed = false;

  async function start(active: boolean, settleMs: number): Promise<void> {
    const words = [gpioset, ...argumentsOf(version, options, active)];
    const [program = '', ...args] = guard ? [guard, '--pdeathsig', 'TERM', ...words] : words;
    const started = startProgram(program, args, {
      stdio: ['pipe', 'ignore', 'pipe'],
      env: environmentFor({}),
    });
    const said = lastOutput(started.stderr, 500);
    let failure = '';
    started.stdin.on('error', () => {});
    const ended = new Promise<void>((resolve) => {
      started.once('error', (error) => {
        failure = `gpioset could not be started (${systemCode(error) ?? error.message})`;
        resolve();
      });
      started.once('close', () => resolve());
    });
    child = started;
    await Promise.race([ended, delay(settleMs)]);
    if (isRunning(started)) {
      void ended.then(() => {
        if (child === started && !closed) setTimeout(() => void again(started), againMs).unref();
      });
      return;
    }
    await ended;
    child = undefined;
    throw failed(endpoint, said().trim() || failure || 'gpioset exited immediately');
  }

  /** Restarts gpioset after it was ended from outside, because nothing would hold the line otherwise. */
  async function again(gone: ChildProcess): Promise<void> {
    if (closed || child !== gone || level === undefined) return;
    await start(level, claimMs.later).catch(() => {});
  }

  async function stop(): Promise<void> {
    const old = child;
    child = undefined;
    if (old) await stopProgram(old, { graceMs: 2000 });
  }

  return {
    async set(active) {
      if (active === level && child && isRunning(child)) return;
      await stop();
      const settleMs = level === undefined ? claimMs.first : claimMs.later;
      level = active;
      await start(active, settleMs);
    },
    async close() {
      closed = true;
      await stop();
    },
  };
}

/** Arguments of gpioset(1). Version 1.6 waits for a line on stdin or the end of stdin; version 2.2 runs until it is ended. */
function argumentsOf(
  version: number,
  { chip, offset, activeLow }: GpioLineOptions,
  active: boolean,
): string[] {
  const low = activeLow ? ['--active-low'] : [];
  const value = `${offset}=${active ? 1 : 0}`;
  return version >= 2 ? ['--chip', chip, ...low, value] : ['--mode=wait', ...low, chip, value];
}

/** Major version of gpioset, from a line such as `gpioset (libgpiod) v1.6.3`. @throws AIOT_PROGRAM_FAILED */
async function majorVersion(gpioset: string, endpoint: string): Promise<number> {
  const end = await runProgram(gpioset, ['--version'], { timeoutMs: 5000 }).catch((error: Error) => {
    throw failed(endpoint, error.message);
  });
  const { code, endedBy, stdout, stderr } = end;
  if (code !== 0) {
    const [reason] = stderr.trim().split('\n');
    throw failed(endpoint, reason || `gpioset --version exited with ${code ?? endedBy}`);
  }
  const [, major] = /\bv?(\d+)\.\d+/.exec(stdout) ?? [];
  if (major === undefined) throw failed(endpoint, 'gpioset does not report its version');
  return Number(major);
}

function failed(endpoint: string, why: string): AiotError {
  return new AiotError('AIOT_PROGRAM_FAILED', `${endpoint}: ${why}`, {
    endpoint,
    retryable: true,
    next: 'To see which program uses the line, run `gpioinfo`. To use it, your user must be in the group gpio.',
  });
}
