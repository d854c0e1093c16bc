import { createInterface } from 'node:readline';
import type { z } from 'zod';
import { AiotError, systemCode } from '../../core/errors.js';
import { lastOutput, startProgram, stopProgram } from '../../core/process.js';
import { parsedJson } from '../../core/text.js';

/** Maximum time for a clean exit before the device is killed, ms. */
const goodbyeMs = 5000;

/** A running native device: a separate process that ends with this one. */
export interface NativeProcess {
  readonly pid: number;
  /**
   * Writes an input line (firmware/hal/host/feed.h). Resolves when the device can accept more.
   * @throws AIOT_PROGRAM_FAILED once the device has ended
   */
  write(line: object): Promise<void>;
  /**
   * Closes the device's input. The device exits after processing all of it.
   * @throws AIOT_PROGRAM_FAILED if the device failed
   */
  end(): Promise<void>;
  /** Asks the device to exit, and kills it if it has not exited after `goodbyeMs`. */
  stop(): Promise<void>;
  /** Simulates a power cut. */
  kill(): Promise<void>;
  /** Settles when the process has ended: with null, or with the reason for an unexpected end. */
  readonly ended: Promise<AiotError | null>;
}

export interface NativeProcessOptions<E> {
  program: string;
  /** Folder of the identity, which also contains the flash. */
  folder: string;
  arguments?: string[];
  /** Schema of an output line. */
  schema: z.ZodType<E>;
  onEvent: (event: E) => void;
}

/** Starts the program, which boots and connects on its own, and reports its progress as events. */
export function startNative<E>(options: NativeProcessOptions<E>): NativeProcess {
  const { program, folder, schema, onEvent } = options;
  const child = startProgram(program, [folder, ...(options.arguments ?? [])], {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { ...process.env, AIOT_DEVICE_SLOT: undefined },
  });
  const said = lastOutput(child.stderr, 2000);
  let asked = false;
  createInterface({ input: child.stdout }).on('line', (line) => {
    const event = eventOf(line, schema);
    if (event !== null) onEvent(event);
  });
  // Writers get the error from `ended`.
  child.stdin.on('error', () => {});
  const ended = new Promise<AiotError | null>((resolve) => {
    child.on('error', (error) => resolve(failed(`${program}: ${systemCode(error) ?? error.message}`, error)));
    child.on('close', (code, signal) => {
      if (asked || code === 0) return resolve(null);
      const last = said().trim().split('\n').at(-1);
      resolve(failed(last || `${program} exited with ${signal ?? `code ${code}`}`));
    });
  });
  return {
    pid: child.pid ?? 0,
    ended,
    async write(line) {
      if (child.stdin.write(`${JSON.stringify(line)}\n`)) return;
      await Promise.race([
        new Promise((resolve) => child.stdin.once('drain', resolve)),
        ended.then((error) => {
          throw error ?? failed('the device stopped');
        }),
      ]);
    },
    async end() {
      child.stdin.end();
      const error = await ended;
      if (error) throw error;
    },
    async stop() {
      asked = true;
      await stopProgram(child, { graceMs: goodbyeMs });
      await ended;
    },
    async kill() {
      asked = true;
      child.kill('SIGKILL');
      await ended;
    },
  };
}

/** Parses an event. Returns null for any other line, which a library may have printed. */
function eventOf<E>(line: string, schema: z.ZodType<E>): E | null {
  return schema.safeParse(parsedJson(line)).data ?? null;
}

function failed(message: string, cause?: unknown): AiotError {
  return new AiotError('AIOT_PROGRAM_FAILED', message, { cause });
}
