import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import * as z from 'zod';
import { type ChosenContext, chosenContext } from '../../core/contexts.js';
import { AiotError, unless } from '../../core/errors.js';
import { plural } from '../../core/figures.js';
import { makeFolder, readJson, writeJsonAtomic } from '../../core/files.js';
import { configFolder } from '../../core/folders.js';
import { preload } from '../../core/process.js';
import { loadProject, type Project } from '../../core/project.js';
import type { TriggerConfig } from '../../core/project-schema.js';
import { type Clock, parseCron, parseDuration, systemClock } from '../../core/time.js';
import { planPipeline } from '../plan/plan.js';
import { pipelineFolders } from '../run/record.js';
import { refusalOfRun } from '../run/result.js';
import { type RunPipelineOptions, runPipeline } from '../run/run-pipeline.js';
import { controlTrigger, webhookTrigger } from './messages.js';
import { cronTrigger, driftTrigger, everyTrigger, rowsOf, rowsTrigger } from './timers.js';
import { type Outcome, type Trigger, type WatchEvent, watchTriggers } from './watch.js';

interface WatchPipelineOptions extends Pick<RunPipelineOptions, 'dir' | 'context' | 'jobs' | 'self'> {
  clock?: Clock;
  signal: AbortSignal;
  onEvent(event: WatchEvent): void;
  /** Called once, with descriptions of the triggers. */
  onStart(watched: string[]): void;
}

/**
 * Runs a project's pipeline whenever a trigger of `pipeline.on` fires, until the signal is aborted.
 * @throws AIOT_PROJECT_*, AIOT_USAGE (nothing to watch), and permanent errors of a trigger
 */
export async function watchPipeline(options: WatchPipelineOptions): Promise<void> {
  const { clock = systemClock, signal, onEvent, onStart } = options;
  const project = await loadProject(options.dir);
  const context = await chosenContext(options.context);
  await planPipeline(project, { kind: context?.kind ?? null });
  const once = inTurn();
  const run = (
    cause: RunPipelineOptions['cause'],
    stop: AbortSignal,
    more: Partial<RunPipelineOptions> = {},
  ) => once(() => runPipeline({ ...options, ...more, cause, clock, signal: stop }));
  const watched: string[] = [];
  const probe = async (stop: AbortSignal) => {
    const cause = { kind: 'drift' as const, text: 'checking for drift' };
    const record = await run(cause, stop, { until: 'drift' });
    return largestPsi(record.steps.find(({ name }) => name === 'drift')?.result);
  };
  const triggers = await triggersOf({ project, context, clock, onEvent, probe, watched });
  if (triggers.length === 0) {
    throw new AiotError('AIOT_USAGE', `${project.file}: pipeline.on defines no trigger`, {
      next: 'Define one, such as on: { rows: 1000 } or on: { cron: "0 3 * * *" }. For all triggers, run `aiot docs pipelines`.',
    });
  }
  onStart(watched);
  await watchTriggers({
    ...{ triggers, clock, signal, onEvent },
    run: async (cause, stop) => {
      try {
        const record = await run(cause, stop);
        const reason = refusalOfRun(record)?.message ?? null;
        return { run: record.run, state: record.state, reason, model: record.model };
      } catch (error) {
        return refused(error);
      }
    },
  });
}

/** The outcome for a run that could not start, for example because another run is in progress or aiot.yaml has become invalid. */
function refused(error: unknown): Outcome {
  if (!(error instanceof AiotError) || error.family === 'bug') throw error;
  return { run: null, state: 'refused', reason: error.message, model: null };
}

interface Parts {
  project: Project;
  context: ChosenContext | null;
  clock: Clock;
  onEvent(event: WatchEvent): void;
  probe(signal: AbortSignal): Promise<number | null>;
  watched: string[];
}

