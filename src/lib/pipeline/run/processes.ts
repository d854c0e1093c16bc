import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { systemCode } from '../../core/errors.js';
import { makeFolder } from '../../core/files.js';
import { packageRoot } from '../../core/folders.js';
import { identify, isAlive, type ProcessId, startProgram } from '../../core/process.js';
import { onAbort } from '../../core/tasks.js';
import { systemClock } from '../../core/time.js';

/** Maximum size of a step's log, bytes. */
const logBytes = 16 * 1024 * 1024;

/** Maximum size of a step's JSON result, bytes. */
const resultBytes = 8 * 1024 * 1024;

/** Maximum length of an output line; the rest of a longer one is left out. */
const longestLine = 256 * 1024;

const peakEveryMs = 100;

/**
 * Source of a program's line. `unfinished`: the current content of a line of stderr that has no line feed yet, such as a progress bar; it
 * is repeated when it grows.
 */
export type LineSource = 'stdout' | 'stderr' | 'unfinished';

interface ChildOptions {
  /** Program and arguments; `aiot` means this program. */
  command: readonly string[];
  folder: string;
  /** File to which the program's output (stdout and stderr) is appended. */
  log: string;
  env: NodeJS.ProcessEnv;
  timeoutMs: number | null;
  signal: AbortSignal;
  /** Command that starts this program. */
  self: readonly string[];
  onStart(child: ProcessId): void;
  /** Called with each line that is not empty. */
  onLine(line: string, source: LineSource): void;
}

export interface ChildEnd {
  exit: number | null;
  /** How the process ended: by itself, by a signal, by its timeout, or by an abort. `start` = the process could not be started. */
  ended:
    | { by: 'itself' }
    | { by: 'signal'; signal: string }
    | { by: 'time' }
    | { by: 'abort' }
    | { by: 'start'; code: string };
  stdout: string;
  /** The last line of stderr. */
  last: string;
  peakBytes: number | null;
}

/** The command that starts this program in its current form: the build, or the sources through the development entry point. */
export function selfCommand(): string[] {
  const sources = import.meta.url.endsWith('.ts');
  return [process.execPath, join(packageRoot(), 'bin', sources ? 'dev.js' : 'run.js')];
}

/**
 * The AIOT_ variables that are passed to steps: locations and secrets. Other settings are not passed, because they would change a step's
 * behavior without being recorded. Argo's token is only for Argo's server.
 */
const passed =
  /^AIOT_(?!ARGO)(?:(CONFIG_DIR|DATA_DIR|CACHE_DIR|CONTEXT|PIPELINE)$|.*(PASSPHRASE|SECRET|TOKEN))/;

/** The environment variables of a step. */
export function stepEnvironment(mark: string, more: Record<string, string>): NodeJS.ProcessEnv {
  const own = Object.entries(process.env).filter(([name]) => !name.startsWith('AIOT_') || passed.test(name));
  return { ...Object.fromEntries(own), ...more, [markVariable]: mark, NO_COLOR: '1' };
}

/** Runs a program to completion, as the leader of its own process group. A timeout or an abort ends the whole group. */
export async function runChild(options: ChildOptions): Promise<ChildEnd> {
  const { command, folder, env, timeoutMs, signal, self, onStart, onLine } = options;
  const [program = '', ...args] = command[0] === 'aiot' ? [...self, ...command.slice(1)] : command;
  await makeFolder(dirname(options.log));
  const child = startProgram(program, args, {
    cwd: folder,
    env,
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const closed = once(child, 'close') as Promise<[number | null, NodeJS.Signals | null]>;
  // Checked before the output streams are accessed, because a process that could not be started has no streams.
  if (child.pid === undefined) {
    const code = await closed.then(
      () => 'unknown error',
      (error) => systemCode(error) ?? String(error),
    );
    return { exit: null, ended: { by: 'start', code }, stdout: '', last: '', peakBytes: null };
  }
  const log = boundedLog(options.log);
  let stdout = '';
  let last = '';
  const out = new Lines((line) => onLine(line, 'stdout'));
  const err = new Lines((line) => {
    last = line.slice(0, 500);
    onLine(line, 'stderr');
  });
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    if (stdout.length < resultBytes) stdout += text;
    log.write(text);
    out.add(text);
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    log.write(text);
    err.add(text);
    if (err.unfinished !== '') onLine(err.unfinished, 'unfinished');
  });
  try {
    const own = await identify(child.pid);
    onStart(own);
    let peakBytes: number | null = null;
    const look = async () => {
      peakBytes = Math.max((await peakOf(own.pid)) ?? 0, peakBytes ?? 0) || null;
    };
    const looking = setInterval(() => void look(), peakEveryMs);
    let why: 'time' | 'abort' | null = null;
    const end = (by: 'time' | 'abort') => {
      why ??= by;
      void endGroup(own);
    };
    const timer = timeoutMs === null ? undefined : setTimeout(() => end('time'), timeoutMs);
    const abort = () => end('abort');
    const leave = onAbort(signal, abort);
    // Ends processes that the program leaves behind. Otherwise, `close` would not occur until these processes close their output streams.
    child.once('exit', () => void endGroup(own));
    const [exit, ended] = await closed;
    out.end();
    err.end();
    clearTimeout(timer);
    clearInterval(looking);
    leave();
    const by =
      why === null ? (ended === null ? null : { by: 'signal' as const, signal: ended }) : { by: why };
    return { exit: why === null ? exit : null, ended: by ?? { by: 'itself' }, stdout, last, peakBytes };
  } finally {
    await log.end();
  }
}

