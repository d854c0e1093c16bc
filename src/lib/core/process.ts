import { ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { Readable, Writable } from 'node:stream';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { AiotError } from './errors.js';

/**
 * Node's `spawn` for what can fail at any time: without a free handle Node makes no ways in and out and tells only afterwards, and for
 * other reasons (too long arguments, no memory) it throws. Here a program that could not be started always tells by `error`, then
 * `close`; its ways out have ended, and what is written to it is for nobody.
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
    // A program with a zero byte in its name is the caller's mistake, not the system's.
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
 * Until `letYoungHeapGrow`, the space for new objects stays as large as it is: V8 doubles it, up to two halves of 16 MB, for what is made
 * at once and kept. A program that is loaded is that, and the space it was given is never given back: 10 MB of a process that
 * does little.
 */
export function keepYoungHeapSmall(): void {
  setFlagsFromString('--semi-space-growth-factor=1');
}

/** For what computes: new objects have room to die in, as V8 would have it. */
export function letYoungHeapGrow(): void {
  setFlagsFromString('--semi-space-growth-factor=2');
}

/**
 * For what runs for months on a small board: V8 lets the heap double before it looks at what has outlived the youngest generation;
 * from now on it looks at every fifth more, and the youngest grows no further.
 */
export function keepHeapSmall(): void {
  setFlagsFromString('--heap-growing-percent=20');
  keepYoungHeapSmall();
}

let resident = 0;

/** Memory of this process, bytes; what it was last where it cannot be read now: the system is asked by a file, and may have none left. */
export function residentBytes(): number {
  try {
    resident = process.memoryUsage.rss();
  } catch {
    // EMFILE: no reason to end.
  }
  return resident;
}

/**
 * Gives back now what a beginning needed (a bundle's files, a dataset). Not before much is under way at once: the heap that V8 then
 * allows itself is larger, a bridge's by 15 MB.
 */
export function collectGarbage(): void {
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
}

/**
 * Loads a package with native code, for who needs it now: all else works on systems that it was not built for, and where an installation
 * has left it out.
 * @throws AIOT_NATIVE_PART where it does not load
 */
export async function nativePart<T>(name: string, load: () => Promise<T>): Promise<T> {
  try {
    return await load();
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message.split('\n')[0] : String(cause);
    const system = `${process.platform} on ${process.arch}, Node ${process.versions.node}`;
    throw new AiotError('AIOT_NATIVE_PART', `${name} does not load here (${system}): ${reason}`, { cause });
  }
}

/**
 * Loads now and in the background what is else loaded when it is first of use. For processes that live for months: one that has no
 * file handle left at that moment cannot load it, and Node 20 remembers that for as long as the process lives.
 */
export function preload(...parts: (() => Promise<unknown>)[]): void {
  // One that cannot be loaded says so where it is of use.
  for (const load of parts) load().catch(() => {});
}
