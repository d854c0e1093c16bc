import { writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import * as z from 'zod';
import type { RegistryClient } from '../../api/client.js';
import { clientFor, contextFor } from '../../api/context.js';
import {
  mostLineLength,
  mostRequestLines,
  type PipelineRequest,
  type RequestEnd,
  runnerLeaseMs,
} from '../../api/contract/pipeline-requests.js';
import { AiotError, hasCode } from '../../core/errors.js';
import { aiotVersion } from '../../core/folders.js';
import { takeLock } from '../../core/lock.js';
import { namePattern, newId } from '../../core/names.js';
import { loadProject } from '../../core/project.js';
import { onAbort } from '../../core/tasks.js';
import { printable } from '../../core/text.js';
import { backOffMs, type Clock, systemClock } from '../../core/time.js';
import { stepLabel } from '../graph-model.js';
import { planPipeline } from '../plan/plan.js';
import { cancelFile } from './lifecycle.js';
import { pipelineFolders, type RunRecord, runRecordSchema, type StepRecord } from './record.js';
import { isTemporary } from './request.js';
import { lineText, refusalOfRun } from './result.js';
import { type RunPipelineOptions, runPipeline } from './run-pipeline.js';

interface RunnerOptions extends Pick<RunPipelineOptions, 'dir' | 'context' | 'jobs' | 'self'> {
  /** Name under which users see the runner; default: the machine's. */
  name?: string | undefined;
  clock?: Clock;
  signal: AbortSignal;
  onEvent(event: RunnerEvent): void;
}

/** How often a runner without a request asks for one, and how often it renews its lease, ms. */
const askEveryMs = 1000;
const renewEveryMs = runnerLeaseMs / 3;
/** How often new lines are reported, and maximum time between two reports, ms. */
const reportEveryMs = 1000;
const silentMs = 5000;
/** Delays of repeated reports of a run's end, and how long a runner that was stopped tries to deliver it, ms. */
const endRetry = { firstMs: 500, mostMs: 10_000 };
const stoppedMs = 10_000;
/** Maximum size of a report's lines as JSON, so that the platform accepts it. */
const mostReportBytes = 192 * 1024;

/**
 * Registers this machine with the platform, and runs the project's pipeline whenever a user requests a run there, until the signal is
 * aborted. A run in progress is then cancelled.
 * @throws AIOT_PROJECT_*, AIOT_CONTEXT_NOT_FOUND, AIOT_PIPELINE_BUSY (a runner of this folder exists), and permanent errors of the platform
 */
export async function runPipelineRunner(options: RunnerOptions): Promise<void> {
  const { clock = systemClock, onEvent } = options;
  const { dir } = await loadProject(options.dir);
  const context = await contextFor(options.context);
  const release = await takeLock(join(pipelineFolders(dir).root, 'runner-lock'));
  if (!release)
    throw new AiotError('AIOT_PIPELINE_BUSY', `a runner is already active in ${dir}`, {
      next: 'Use that runner, or stop it first.',
    });
  try {
    const client = await clientFor(context.name);
    try {
      const name = options.name ?? nameOfMachine();
      const registration = await describe(dir, name);
      const runner = new Runner(client, { ...options, clock, context: context.name }, registration);
      await runner.renew();
      const { project } = registration;
      onEvent({ event: 'ready', at: clock.now(), runner: runner.id, name, project, context: context.name });
      await runner.run();
    } finally {
      await client.close();
    }
  } finally {
    release();
  }
}

/** The machine's name, with other characters than those of names replaced. */
function nameOfMachine(): string {
  const bare = hostname()
    .replace(/[^A-Za-z0-9._-]+/g, '-')
    .replace(/^[^A-Za-z0-9]+/, '')
    .slice(0, 64);
  const name = bare.replace(/[^A-Za-z0-9]+$/, '');
  return namePattern.test(name) ? name : 'runner';
}

type Registration = Parameters<RegistryClient['pipelineRunners']['put']>[1];

/** The project as users see it: its steps, as they are now. @throws AIOT_PROJECT_* */
async function describe(dir: string, name: string): Promise<Registration> {
  const project = await loadProject(dir);
  const { steps } = await planPipeline(project, { kind: 'platform' });
  return {
    name,
    project: project.config.name,
    aiot: aiotVersion(),
    steps: steps.map((step) => ({
      name: step.name,
      about: step.about.slice(0, 500),
      needs: step.needs,
      gate: step.gate?.slice(0, 500) ?? null,
    })),
  };
}

class Runner {
  readonly id: string;
  /** Reported troubles that last. */
  private readonly troubles = new Set<'reach' | 'renewal'>();
  private registered = false;

  constructor(
    private readonly client: RegistryClient,
    private readonly options: RunnerOptions & { clock: Clock },
    private registration: Registration,
  ) {
    this.id = newId('runner', options.clock.now());
  }

  /** Registers the runner, or renews its lease; aiot.yaml may have changed. */
  async renew(): Promise<void> {
    const { dir } = this.options;
    // A file that is being edited may be invalid for a moment.
    const latest = await describe(dir, this.registration.name).catch(() => this.registration);
    try {
      await this.client.pipelineRunners.put(this.id, latest);
      this.registration = latest;
      this.registered = true;
    } catch (error) {
      // The steps of an edited file may exceed a limit. The last accepted ones then remain, so that the lease does not end.
      if (this.registered && !isTemporary(error) && !isDenial(error))
        await this.client.pipelineRunners.put(this.id, this.registration);
      throw error;
    }
  }

  /** Renews the lease. Only a denial ends a run in progress; other errors are reported. @throws AIOT_TOKEN_INVALID, AIOT_NOT_ALLOWED */
  private async keepLease(): Promise<void> {
    try {
      await this.tolerant(() => this.renew());
      this.troubles.delete('renewal');
    } catch (error) {
      if (!(error instanceof AiotError) || isDenial(error)) throw error;
      this.report('renewal', error);
    }
  }

  /** @throws permanent errors of the platform, such as a revoked token */
  async run(): Promise<void> {
    const { signal, clock } = this.options;
    const ending = new AbortController();
    const leave = onAbort(signal, () => ending.abort(signal.reason));
    let failure: unknown;
    const renewing = this.keepRegistered(ending.signal).catch((error: unknown) => {
      failure ??= error;
      ending.abort(error);
    });
    try {
      while (!ending.signal.aborted) {
        const request = await this.claim();
        if (request) await this.serve(request, ending.signal);
        else await clock.sleep(askEveryMs, ending.signal).catch(() => {});
      }
    } finally {
      leave();
      ending.abort();
      await renewing;
      await this.client.pipelineRunners.remove(this.id).catch(() => {});
    }
    if (failure !== undefined) throw failure;
  }

  private async keepRegistered(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.options.clock.sleep(renewEveryMs, signal).catch(() => {});
      if (!signal.aborted) await this.keepLease();
    }
  }

  /** The next request, or the one whose response was lost; null = there is none, or the platform cannot be reached now. */
  private async claim(): Promise<PipelineRequest | null> {
    const answer = await this.tolerant(async () => {
      try {
        return await this.client.pipelineRunners.claim(this.id);
      } catch (error) {
        if (!hasCode(error, 'AIOT_NOT_FOUND')) throw error;
        // The lease ended while the platform could not be reached.
        await this.keepLease();
        return { request: null };
      }
    });
    return answer?.request ?? null;
  }

  /** Makes a call. If the platform cannot be reached, reports that once and returns undefined. @throws permanent errors */
  private async tolerant<T>(call: () => Promise<T>): Promise<T | undefined> {
    try {
      const result = await call();
      this.troubles.delete('reach');
      return result;
    } catch (error) {
      if (!isTemporary(error)) throw error;
      this.report('reach', error);
      return undefined;
    }
  }

  private report(trouble: 'reach' | 'renewal', { message }: AiotError): void {
    const { clock, onEvent } = this.options;
    if (!this.troubles.has(trouble)) onEvent({ event: 'trouble', at: clock.now(), text: message });
    this.troubles.add(trouble);
  }

  /** Runs the pipeline for a request like `aiot pipeline run`, and reports the outcome. */
  private async serve(request: PipelineRequest, signal: AbortSignal): Promise<void> {
    const { dir, context, jobs, self, clock, onEvent } = this.options;
    const { id, who, until, force } = request;
    onEvent({ event: 'claimed', at: clock.now(), request: id, who, until, force });
    const run = new CancellableRun(dir);
    const leave = onAbort(signal, () => run.cancel());
    const reports = new Reports(this.client, {
      request: id,
      runner: this.id,
      clock,
      onCancel: () => run.cancel(),
    });
    if (request.cancelledBy !== null) run.cancel();
    let end: Outcome;
    try {
      const record = await runPipeline({
        ...{ dir, context, jobs, self, clock, force, signal: run.signal },
        ...(until === null ? {} : { until }),
        cause: { kind: 'manual', text: `requested by ${who}` },
        onChange: (now, step) => {
          run.begun(now);
          reports.changed(now, step);
        },
        onLine: (step, line, source) => {
          if (source !== 'unfinished') reports.said(step, line);
        },
      });
      end = outcomeOf(record);
    } catch (error) {
      if (!(error instanceof AiotError)) throw error;
      end = { state: run.signal.aborted ? 'cancelled' : 'failed', error: shortened(error) };
    } finally {
      leave();
      await reports.close();
    }
    await this.deliver(reports, end, signal);
    const { state, error } = end;
    onEvent({
      event: 'ended',
      at: clock.now(),
      request: id,
      run: reports.run,
      state,
      reason: error?.message ?? null,
    });
  }

  /** Reports the end until the platform has stored it; for a limited time after the runner was stopped. */
  private async deliver(reports: Reports, end: Outcome, signal: AbortSignal): Promise<void> {
    const { clock } = this.options;
    let deadline = Number.POSITIVE_INFINITY;
    for (let failures = 1; ; failures++) {
      // A request that the platform no longer has needs no report.
      const gone = (error: unknown) => {
        if (hasCode(error, 'AIOT_NOT_FOUND') || hasCode(error, 'AIOT_JOB_ENDED')) return true;
        throw error;
      };
      if (await this.tolerant(() => reports.end(end).then(() => true, gone))) return;
      if (signal.aborted) deadline = Math.min(deadline, clock.now() + stoppedMs);
      if (clock.now() >= deadline) return;
      const pause = backOffMs(failures, endRetry.firstMs, endRetry.mostMs);
      // After a stop, the pauses are short, and no longer end at once.
      await clock
        .sleep(signal.aborted ? endRetry.firstMs : pause, signal.aborted ? undefined : signal)
        .catch(() => {});
    }
  }
}