async function triggersOf({ project, context, clock, onEvent, probe, watched }: Parts): Promise<Trigger[]> {
  preload(
    () => import('../../stream/index.js'),
    () => import('../../api/index.js'),
    () => import('../../model/index.js'),
  );
  const { on } = project.config.pipeline;
  const { rows, every, drift, cron, control, webhook } = on;
  const trouble = (kind: Trigger['kind']) => (text: string) =>
    onEvent({ event: 'trouble', at: clock.now(), kind, text });
  const triggers: Trigger[] = [];
  const add = (words: string, trigger: Trigger) => {
    watched.push(words);
    triggers.push(trigger);
  };
  if (rows !== undefined) {
    if (context?.kind === 'architects-guide') {
      throw new AiotError(
        'AIOT_USAGE',
        `${project.file}: pipeline.on.rows: ${context.name} does not count rows`,
        {
          next: 'Start runs by time or by messages instead: on: { every: 6h }, or on: { control: kafka://HOST:PORT/control-message }.',
        },
      );
    }
    const count = rowsOf(project, pipelineFolders(project.dir), context);
    add(plural(rows, 'new row'), rowsTrigger(rows, count, clock, trouble('rows')));
  }
  if (every !== undefined) add(`every ${every}`, everyTrigger(parseDuration(every), `every ${every}`, clock));
  if (drift) {
    const { above } = drift;
    const everyMs = parseDuration(drift.every);
    add(`drift above ${above}`, driftTrigger({ above, everyMs }, probe, clock, trouble('drift')));
  }
  if (cron !== undefined) add(`cron ${cron}`, cronTrigger(`cron ${cron}`, parseCron(cron), clock));
  if (control !== undefined)
    add(`messages on ${withoutSecrets(control)}`, await controlOf(control, context, clock, trouble));
  if (webhook) add(...(await webhookOf(webhook, project, clock, trouble)));
  return triggers;
}

type TroubleOf = (kind: Trigger['kind']) => (text: string) => void;

async function controlOf(
  url: string,
  context: ChosenContext | null,
  clock: Clock,
  trouble: TroubleOf,
): Promise<Trigger> {
  const { openSink, openSource } = await import('../../stream/open.js');
  const open = (signal: AbortSignal) => openSource(url, { signal, from: 'latest' });
  const messages = { open, clock, trouble: trouble('control') };
  // With an installation of the guide's services, the run itself notifies the boards. Boards cannot use the project's own platform.
  if (context?.kind !== 'platform') return controlTrigger(messages, null);
  return controlTrigger(messages, {
    async answer(payload) {
      const sink = await openSink(url);
      try {
        await sink.write([{ topic: '', payload }]);
      } finally {
        await sink.close();
      }
    },
    nameOf: (model) => guideFileOf(model, context.name),
  });
}

/** Name of a version in the guide-compatible model registry, derived from its push time. */
async function guideFileOf(
  { name, version }: { name: string; version: number },
  context: string,
): Promise<string> {
  const { guideModelName } = await import('../../model/publish/guide.js');
  const { withClient } = await import('../../api/context.js');
  return await withClient(context, async (client) =>
    guideModelName((await client.models.get(name, version)).pushed),
  );
}

async function webhookOf(
  { host, port, path }: NonNullable<TriggerConfig['webhook']>,
  project: Project,
  clock: Clock,
  trouble: TroubleOf,
): Promise<[string, Trigger]> {
  const { openSource } = await import('../../stream/open.js');
  const secret = await webhookSecret(project.dir);
  const url = `http://${host.includes(':') ? `[${host}]` : host}:${port}${path}`;
  const open = (signal: AbortSignal) => openSource(url, { signal, secret });
  const words = `requests to ${url}, signed with the secret in ${secretsFile()}`;
  return [words, webhookTrigger({ open, clock, trouble: trouble('webhook') })];
}

/** Creates a function that runs tasks one at a time, in the order of the calls. */
function inTurn() {
  let last: Promise<unknown> = Promise.resolve();
  return <T>(work: () => Promise<T>): Promise<T> => {
    const next = last.then(work, work);
    last = next.catch(() => {});
    return next;
  };
}

function largestPsi(result: unknown): number | null {
  const { features } = (result ?? {}) as { features?: unknown };
  const all = (Array.isArray(features) ? features : [])
    .map((each) => Number(each?.psi))
    .filter(Number.isFinite);
  return all.length > 0 ? Math.max(...all) : null;
}

function withoutSecrets(url: string): string {
  return url.replace(/\/\/[^/@]*@/, '//').replace(/[?#].*$/, '');
}

const schema = z.record(z.string(), z.string());

/** Path of the file that stores webhook secrets, keyed by project folder. Only the user can read it. */
function secretsFile(): string {
  return join(configFolder(), 'pipeline-secrets.json');
}

/** The secret for signing requests to a project's webhook. The secret is generated on first use. @throws AIOT_FILE_MALFORMED */
async function webhookSecret(dir: string): Promise<string> {
  const file = secretsFile();
  const read = schema.safeParse((await unless('AIOT_FILE_NOT_FOUND', readJson(file))) ?? {});
  const all = read.success ? read.data : {};
  const known = all[dir];
  if (known !== undefined) return known;
  const made = `whsec_${randomBytes(24).toString('base64')}`;
  await makeFolder(configFolder(), 0o700);
  await writeJsonAtomic(file, { ...all, [dir]: made }, 0o600);
  return made;
}
