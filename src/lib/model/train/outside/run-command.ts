import type { ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { AiotError, onAbort, startProgram, systemCode } from '../../../core/index.js';

/** How long a program may take to end after it was asked to, ms. */
const graceMs = 5000;
/** How long its output is waited for after it has ended: what it has started may keep the output open for ever, ms. */
const outputMs = 2000;
/** Lines of its output that are told when it fails. */
const lastLines = 6;

/**
 * Runs a training program to its end. When `signal` is aborted it is ended, with all that it started.
 * @param onLine each line that it prints
 * @throws AIOT_TRAINING_COMMAND with its last lines; what `signal` was aborted with
 */
export async function runCommand(
  [program = '', ...args]: string[],
  { folder, onLine, signal }: { folder: string; onLine?: (line: string) => void; signal?: AbortSignal },
): Promise<void> {
  // A group of its own: what it starts in turn can be ended with it.
  const child = startProgram(program, args, {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: process.platform !== 'win32',
  });
  const last: string[] = [];
  const take = (line: string) => {
    if (line.trim() === '') return;
    last.push(line);
    if (last.length > lastLines) last.shift();
    onLine?.(line);
  };
  for (const stream of [child.stdout, child.stderr]) createInterface({ input: stream }).on('line', take);
  let timer: NodeJS.Timeout | undefined;
  const stop = () => {
    end(child, 'SIGTERM');
    timer = setTimeout(() => end(child, 'SIGKILL'), graceMs);
  };
  const leave = onAbort(signal, stop);
  try {
    const { code, by } = await ended(child, program);
    signal?.throwIfAborted();
    if (code !== 0) throw failed(program, by ? `was ended by ${by}` : `ended with code ${code}`, last);
  } finally {
    clearTimeout(timer);
    leave();
  }
}

function ended(child: ChildProcess, program: string): Promise<{ code: number | null; by: string | null }> {
  return new Promise((resolve, reject) => {
    child.on('error', (error) => {
      reject(failed(program, `could not be started (${systemCode(error) ?? error.message})`, [], error));
    });
    let timer: NodeJS.Timeout | undefined;
    child.on('exit', (code, by) => {
      timer = setTimeout(() => {
        child.stdout?.destroy();
        child.stderr?.destroy();
        resolve({ code, by });
      }, outputMs);
    });
    // `close` comes after the last of its output.
    child.on('close', (code, by) => {
      clearTimeout(timer);
      resolve({ code, by });
    });
  });
}

function end({ pid }: ChildProcess, signal: NodeJS.Signals): void {
  if (pid === undefined) return;
  try {
    process.kill(process.platform === 'win32' ? pid : -pid, signal);
  } catch (error) {
    // It has ended by itself meanwhile.
    if (systemCode(error) !== 'ESRCH') throw error;
  }
}

function failed(program: string, how: string, lines: string[], cause?: unknown): AiotError {
  const said = lines.length > 0 ? `; its last lines:\n${lines.map((line) => `  ${line}`).join('\n')}` : '';
  return new AiotError('AIOT_TRAINING_COMMAND', `the training program ${program} ${how}${said}`, { cause });
}
