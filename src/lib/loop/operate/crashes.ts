import { randomUUID } from 'node:crypto';
import { readFileSync, unlinkSync, writeFileSync } from 'node:fs';
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import * as z from 'zod';
import { AiotError } from '../../core/errors.js';
import { makeFolder, readJson, writeJsonAtomic } from '../../core/files.js';
import { aiotVersion } from '../../core/folders.js';
import { backOffMs, withJitter } from '../../core/time.js';
import { type CrashReport, crashSchema, placesOfStack } from '../../formats/crash.js';
import { type DumpSource, withCoreDumps } from './core-dumps.js';

/** Exists while the loop runs. If it exists at the start, the last run ended without being stopped. */
const markerName = 'running.json';
/** Written by Node.js on fatal errors, such as a full heap. */
const nodeReportName = 'node-report.json';
const crashName = /^crash-[0-9a-f-]{36}\.json$/;

/** Maximum number of reports that wait to be sent; the oldest are deleted. */
const mostWaiting = 20;
const logLines = 32;
/** Ctrl-C, a service manager, and a closed terminal. */
const stopSignals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
const [firstPauseMs, longestPauseMs] = [30_000, 15 * 60_000];

const markerSchema = z.object({
  ...{ id: z.uuid(), started: z.number(), boot: z.string(), version: z.string() },
  /** Absent in markers of earlier versions. */
  pid: z.number().optional(),
});
type Marker = z.output<typeof markerSchema>;

const nodeReportSchema = z.object({
  header: z.object({ event: z.string(), trigger: z.string(), dumpEventTimeStamp: z.coerce.number() }),
  javascriptStack: z.object({ stack: z.array(z.string()).default([]) }).optional(),
  javascriptHeap: z.object({ usedMemory: z.number().optional() }).optional(),
});

export interface CrashWatch {
  /** Records an error that ends the loop and is a bug. */
  note(error: unknown): void;
  /** The loop ends normally. */
  close(): void;
}

/**
 * Records crashes of this process, and that of the previous run if it was not stopped. Crashes are uncaught exceptions, fatal errors of
 * Node.js, and exits without any other trace, such as after SIGKILL. A restart of the machine is not a crash, nor is
 * an end after a signal to stop.
 * @param folder folder of the loop's reports
 * @param log the last events of the loop, oldest first
 * @param boot ID of the machine's current boot; empty if it has none
 */
export async function watchCrashes(
  folder: string,
  log: () => readonly string[] = () => [],
  boot: string = bootId(),
): Promise<CrashWatch> {
  await makeFolder(folder, 0o700);
  await collect(folder, boot);
  const ids = { id: randomUUID(), pid: process.pid };
  const marker: Marker = { ...ids, started: Date.now(), boot, version: aiotVersion() };
  const file = join(folder, markerName);
  await writeJsonAtomic(file, marker, 0o600);
  const unmark = () => {
    try {
      unlinkSync(file);
    } catch {
      // It was removed with the report of a crash.
    }
  };
  // Synchronous, because the process is about to end.
  const note = (error: unknown) => {
    const report = crashOf(marker, Date.now(), { ...ofError(error), log: linesOf(log()) });
    try {
      writeFileSync(join(folder, `crash-${marker.id}.json`), JSON.stringify(report), { mode: 0o600 });
      unmark();
    } catch {
      // The marker remains, so the next run reports that this one ended.
    }
  };
  const stopReports = reportFatalErrors(folder);
  process.on('uncaughtExceptionMonitor', note);
  // Not called if a signal or a fatal error ends the process.
  process.on('exit', unmark);
  // A process that was asked to stop may end without a trace, as by a second Ctrl-C.
  const stopped = (signal: NodeJS.Signals) => {
    unmark();
    leaveSignals();
    // Without this listener, the signal would have ended the process.
    if (signal === 'SIGHUP' || process.listenerCount(signal) === 0) process.kill(process.pid, signal);
  };
  const leaveSignals = () => {
    for (const signal of stopSignals) process.off(signal, stopped);
  };
  for (const signal of stopSignals) process.on(signal, stopped);
  return {
    note,
    close() {
      process.off('uncaughtExceptionMonitor', note);
      process.off('exit', unmark);
      leaveSignals();
      stopReports();
      unmark();
    },
  };
}

export interface SendOptions {
  /** Folder of the loop's reports. */
  folder: string;
  /** Name under which the platform lists them. */
  loop: string;
  context: string | undefined;
  tell(text: string): void;
  signal: AbortSignal;
  /** Default: those of systemd-coredump. */
  dumps?: DumpSource;
}

/** Sends the waiting reports to the platform of the context, and retries while it is unreachable. Without a platform, they are kept. */
export async function sendCrashes({
  folder,
  loop,
  context,
  tell,
  signal,
  dumps,
}: SendOptions): Promise<void> {
  for (let failures = 0; !signal.aborted; ) {
    const waiting = await reportsIn(folder);
    if (waiting.length === 0) return;
    try {
      const { withStores } = await import('../../api/context.js');
      await withStores(context, async ({ client }) => {
        if (client === null) return;
        const reports = await reportsOf(folder, waiting);
        // Dumps that were not yet stored at the first attempt are stored by the next one.
        const since = failures === 0 ? undefined : Number.POSITIVE_INFINITY;
        for await (const { name, crash } of withCoreDumps(reports, signal, dumps, since)) {
          await client.crashes.send({ device: loop, crash: withoutTraces(crash) });
          await rm(join(folder, name), { force: true });
          tell(`sent the report of a crash: ${crash.reason}`);
        }
      });
      return;
    } catch (error) {
      if (!(error instanceof AiotError)) throw error;
      if (failures === 0) tell(`could not send the report of a crash: ${error.message}`);
      if (!error.retryable) return;
      failures++;
      const pauseMs = withJitter(backOffMs(failures, firstPauseMs, longestPauseMs));
      await delay(pauseMs, undefined, { signal }).catch(() => {});
    }
  }
}