/** Divides a program's output into lines. A carriage return overwrites its line, as on a terminal. */
class Lines {
  private rest = '';

  constructor(private readonly onLine: (line: string) => void) {}

  get unfinished(): string {
    return this.rest.trim();
  }

  add(text: string): void {
    const [first = '', ...more] = text.split('\n');
    this.extend(first);
    for (const line of more) {
      this.end();
      this.extend(line);
    }
  }

  /** Ends the current line. */
  end(): void {
    const line = this.unfinished;
    this.rest = '';
    if (line !== '') this.onLine(line);
  }

  private extend(text: string): void {
    const all = this.rest + text;
    // A carriage return at the end may belong to a line feed.
    const from = all.length < 2 ? -1 : all.lastIndexOf('\r', all.length - 2);
    this.rest = all.slice(from + 1).slice(0, longestLine);
  }
}

/** A log that is truncated at `logBytes`, with a note. */
function boundedLog(file: string): { write(text: string): void; end(): Promise<void> } {
  const stream = createWriteStream(file, { flags: 'a' });
  // If the disk is full, the log is incomplete, but the step continues.
  stream.on('error', () => {});
  let left = logBytes;
  return {
    write(text) {
      if (left <= 0) return;
      left -= Buffer.byteLength(text);
      stream.write(left > 0 ? text : '\n[aiot: the log is cut off here]\n');
    },
    end: () => new Promise((resolve) => (stream.destroyed ? resolve() : stream.end(() => resolve()))),
  };
}

/**
 * Environment variable that marks the processes of a project's steps. This variable identifies the processes even after their runner was
 * killed.
 */
const markVariable = 'AIOT_PIPELINE';

/** Time between SIGTERM and SIGKILL, ms. */
const graceMs = 3000;

/** Asks a process and its descendants to end, and kills any that remain. Each step leads its own process group. */
export async function endGroup(child: ProcessId): Promise<void> {
  if (!(await isAlive(child))) return signalGroup(child.pid, 'SIGKILL');
  signalGroup(child.pid, 'SIGTERM');
  for (
    const deadline = performance.now() + graceMs;
    performance.now() < deadline;
    await systemClock.sleep(20)
  ) {
    if (!(await isAlive(child))) break;
  }
  signalGroup(child.pid, 'SIGKILL');
}

function signalGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal);
  } catch {
    // The process has already ended.
  }
}

/**
 * Ends processes of this project that killed runners left behind. Recorded processes are identified by process ID and start time. On
 * Linux, a variable in the environment also reveals processes that were started just before the runner was killed.
 * @returns the number of processes ended
 */
export async function endLeftovers(mark: string, recorded: readonly ProcessId[]): Promise<number> {
  const found = new Map<number, ProcessId>();
  for (const child of recorded) if (await isAlive(child)) found.set(child.pid, child);
  for (const child of await marked(mark)) found.set(child.pid, child);
  await Promise.all([...found.values()].map(endProcess));
  return found.size;
}

async function endProcess(child: ProcessId): Promise<void> {
  await endGroup(child);
  if (await isAlive(child)) process.kill(child.pid, 'SIGKILL');
}

async function marked(mark: string): Promise<ProcessId[]> {
  const wanted = Buffer.from(`${markVariable}=${mark}\0`);
  const found: ProcessId[] = [];
  for (const name of await readdir('/proc').catch(() => [])) {
    const pid = Number(name);
    if (!Number.isInteger(pid) || pid === process.pid) continue;
    // The environment of other users' processes is not readable.
    const environment = await readFile(`/proc/${pid}/environ`).catch(() => null);
    if (environment?.includes(wanted)) found.push(await identify(pid));
  }
  return found;
}

/** Peak memory of a process, bytes; null if it is unknown. */
async function peakOf(pid: number): Promise<number | null> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => null);
  const [, kib] = /^VmHWM:\s*(\d+) kB$/m.exec(status ?? '') ?? [];
  return kib === undefined ? null : Number(kib) * 1024;
}
