import type { ChildProcessByStdio } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import type { z } from 'zod';
import { AiotError, systemCode } from '../../core/errors.js';
import { startProgram } from '../../core/process.js';

/** How long a device may take to say goodbye before it is killed, ms. */
const goodbyeMs = 5000;

/** A native device that runs: a process of its own, which ends when this one does. */
export interface NativeProcess {
  readonly pid: number;
  /** A line of its input (firmware/hal/host/feed.h): resolves when the device has room for more. @throws AIOT_PROGRAM_FAILED once it has ended */
  write(line: object): Promise<void>;
  /** Ends its input, whereby it ends once it has done all of it. @throws AIOT_PROGRAM_FAILED where it failed */
  end(): Promise<void>;
  /** Ends it, kindly at first. */
  stop(): Promise<void>;
  /** As a power cut. */
  kill(): Promise<void>;
  /** Settles when it has ended: null, or why it ended by itself. */
  readonly ended: Promise<AiotError | null>;
}

export interface NativeProcessOptions<E> {
  program: string;
  /** Folder of the identity; the flash is kept there, too. */
  folder: string;
  arguments?: string[];
  /** Of a line that it prints. */
  schema: z.ZodType<E>;
  onEvent: (event: E) => void;
}

/** Starts the program. It boots and connects by itself, and tells of it by events. */
export function startNative<E>(options: NativeProcessOptions<E>): NativeProcess {
  const { program, folder, schema, onEvent } = options;
  const child: ChildProcessByStdio<Writable, Readable, Readable> = startProgram(
    program,
    [folder, ...(options.arguments ?? [])],
    { stdio: ['pipe', 'pipe', 'pipe'], env: { ...process.env, AIOT_DEVICE_SLOT: undefined } },
  );
  let said = '';
  let asked = false;
  child.stderr.on('data', (chunk: Buffer) => {
    said = (said + chunk.toString('utf8')).slice(-2000);
  });
  createInterface({ input: child.stdout }).on('line', (line) => {
    const event = eventOf(line, schema);
    if (event !== null) onEvent(event);
  });
  // Who writes hears of it by `ended`.
  child.stdin.on('error', () => {});
  const ended = new Promise<AiotError | null>((resolve) => {
    child.on('error', (error) => resolve(failed(`${program}: ${systemCode(error) ?? error.message}`, error)));
    child.on('close', (code, signal) => {
      if (asked || code === 0) return resolve(null);
      const last = said.trim().split('\n').at(-1);
      resolve(failed(last || `${program} ended with ${signal ?? `code ${code}`}`));
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
          throw error ?? failed('the device has ended');
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
      child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), goodbyeMs);
      await ended;
      clearTimeout(timer);
    },
    async kill() {
      asked = true;
      child.kill('SIGKILL');
      await ended;
    },
  };
}

/** A line that is none of ours may be a library's: it is left out. */
function eventOf<E>(line: string, schema: z.ZodType<E>): E | null {
  try {
    return schema.parse(JSON.parse(line));
  } catch {
    return null;
  }
}

function failed(message: string, cause?: unknown): AiotError {
  return new AiotError('AIOT_PROGRAM_FAILED', message, { cause });
}