/** Reads these reports, and removes damaged ones. */
async function reportsOf(folder: string, names: readonly string[]) {
  const reports: { name: string; crash: CrashReport }[] = [];
  for (const name of names) {
    const crash = crashSchema.safeParse(await readJson(join(folder, name)).catch(() => null)).data;
    if (crash) reports.push({ name, crash });
    else await rm(join(folder, name), { force: true });
  }
  return reports;
}

/** The report without the details that only help to find the core dump. */
function withoutTraces(crash: CrashReport): CrashReport {
  const { boot: _, restarted: __, ...details } = crash.details ?? {};
  return crash.details ? { ...crash, details } : crash;
}

/** Turns the traces of the previous run into a report. */
async function collect(folder: string, boot: string): Promise<void> {
  const [file, nodeReport] = [join(folder, markerName), join(folder, nodeReportName)];
  const marker = markerSchema.safeParse(await readJson(file).catch(() => null)).data;
  const report = nodeReportSchema.safeParse(await readJson(nodeReport).catch(() => null)).data;
  // Without a boot ID, the machine may have restarted.
  const sameBoot = marker !== undefined && marker.boot !== '' && marker.boot === boot;
  if (marker && (report !== undefined || sameBoot)) {
    const crash =
      report === undefined
        ? crashOf(marker, null, {
            ...{ kind: 'exit', reason: 'the process ended without being stopped' },
            details: { boot, restarted: Date.now() },
          })
        : crashOf(marker, report.header.dumpEventTimeStamp, ofNodeReport(report));
    await writeJsonAtomic(join(folder, `crash-${marker.id}.json`), crash, 0o600);
  }
  await Promise.all([rm(file, { force: true }), rm(nodeReport, { force: true })]);
  for (const name of (await reportsIn(folder)).slice(0, -mostWaiting)) await rm(join(folder, name));
}

/** The waiting reports, oldest first. */
async function reportsIn(folder: string): Promise<string[]> {
  const names = (await readdir(folder).catch((): string[] => [])).filter((name) => crashName.test(name));
  const timed = await Promise.all(
    names.map(async (name) => {
      const crash = crashSchema.safeParse(await readJson(join(folder, name)).catch(() => null)).data;
      return { name, t: crash?.t ?? 0 };
    }),
  );
  return timed.sort((a, b) => a.t - b.t).map(({ name }) => name);
}

type Cause = Pick<CrashReport, 'kind' | 'reason'> & Partial<CrashReport>;

function crashOf({ id, started, version, pid }: Marker, t: number | null, cause: Cause): CrashReport {
  const times = t === null ? {} : { t, uptimeMs: Math.max(0, t - started) };
  const details: NonNullable<CrashReport['details']> = {
    ...{ node: process.version, platform: process.platform, arch: process.arch },
  };
  if (pid !== undefined) Object.assign(details, { pid, started });
  return {
    ...{ id, ...times, firmware: { name: 'aiot', version } },
    ...cause,
    reason: cause.reason.slice(0, 300),
    details: { ...details, ...cause.details },
  };
}

function ofError(error: unknown): Cause {
  const { name, message, stack } = error instanceof Error ? error : new Error(String(error));
  return {
    kind: 'exception',
    reason: `${name}: ${message}`,
    backtrace: placesOfStack(stack?.split('\n') ?? []),
  };
}

function ofNodeReport({ header, javascriptStack, javascriptHeap }: z.output<typeof nodeReportSchema>): Cause {
  const used = javascriptHeap?.usedMemory;
  return {
    kind: /OOM|out of memory/i.test(`${header.trigger} ${header.event}`) ? 'out-of-memory' : 'abort',
    reason: header.event === '' ? header.trigger || 'a fatal error of Node.js' : header.event,
    backtrace: placesOfStack(javascriptStack?.stack ?? []),
    ...(used === undefined ? {} : { details: { heapBytes: used } }),
  };
}

function linesOf(log: readonly string[]): string[] {
  return log.slice(-logLines).map((line) => line.slice(0, 512));
}

/**
 * Has Node.js write a report on fatal errors, until the returned function is called. A report can contain the environment, so only this
 * user can read the folder, and the next run deletes the report.
 */
function reportFatalErrors(folder: string): () => void {
  const report = process.report as NonNullable<typeof process.report> & { excludeEnv?: boolean };
  const { directory, filename, reportOnFatalError, compact } = report;
  Object.assign(report, {
    directory: folder,
    filename: nodeReportName,
    reportOnFatalError: true,
    compact: true,
  });
  // Since Node.js 22.
  if ('excludeEnv' in report) report.excludeEnv = true;
  return () => Object.assign(report, { directory, filename, reportOnFatalError, compact });
}

/** Changes when the machine restarts; empty if the system has none. */
function bootId(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  } catch {
    return '';
  }
}