/** Whether the token or its rights are the reason, so that no call can succeed. */
function isDenial(error: unknown): boolean {
  return hasCode(error, 'AIOT_TOKEN_INVALID') || hasCode(error, 'AIOT_NOT_ALLOWED');
}

/** A run that is cancelled, rather than interrupted, when it is stopped. */
class CancellableRun {
  private readonly controller = new AbortController();
  private file: string | null = null;

  constructor(private readonly dir: string) {}

  get signal(): AbortSignal {
    return this.controller.signal;
  }

  begun({ run }: RunRecord): void {
    this.file ??= cancelFile(pipelineFolders(this.dir), run);
    if (this.signal.aborted) writeFileSync(this.file, '');
  }

  cancel(): void {
    if (this.signal.aborted) return;
    if (this.file !== null) writeFileSync(this.file, '');
    this.controller.abort(new AiotError('AIOT_INTERRUPTED', 'the run was canceled'));
  }
}

type Outcome = Pick<RequestEnd, 'state' | 'error'>;

function outcomeOf(record: RunRecord): Outcome {
  const refusal = refusalOfRun(record);
  if (refusal === null) return { state: 'done', error: null };
  const cancelled = record.state === 'cancelled' || record.state === 'interrupted';
  return { state: cancelled ? 'cancelled' : 'failed', error: shortened(refusal) };
}

