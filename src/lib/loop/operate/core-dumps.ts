import { readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { runProgram } from '../../core/process.js';
import type { CrashPlace, CrashReport } from '../../formats/crash.js';

/** MESSAGE_ID of the journal entries of systemd-coredump(8), from the systemd journal catalog. */
const coreDumpMessage = 'fc2e22bc6ee647b6b90729ab34a250b1';
const fields = ['MESSAGE', 'COREDUMP_SIGNAL_NAME', 'COREDUMP_TIMESTAMP'];

/** A core dump is processed after the process has ended, which takes seconds for a large process. */
const [tries, pauseMs] = [4, 5000];
const journalMs = 10_000;
const mostJournal = 4_000_000;
const mostFrames = 64;

/** The lines of the journal for these arguments; null without a journal, or without the right to read it. */
export type ReadJournal = (args: readonly string[]) => Promise<string | null>;

/** Where core dumps are searched for. */
export interface DumpSource {
  /** Whether the kernel passes core dumps to systemd-coredump. */
  stores(): Promise<boolean>;
  read: ReadJournal;
  /** Waits before the next search. */
  pause(signal: AbortSignal): Promise<void>;
}

const systemDumps: DumpSource = {
  async stores() {
    const pattern = await readFile('/proc/sys/kernel/core_pattern', 'utf8').catch(() => '');
    return pattern.startsWith('|') && pattern.includes('systemd-coredump');
  },
  async read(args) {
    const limits = { timeoutMs: journalMs, mostOutput: mostJournal };
    const end = await runProgram('journalctl', args, limits).catch(() => null);
    return end?.code === 0 ? end.stdout : null;
  },
  pause: (signal) => delay(pauseMs, undefined, { signal }).catch(() => {}),
};

/** A process that ended without any other trace. */
export interface EndedProcess {
  /** Its ID, which other processes may have had before and after. */
  pid: number;
  /** The ID of the machine's boot. */
  boot: string;
  /** A time at which it ran, and a time after its end, ms since 1970. */
  started: number;
  restarted: number;
}

/** The process of a report without a cause; null if it is unknown, or if another trace shows the cause. */
function processOf({
  kind,
  details: { pid, boot, started, restarted } = {},
}: CrashReport): EndedProcess | null {
  const isKnown = typeof pid === 'number' && typeof started === 'number' && typeof restarted === 'number';
  return kind === 'exit' && isKnown && typeof boot === 'string' ? { pid, boot, started, restarted } : null;
}

/**
 * Adds the signal, its time and the native stack to the reports of processes that left no other trace, if systemd stored their core dumps.
 * Each report is yielded once, as soon as its dump is found or no longer expected. Only a crash that this run has found may still be
 * processed by systemd; all such reports wait together, and are not yielded after an abort.
 * @param since start of this run, ms since 1970
 */
export async function* withCoreDumps<Report extends { crash: CrashReport }>(
  reports: readonly Report[],
  signal: AbortSignal,
  { stores, read, pause }: DumpSource = systemDumps,
  since: number = performance.timeOrigin,
): AsyncGenerator<Report> {
  const isStored = reports.some(({ crash }) => processOf(crash)) && (await stores());
  let left = [...reports];
  for (let i = 1; left.length > 0; i++) {
    const waiting: Report[] = [];
    for (const report of left) {
      const ended = isStored ? processOf(report.crash) : null;
      const dump = ended && (await coreDumpOf(ended, read));
      if (dump === null && ended !== null && ended.restarted >= since && i < tries) waiting.push(report);
      else
        yield dump === null || dump === 'unreadable'
          ? report
          : { ...report, crash: { ...report.crash, ...dump } };
    }
    left = waiting;
    if (left.length > 0) await pause(signal);
    if (signal.aborted) return;
  }
}

/**
 * The core dump of a process that systemd-coredump has logged; null if there is none. Only its signal, time and stack are read, because its
 * other fields contain the environment and the command line. Of several dumps with the process's ID, the oldest is its own.
 */
export async function coreDumpOf(
  { pid, boot, started, restarted }: EndedProcess,
  read: ReadJournal,
): Promise<Pick<CrashReport, 't' | 'uptimeMs' | 'kind' | 'reason' | 'backtrace'> | 'unreadable' | null> {
  const text = await read([
    // Without --all, fields of more than 4096 bytes are null.
    ...['--output=json', '--all', '--no-pager', '--quiet', '--lines=20'],
    `--output-fields=${fields.join(',')}`,
    ...[`MESSAGE_ID=${coreDumpMessage}`, `COREDUMP_PID=${pid}`, `_BOOT_ID=${boot.replaceAll('-', '')}`],
  ]);
  if (text === null) return 'unreadable';
  for (const line of text.split('\n')) {
    const entry = entryOf(line);
    const t = Math.floor(Number(entry?.COREDUMP_TIMESTAMP) / 1000);
    if (!entry || !(t >= started && t <= restarted)) continue;
    const name = /^SIG[A-Z0-9+]{1,12}$/.exec(textOf(entry.COREDUMP_SIGNAL_NAME))?.[0] ?? 'a signal';
    const backtrace = framesOf(textOf(entry.MESSAGE));
    return {
      ...{ t, uptimeMs: t - started, kind: name === 'SIGABRT' ? 'abort' : 'exception' },
      reason: `the process was ended by ${name}`,
      ...(backtrace.length > 0 ? { backtrace } : {}),
    };
  }
  return null;
}

function entryOf(line: string): Record<string, unknown> | null {
  try {
    const entry: unknown = JSON.parse(line);
    return typeof entry === 'object' && entry !== null ? { ...entry } : null;
  } catch {
    return null;
  }
}

/** A field of the journal's JSON, which is a list of bytes if it is not printable text. */
function textOf(field: unknown): string {
  if (typeof field === 'string') return field;
  return Array.isArray(field) ? Buffer.from(field as number[]).toString('utf8') : '';
}

const threadLine = /^\s*Stack trace of thread \d+:/;
const frameLine = /^\s*#\d+\s+0x[0-9a-f]{1,16}\s+(\S{1,512})\s+\((\S{1,512}) \+ (0x[0-9a-f]{1,16})\)/;

/**
 * The calls of the thread that crashed, which is the first one: lines such as `#0  0x00007f3b8e0a9a7c abort (libc.so.6 + 0x2a7c)`. A function
 * without a name is named by its place in the file, because its address differs in each run. Compiled JavaScript has neither.
 */
function framesOf(message: string): CrashPlace[] {
  const lines = message.split('\n');
  const first = lines.findIndex((line) => threadLine.test(line));
  const frames: CrashPlace[] = [];
  for (const line of first < 0 ? [] : lines.slice(first + 1)) {
    if (threadLine.test(line) || frames.length === mostFrames) break;
    const [, name = '', file = '', offset = ''] = frameLine.exec(line) ?? [];
    if (file === '' || file === 'n/a') continue;
    frames.push({ function: (name === 'n/a' ? `${file}+${offset}` : name).slice(0, 256), file });
  }
  return frames;
}
