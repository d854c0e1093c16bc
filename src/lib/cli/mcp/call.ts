import { once } from 'node:events';
import { join } from 'node:path';
import { onAbort, startProgram, systemCode } from '../../core/index.js';
import { withheld } from './classes.js';
import type { Callable } from './tools.js';

/** Of one answer, bytes: what a model can still read. */
export const mostBytes = 262_144;
/** From SIGTERM to SIGKILL, ms. */
const graceMs = 3000;

export interface CallOptions {
  /** Of the package. */
  root: string;
  folder: string;
  timeoutMs: number;
  signal: AbortSignal;
}

/** What came of a call: the result of `--json` and its exit code, or a sentence about why there is none. */
export type Called = { exit: number; result: unknown } | { failed: string };

/** Runs a command line in a process of its own, in a group of its own, without a shell and without anything to read. */
export async function runCommand(
  argv: readonly string[],
  { kind, command }: Callable,
  { root, folder, timeoutMs, signal }: CallOptions,
): Promise<Called> {
  const env = { ...process.env };
  // A variable must not give what the arguments may not.
  if (kind === 'read') for (const name of withheld) delete env[command.flags[name]?.env ?? ''];
  const child = startProgram(process.execPath, [join(root, 'bin/run.js'), ...argv], {
    ...{ cwd: folder, env, detached: true, stdio: ['ignore', 'pipe', 'ignore'] },
  });
  const kill = (name: NodeJS.Signals) => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, name);
    } catch {
      // It has ended by itself.
    }
  };
  const hard: NodeJS.Timeout[] = [];
  const stop = () => {
    kill('SIGTERM');
    hard.push(setTimeout(kill, graceMs, 'SIGKILL'));
  };
  let over: 'time' | 'size' | undefined;
  const timer = setTimeout(() => {
    over = 'time';
    stop();
  }, timeoutMs);
  const leave = onAbort(signal, stop);
  const parts: Buffer[] = [];
  let bytes = 0;
  child.stdout?.on('data', (part: Buffer) => {
    bytes += part.length;
    if (bytes <= mostBytes) parts.push(part);
    else if (over === undefined) {
      over = 'size';
      stop();
    }
  });
  const code = await once(child, 'close').then(
    ([exit]) => exit as number | null,
    (error: unknown) => ({ failed: `it could not be started (${systemCode(error) ?? String(error)})` }),
  );
  clearTimeout(timer);
  for (const timer of hard) clearTimeout(timer);
  leave();
  if (typeof code === 'object' && code !== null) return code;
  if (over === 'time')
    return { failed: `not done within ${timeoutMs / 1000} s, and ended (aiot mcp --timeout)` };
  if (over === 'size')
    return {
      failed: `the answer is longer than ${mostBytes} bytes: ask for less, by limit and after, or a selector`,
    };
  return answerOf(Buffer.concat(parts).toString('utf8'), code);
}

function answerOf(text: string, code: number | null): Called {
  const line = text.trimEnd().split('\n').at(-1) ?? '';
  try {
    const result = JSON.parse(line) as unknown;
    if (typeof result === 'object' && result !== null && 'error' in result && code !== 0)
      return { failed: line };
    return { exit: code ?? 1, result };
  } catch {
    return { failed: `it ended with ${code ?? 'a signal'}, and without a result` };
  }
}