function shortened({ code, message, next }: AiotError): NonNullable<Outcome['error']> {
  return { code, message: message.slice(0, 2000), next: next.slice(0, 2000) };
}

interface ReportOptions {
  request: string;
  runner: string;
  clock: Clock;
  /** Called when a user has cancelled the request. */
  onCancel(): void;
}

/** Sends a run's log lines to the platform, which also renews the request's lease. The run never waits for a report. */
class Reports {
  run: string | null = null;
  private lines: string[] = [];
  /** Number of the first of `lines`. */
  private from = 0;
  /** Size of `lines` as JSON. */
  private bytes = 0;
  private sentAt = Number.NEGATIVE_INFINITY;
  private readonly ending = new AbortController();
  private readonly sending: Promise<void>;
  private readonly states = new Map<string, string>();

  constructor(
    private readonly client: RegistryClient,
    private readonly options: ReportOptions,
  ) {
    this.sending = this.keepSending();
  }

  changed({ run }: RunRecord, step?: StepRecord): void {
    this.run = run;
    if (!step || step.state === 'waiting') return;
    const label = stepLabel(step);
    if (this.states.get(step.name) === label) return;
    this.states.set(step.name, label);
    this.add(`${step.name}: ${label}${step.reason === null ? '' : `: ${step.reason}`}`);
  }

