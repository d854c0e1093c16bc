import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';

export interface ProgramResult {
  code: number | null;
  stdout: string;
  stderr: string;
  /** Seconds from start to exit. */
  seconds: number;
}

export interface ProgramOptions {
  env?: Record<string, string>;
  cwd?: string;
  /** Time after which the program is killed. */
  timeoutMs?: number;
}

/** Runs a program to completion without blocking this process, which may be serving the chip that the program uses. */
export async function runProgram(
  program: string,
  args: readonly string[],
  { env = {}, cwd, timeoutMs = 60_000 }: ProgramOptions = {},
): Promise<ProgramResult> {
  const start = Date.now();
  const child = spawn(program, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
    ...(cwd === undefined ? {} : { cwd }),
  });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const timer = setTimeout(() => child.kill('SIGKILL'), timeoutMs);
  try {
    const [code] = (await once(child, 'close')) as [number | null];
    return { code, stdout, stderr, seconds: (Date.now() - start) / 1000 };
  } finally {
    clearTimeout(timer);
  }
}

/** Describes a failed program's output for the message of a failing test. */
export function told(name: string, args: readonly string[], result: ProgramResult): string {
  const output = `${result.stdout}\n${result.stderr}`.trim().slice(-3000);
  return `${name} ${args.join(' ')} ended with ${result.code}:\n${output}`;
}

/** Ends a program that was started here, and waits for its exit. */
export async function endProgram(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill();
  const timer = setTimeout(() => child.kill('SIGKILL'), 2000);
  await exited;
  clearTimeout(timer);
}
