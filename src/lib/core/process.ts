import { ChildProcess, type SpawnOptions, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { access, constants, readFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { Readable, Writable } from 'node:stream';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Worker } from 'node:worker_threads';
import { AiotError, systemCode } from './errors.js';
import { onAbort } from './tasks.js';

export type { ChildProcess };

/** Full path of a program, found as execvp(3) finds it. @throws AIOT_PROGRAM_NOT_FOUND */
export async function findProgram(
  name: string,
  { PATH = '' }: Readonly<Record<string, string | undefined>> = process.env,
): Promise<string> {
  const candidates = name.includes('/')
    ? [name]
    : PATH.split(delimiter)
        .filter((folder) => folder !== '')
        .map((folder) => join(folder, name));
  for (const path of candidates) {
    const found = await access(path, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (found) return path;
  }
  throw new AiotError('AIOT_PROGRAM_NOT_FOUND', `the program ${name} was not found or is not executable`, {
    endpoint: name,
  });
}

export interface RunOptions {
  cwd?: string | undefined;
  env?: NodeJS.ProcessEnv;
  /** Whether to run the program through the system's shell. */
  shell?: boolean;
  /** Data for the program's stdin. If absent, the program has no stdin. */
  input?: Uint8Array;
  /** Streams to read; the others are discarded. Default: both streams. */
  reads?: readonly ('stdout' | 'stderr')[];
  /** Maximum number of characters retained from the end of each stream; default a million, 0 = none. */
  mostOutput?: number;
  onOutput?: (text: string, from: 'stdout' | 'stderr') => void;
  timeoutMs?: number;
  signal?: AbortSignal | undefined;
  /** Whether the program leads a process group, so that its descendants are stopped together with the program. */
  group?: boolean;
  /** Time between SIGTERM and SIGKILL, ms; default 5000. */
  graceMs?: number;
  /**
   * How long to wait for output after the program's exit, ms; default 2000. The program's children may keep the streams open
   * forever.
   */
  outputMs?: number;
}

/**
 * Runs a program to its end while this process waits, for callers that cannot be asynchronous. It is killed after `timeoutMs`.
 * @param mostOutput maximum bytes of stdout and of stderr
 */
export function runProgramNow(
  program: string,
  args: readonly string[],
  { input, mostOutput, timeoutMs }: { input: Uint8Array; mostOutput: number; timeoutMs: number },
): { code: number | null; stdout: Uint8Array; stderr: string; error: Error | undefined } {
  const { status, stdout, stderr, error } = spawnSync(program, [...args], {
    ...{ input, maxBuffer: mostOutput, timeout: timeoutMs, killSignal: 'SIGKILL' },
  });
  return { code: status, stdout: stdout ?? new Uint8Array(0), stderr: String(stderr ?? ''), error };
}

/** Why a program did not answer. */
export interface FailedProgram {
  code: number | null;
  stderr: string;
  /** The reason and the system's error code, if the program could not be started or was too slow. */
  reason?: string | undefined;
  system?: string | undefined;
}

/** A running program that answers requests. */
export interface AnsweringProgram {
  /** Sends bytes, and waits for an answer of this many bytes. After a failure, close the program. */
  ask(
    request: Uint8Array,
    expected: number,
    timeoutMs: number,
  ): { answer: Uint8Array<ArrayBuffer> } | { ending: FailedProgram };
  /** Closes the program's stdin, and kills the program and its children if they have not ended after a while. */
  close(): void;
}

/** Characters of a program's messages that are kept, and bytes that the longest description of a failure needs. */
const messageChars = 1000;
const failureBytes = 8192;

/** Time between the end of the program's stdin and SIGKILL, ms. */
const answeringGraceMs = 2000;

/**
 * Program of the thread that exchanges bytes with a program while the caller waits. `shared` is the state (0 = busy, 1 = done, 2 = failed),
 * the length of a message, the ID of the running program (0 = none), and the bytes themselves. The program has its own process group,
 * so that Ctrl-C ends it only through its stdin. The thread ends after `close`, once the program has ended.
 */
const relay = `
  const { spawn } = require('node:child_process');
  const { parentPort, workerData } = require('node:worker_threads');
  const { program, args, shared, graceMs } = workerData;
  const state = new Int32Array(shared, 0, 3);
  const bytes = new Uint8Array(shared, 12);
  let expected = 0;
  let got = 0;
  let stderr = '';
  let over = null;
  let child = null;
  let timer = null;
  let closing = false;
  const answer = (how, length) => {
    expected = 0;
    Atomics.store(state, 1, length);
    Atomics.store(state, 0, how);
    Atomics.notify(state, 0);
  };
  const report = () => {
    const { written } = new TextEncoder().encodeInto(JSON.stringify(over), bytes);
    answer(2, written);
  };
  const end = (ending) => {
    over ??= { stderr, ...ending };
    if (expected > 0) report();
  };
  const failed = ({ code, message }) => end({ code: null, reason: String(message).slice(0, 300), system: code });
  const kill = () => {
    try {
      process.kill(process.platform === 'win32' ? child.pid : -child.pid, 'SIGKILL');
    } catch {}
  };
  const gone = () => {
    clearTimeout(timer);
    child = null;
    if (closing) parentPort.close();
  };
  const start = () => {
    child = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'], detached: process.platform !== 'win32', windowsHide: true });
    Atomics.store(state, 2, child.pid ?? 0);
    child.on('error', failed);
    child.on('exit', () => Atomics.store(state, 2, 0));
    child.on('close', (code) => {
      end({ code });
      gone();
    });
    child.stdin?.on('error', () => {});
    child.stderr?.setEncoding('utf8').on('data', (text) => { stderr = (stderr + text).slice(-${messageChars}); });
    child.stdout?.on('data', (part) => {
      if (expected === 0) return;
      bytes.set(part.subarray(0, expected - got), got);
      got += part.length;
      if (got >= expected) answer(1, expected);
    });
  };
  process.on('uncaughtException', failed);
  parentPort.on('message', ({ request, length }) => {
    if (request === null) {
      closing = true;
      if (child === null) return parentPort.close();
      child.stdin?.end();
      timer = setTimeout(kill, graceMs);
      return;
    }
    expected = length;
    got = 0;
    if (over) report();
    else child.stdin?.write(request);
  });
  try {
    start();
  } catch (error) {
    failed(error);
  }
`;

/**
 * Starts a program that answers requests while this process waits, for callers that cannot be asynchronous. The program must end at the
 * end of its stdin. If this process exits earlier, the program is killed.
 * @param largest bytes of the largest answer
 * @param graceMs time between the end of its stdin and SIGKILL, after `close`
 */
export function startAnswering(
  program: string,
  args: readonly string[],
  largest: number,
  graceMs = answeringGraceMs,
): AnsweringProgram {
  const shared = new SharedArrayBuffer(12 + Math.max(largest, failureBytes));
  const state = new Int32Array(shared, 0, 3);
  const bytes = new Uint8Array(shared, 12);
  const thread = withYoungHeapKept(
    new Worker(relay, { eval: true, workerData: { program, args: [...args], shared, graceMs } }),
  );
  thread.unref();
  let broken: string | null = null;
  const kill = () => {
    const pid = Atomics.load(state, 2);
    if (pid > 0) killGroup(pid);
  };
  process.on('exit', kill);
  thread.on('error', ({ message }) => {
    broken = message;
    kill();
  });
  thread.on('exit', () => {
    broken ??= 'the program was closed';
    process.off('exit', kill);
  });
  return {
    ask(request, expected, timeoutMs) {
      if (broken !== null) return { ending: { code: null, stderr: '', reason: broken } };
      Atomics.store(state, 0, 0);
      thread.postMessage({ request, length: expected });
      if (Atomics.wait(state, 0, 0, timeoutMs) === 'timed-out')
        return { ending: { code: null, stderr: '', reason: `no answer within ${timeoutMs} ms` } };
      const answer = Uint8Array.from(bytes.subarray(0, state[1]!));
      if (state[0] === 1) return { answer };
      return { ending: JSON.parse(Buffer.from(answer).toString('utf8')) as FailedProgram };
    },
    close() {
      broken ??= 'the program was closed';
      thread.postMessage({ request: null });
    },
  };
}

/** Kills a program that leads a process group, and its children. */
function killGroup(pid: number): void {
  try {
    process.kill(process.platform === 'win32' ? pid : -pid, 'SIGKILL');
  } catch {
    // It has already ended.
  }
}

export interface ProgramEnd {
  /** Exit code; null if a signal ended the program. */
  code: number | null;
  endedBy: NodeJS.Signals | null;
  /** Whether the program did not end within `timeoutMs` and was terminated. */
  timedOut: boolean;
  /**
   * Whether `signal` was aborted while the program ran, so that the program was asked to end. The program may nevertheless have
   * exited with its own code.
   */
  aborted: boolean;
  stdout: string;
  stderr: string;
}

/**
 * Runs a program until it ends. The caller evaluates the exit code. At the timeout, or when `signal` is aborted, the program is terminated
 * and its end is awaited.
 * @throws the system's error if it cannot be started; the signal's reason once an aborted program has ended
 */
export async function runProgram(
  program: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<ProgramEnd> {
  const end = await endOfProgram(program, args, options);
  if (end.aborted) options.signal?.throwIfAborted();
  return end;
}

/**
 * Like `runProgram`, but returns the exit of an aborted program too, for callers that need its exit code.
 * @throws the system's error if it cannot be started; the signal's reason if it is aborted already
 */
export async function endOfProgram(
  program: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<ProgramEnd> {
  const { cwd, env, shell, input, timeoutMs, signal, onOutput } = options;
  const { reads = ['stdout', 'stderr'], mostOutput = 1_000_000, group = false, outputMs = 2000 } = options;
  signal?.throwIfAborted();
  const pipeIf = (wanted: boolean) => (wanted ? 'pipe' : 'ignore');
  const child: ChildProcess = startProgram(program, args, {
    cwd,
    env,
    shell,
    detached: group && process.platform !== 'win32',
    stdio: [pipeIf(input !== undefined), pipeIf(reads.includes('stdout')), pipeIf(reads.includes('stderr'))],
  });
  const output = { stdout: '', stderr: '' };
  for (const from of reads) {
    child[from]?.setEncoding('utf8').on('data', (text: string) => {
      if (mostOutput > 0) output[from] = (output[from] + text).slice(-mostOutput);
      onOutput?.(text, from);
    });
  }
  // Writing may fail, because a program need not read its input.
  child.stdin?.on('error', () => {}).end(input);
  let timedOut = false;
  let aborted = false;
  const timer =
    timeoutMs === undefined
      ? undefined
      : setTimeout(() => {
          timedOut = true;
          void stopProgram(child, options);
        }, timeoutMs);
  const leave = onAbort(signal, () => {
    aborted = true;
    void stopProgram(child, options);
  });
  const stopWatching = () => {
    clearTimeout(timer);
    leave();
  };
  let late: NodeJS.Timeout | undefined;
  child.once('exit', () => {
    // The program has ended on its own. It must not be stopped, or count as timed out, while its last output is awaited.
    stopWatching();
    late = setTimeout(() => {
      child.stdout?.destroy();
      child.stderr?.destroy();
    }, outputMs);
  });
  try {
    const [code, endedBy] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null];
    return { code, endedBy, timedOut, aborted, ...output };
  } finally {
    stopWatching();
    clearTimeout(late);
  }
}

/** Asks a program to end, kills it after `graceMs`, and resolves once it has ended. Resolves immediately if it is not running. */
export async function stopProgram(
  child: ChildProcess,
  { group = false, graceMs = 5000 }: Pick<RunOptions, 'group' | 'graceMs'> = {},
): Promise<void> {
  if (!isRunning(child)) return;
  const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  signalProgram(child, 'SIGTERM', group);
  const timer = setTimeout(() => signalProgram(child, 'SIGKILL', group), graceMs);
  await gone;
  clearTimeout(timer);
}

export function isRunning(child: ChildProcess): boolean {
  return child.pid !== undefined && child.exitCode === null && child.signalCode === null;
}

function signalProgram(child: ChildProcess, signal: NodeJS.Signals, group: boolean): void {
  if (!group || process.platform === 'win32') child.kill(signal);
  else {
    try {
      process.kill(-child.pid!, signal);
    } catch {
      // The process group has already ended.
    }
  }
}

/** Collects text that a running program prints, and returns its last `most` characters. */
export function lastOutput(output: Readable, most: number): () => string {
  let text = '';
  output.setEncoding('utf8').on('data', (more: string) => {
    text = (text + more).slice(-most);
  });
  return () => text;
}

/**
 * Node's `spawn`, but failures to start are always reported as events. Without a free file handle, Node creates no stdio streams and
 * reports the failure only later; after other failures (arguments too long, no memory), Node throws. With this function, a program that
 * could not be started always emits `error`, then `close`. Its output streams end, and its input is discarded.
 */
export const startProgram = ((program: string, args: readonly string[], options: SpawnOptions) => {
  const child = started(program, args, options);
  if (child.pid !== undefined) return child;
  const { stdio = 'pipe' } = options;
  const asked = (at: number) => (typeof stdio === 'string' ? stdio : stdio[at]) === 'pipe';
  child.stdin ??= asked(0) ? new Writable().destroy() : null;
  child.stdout ??= asked(1) ? Readable.from([]) : null;
  child.stderr ??= asked(2) ? Readable.from([]) : null;
  return child;
}) as typeof spawn;

function started(program: string, args: readonly string[], options: SpawnOptions): ChildProcess {
  try {
    return spawn(program, args, options);
  } catch (error) {
    // A NUL byte in the program's name is the caller's mistake, not the system's.
    if ((error as NodeJS.ErrnoException).syscall === undefined) throw error;
    const child = new ChildProcess();
    process.nextTick(() => {
      child.emit('error', error);
      child.emit('close', null, null);
    });
    return child;
  }
}

/**
 * Keeps V8's space for new objects at its present size until `letYoungHeapGrow` is called. V8 doubles that space, up to two halves of 16
 * MB, if many objects are created at once and retained, as happens while a program loads. V8 never releases it, which wastes 10 MB in a
 * process that does little.
 */
export function keepYoungHeapSmall(): void {
  youngHeapGrows = false;
  setFlagsFromString('--semi-space-growth-factor=1');
}

/** Lets the space for new objects grow to V8's default size, for computations that create many short-lived objects. */
export function letYoungHeapGrow(): void {
  youngHeapGrows = true;
  setFlagsFromString('--semi-space-growth-factor=2');
}

let youngHeapGrows = true;

/**
 * Applies `keepYoungHeapSmall` again when a new thread runs. V8 has one growth factor for all threads of a process, and Node 20
 * resets that factor to 2 for each new thread (Heap::ConfigureHeap).
 */
export function withYoungHeapKept(thread: Worker): Worker {
  return thread.once('online', () => {
    if (!youngHeapGrows) keepYoungHeapSmall();
  });
}

/**
 * Keeps the heap small in processes that run for months. By default, the heap at least doubles before V8 collects the old
 * generation. After this call, V8 collects whenever the heap has grown by `growthPercent`, and the young generation grows no
 * further.
 */
export function keepHeapSmall(growthPercent = 20): void {
  setFlagsFromString(`--heap-growing-percent=${growthPercent}`);
  keepYoungHeapSmall();
}

/** Restores V8's usual heap growth after `keepHeapSmall`. */
function letHeapGrow(): void {
  setFlagsFromString('--heap-growing-percent=0');
  letYoungHeapGrow();
}

const lookMs = 200;

/**
 * Messages per second at or above which the heap may grow. After the rate falls, the heap may still grow for `quietMs`, because traffic
 * usually resumes soon.
 */
const busyRate = 500;
const quietMs = 10 * 60_000;

/** How much the heap may grow before it is collected while few messages arrive, in percent. */
const quietGrowth = 50;

/**
 * Adapts V8's heap to the traffic of a process that runs for months. Objects that belong to connections live for days; with a small heap
 * that is collected often, little garbage accumulates alongside them. Objects that belong to messages live for milliseconds; with a large
 * young generation, most of them die there instead of being copied. After the start, and when the traffic has ended, the remaining garbage
 * is collected, because an idle heap would otherwise never shrink.
 * @param received number of messages received so far; other work counts as messages
 * @returns a function that stops the adaptation
 */
export function fitHeap(received: () => number): () => void {
  let before = received();
  let lookedAt = performance.now();
  let traffic: 'unknown' | 'busy' | 'quiet' = 'unknown';
  let busyAt = 0;
  const look = () => {
    // Timers fire late on a busy machine, so dividing the count by the nominal interval would overstate the rate.
    const now = performance.now();
    const rate = ((received() - before) * 1000) / Math.max(now - lookedAt, 1);
    before = received();
    lookedAt = now;
    if (rate >= busyRate) {
      busyAt = now;
      if (traffic !== 'busy') letHeapGrow();
      traffic = 'busy';
      return;
    }
    if (traffic === 'quiet' || (traffic === 'busy' && now - busyAt < quietMs)) return;
    traffic = 'quiet';
    keepHeapSmall(quietGrowth);
    collectGarbage();
  };
  const timer = setInterval(look, lookMs);
  timer.unref();
  return () => clearInterval(timer);
}

let resident = 0;

/** Resident memory of this process, bytes. Reading it needs a file handle; if none is free, the result is the last known value. */
export function residentBytes(): number {
  try {
    resident = process.memoryUsage.rss();
  } catch {
    // The last value is used, because EMFILE must not end the process.
  }
  return resident;
}

/**
 * Returns memory that was needed only at startup (a bundle's files, a dataset) to the system. Do not call this just before many
 * concurrent operations: V8 would then allow itself a larger heap, 15 MB more for a bridge.
 */
export function collectGarbage(): void {
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
}

/**
 * Loads a package with native code on first use. Everything else works on systems for which the package was not built, and in
 * installations without it.
 * @throws AIOT_NATIVE_PART if it does not load
 */
export async function nativePart<T>(name: string, load: () => Promise<T>): Promise<T> {
  try {
    return await load();
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message.split('\n')[0] : String(cause);
    const system = `${process.platform} on ${process.arch}, Node ${process.versions.node}`;
    throw new AiotError('AIOT_NATIVE_PART', `${name} does not load on this system (${system}): ${reason}`, {
      cause,
    });
  }
}

/**
 * Loads, in the background, modules that would otherwise be loaded on first use. This is for processes that run for months. A
 * process without a free file handle cannot load them, and Node 20 remembers the failure for the life of the process.
 */
export function preload(...parts: (() => Promise<unknown>)[]): void {
  // A module that cannot be loaded reports the error on first use.
  for (const load of parts) load().catch(() => {});
}

/** Identity of a process. The process ID alone is not unique, because IDs are reused. */
export interface ProcessId {
  pid: number;
  /** Start time in the system's own unit; null if the system does not provide it. */
  start: string | null;
}

/** Identifies a process by its ID and start time, because a later process may get the same ID. */
export async function identify(pid: number): Promise<ProcessId> {
  return { pid, start: await startOf(pid) };
}

/** Start time of a process, in clock ticks since boot (proc(5), stat, field 22); null without /proc, or without such a process. */
async function startOf(pid: number): Promise<string | null> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => null);
  // The name in parentheses may itself contain spaces and parentheses.
  return text === null ? null : (text.slice(text.lastIndexOf(')') + 2).split(' ')[19] ?? null);
}

/** Whether this process is still running. A later process with the same ID does not count. */
export async function isAlive({ pid, start }: ProcessId): Promise<boolean> {
  if (!isThere(pid)) return false;
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => null);
  if (text === null || start === null) return true;
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  // A zombie is not alive.
  return fields[19] === start && fields[0] !== 'Z';
}

function isThere(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // Signaling another user's process is not permitted.
    return systemCode(error) === 'EPERM';
  }
}