  said(step: string, line: string): void {
    const text = lineText(line);
    if (text !== '') this.add(`${step}: ${text}`);
  }

  async close(): Promise<void> {
    this.ending.abort();
    await this.sending;
  }

  async end({ state, error }: Outcome): Promise<void> {
    const { request, runner } = this.options;
    const { run, from } = this;
    await this.client.pipelineRequests.end(request, {
      runner,
      run,
      from,
      lines: [...this.lines],
      state,
      error,
    });
  }

  private add(line: string): void {
    const text = printable(stripVTControlCharacters(line.slice(0, 4096)).replaceAll('\t', ' ')).slice(
      0,
      mostLineLength,
    );
    this.lines.push(text);
    this.bytes += bytesOf(text);
    // The oldest lines of a flood are left out; their numbers show the gap.
    while (this.lines.length > mostRequestLines || this.bytes > mostReportBytes) this.shift();
  }

  /** Removes the oldest line. */
  private shift(): void {
    this.bytes -= bytesOf(this.lines.shift() ?? '');
    this.from += 1;
  }

  private async keepSending(): Promise<void> {
    const { clock } = this.options;
    while (!this.ending.signal.aborted) {
      const due = clock.now() - this.sentAt >= silentMs;
      // A failed report is repeated with the next one. The end of the request is reported anyway.
      if (due || this.lines.length > 0) await this.send().catch(() => {});
      await clock.sleep(reportEveryMs, this.ending.signal).catch(() => {});
    }
  }

  private async send(): Promise<void> {
    const { request, runner, clock, onCancel } = this.options;
    const { run, from } = this;
    const lines = [...this.lines];
    const { cancelledBy } = await this.client.pipelineRequests.progress(request, {
      runner,
      run,
      from,
      lines,
    });
    this.sentAt = clock.now();
    // Lines that were left out meanwhile are among those sent.
    const sent = from + lines.length;
    while (this.from < sent) this.shift();
    if (cancelledBy !== null) onCancel();
  }
}

function bytesOf(line: string): number {
  return Buffer.byteLength(JSON.stringify(line)) + 1;
}

const at = z.number();
const request = z.string();

/** Events of a runner, in order; times are ms since 1970. */
export const runnerEventSchema = z.discriminatedUnion('event', [
  z.object({
    event: z.literal('ready'),
    at,
    runner: z.string(),
    name: z.string(),
    project: z.string(),
    context: z.string(),
  }),
  z.object({
    event: z.literal('claimed'),
    at,
    request,
    /** The user who requested the run. */
    who: z.string(),
    until: z.string().nullable(),
    force: z.boolean(),
  }),
  z.object({
    event: z.literal('ended'),
    at,
    request,
    /** Null if the run could not be started. */
    run: runRecordSchema.shape.run.nullable(),
    state: z.enum(['done', 'failed', 'cancelled']),
    reason: z.string().nullable(),
  }),
  /** The platform cannot be reached at present, or rejects a renewal; the runner continues to try. */
  z.object({ event: z.literal('trouble'), at, text: z.string() }),
]);
export type RunnerEvent = z.output<typeof runnerEventSchema>;
