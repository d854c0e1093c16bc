import type { ChildProcessByStdio } from 'node:child_process';
import { once } from 'node:events';
import type { Readable } from 'node:stream';
import { AiotError, startProgram, systemCode } from '../../core/index.js';

/** A program that gives bytes until it ends. */
export interface Recorder {
  /** The next bytes; undefined at its end. Ends it where it gives none for `stallMs`. @throws AIOT_SENSOR_TOOL */
  next(): Promise<Buffer | undefined>;
  /** What it last said, and its exit code. */
  ended(): Promise<{ code: number | null; said: string }>;
  /** Ends it; resolves when it has. */
  stop(): Promise<void>;
}

/** Of what it says, as much is kept. */
const mostSaid = 2_000;
const killAfterMs = 1_000;

/** @param onOverrun its buffer ran over */
export function startRecorder(
  program: string,
  args: readonly string[],
  { stallMs, onOverrun }: { stallMs: number; onOverrun: () => void },
): Recorder {
  // Its messages in English, for overruns are to be counted.
  const child = startProgram(program, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, LC_ALL: 'C' },
  });
  let said = '';
  let failure: unknown;
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(-mostSaid);
    for (const _ of text.matchAll(/overrun!!!/g)) onOverrun();
  });
  const ended = new Promise<number | null>((resolve) => {
    child.once('close', (code) => resolve(code));
    child.once('error', (error) => {
      failure = error;
      resolve(null);
    });
  });
  const chunks = child.stdout[Symbol.asyncIterator]();
  return {
    async next() {
      const stalled = setTimeout(() => end(child), stallMs);
      const chunk = await chunks.next().catch(() => ({ done: true as const, value: undefined }));
      clearTimeout(stalled);
      if (!chunk.done) return chunk.value as Buffer;
      await ended;
      if (failure !== undefined) throw notStarted(program, failure);
      return undefined;
    },
    async ended() {
      return { code: await ended, said: said.trim() };
    },
    async stop() {
      end(child);
      child.stdout.destroy();
      await ended;
    },
  };
}

function end(child: ChildProcessByStdio<null, Readable, Readable>): void {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  child.kill('SIGTERM');
  const late = setTimeout(() => child.kill('SIGKILL'), killAfterMs);
  once(child, 'exit').then(
    () => clearTimeout(late),
    () => clearTimeout(late),
  );
}

function notStarted(program: string, cause: unknown): AiotError {
  const missing = systemCode(cause) === 'ENOENT';
  const what = missing
    ? 'is not installed here, or not on the PATH'
    : `does not start (${systemCode(cause)})`;
  return new AiotError('AIOT_SENSOR_TOOL', `${program} ${what}`, { endpoint: program, cause });
}
