import { ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { Readable, Writable } from 'node:stream';

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
