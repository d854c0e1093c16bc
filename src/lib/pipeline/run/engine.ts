import { canonicalJson, digestOf } from '../../core/crypto.js';
import { aiotVersion } from '../../core/folders.js';
import type { Clock } from '../../core/time.js';
import { adoptTrainingRuns } from '../../model/runs/record.js';
import type { PipelinePlan, PipelineStep } from '../plan/types.js';
import { refusalOfWhen } from '../plan/when.js';
import { type Blobs, type Kept, readEntry, type Tree, treeOf, writeEntry } from '../store.js';
import type { PlatformPort } from './platform.js';
import type { LineSource } from './processes.js';
import { newStepRecord, type PipelineFolders, type RunRecord, type StepRecord } from './record.js';
import { begunIn, placesOf, runStep, type StepEnd } from './run-step.js';
import { findInputs, type Input } from './work.js';

interface EngineOptions {
  plan: PipelinePlan;
  record: RunRecord;
  dir: string;
  folders: PipelineFolders;
  blobs: Blobs;
  kept: Kept;
  platform: PlatformPort;
  self: readonly string[];
  /** Maximum number of concurrent steps. */
  jobs: number;
  /** Whether to ignore the cache. */
  force: boolean;
  clock: Clock;
  signal: AbortSignal;
  /** Called when the record has changed and must be stored and shown. */
  onChange(step: StepRecord): void;
  onLine(step: string, line: string, source: LineSource): void;
}

/** States after which dependent steps are not run. */
const ending = new Set(['failed', 'stopped', 'not-run', 'interrupted', 'cancelled']);

/** Executes the steps of a run, and writes their outcomes to the record. A resumed run continues at the point of interruption. */
export async function runSteps(options: EngineOptions): Promise<void> {
  const { plan, record, jobs } = options;
  const by = new Map(record.steps.map((each) => [each.name, each]));
  const records = plan.steps.map(({ name }) => by.get(name) ?? newStepRecord(name));
  record.steps = records;
  const outputs = new Map<string, Record<string, Tree>>();
  const state = { records: new Map(records.map((each) => [each.name, each])), outputs };
  await schedule(plan.steps, jobs, (step) => one(step, state.records.get(step.name)!, state, options));
}

interface State {
  records: ReadonlyMap<string, StepRecord>;
  outputs: Map<string, Record<string, Tree>>;
}

async function one(
  step: PipelineStep,
  record: StepRecord,
  state: State,
  options: EngineOptions,
): Promise<void> {
  const { clock, signal, onChange } = options;
  const before = { state: record.state, key: record.key };
  const settle = (change: Partial<StepRecord>) => {
    Object.assign(record, { child: null }, change);
    state.outputs.set(step.name, record.outputs);
    onChange(record);
  };
  const failed = step.needs.find((need) => ending.has(state.records.get(need)?.state ?? ''));
  if (failed !== undefined) {
    return settle({ ...newStepRecord(step.name), state: 'not-run', reason: behind(failed, state) });
  }
  if (signal.aborted) return settle({ state: 'interrupted' });
  const results = new Map([...state.records.values()].map((each) => [each.name, withState(each)]));
  if (step.idle !== null) return settle(skippedFor(step, step.idle, true));
  const condition = refusalOfWhen(step.when, results);
  if (condition !== null) return settle(skippedFor(step, condition, false));
  const started = performance.now();
  const found = await findInputs(step, { dir: options.dir, outputs: state.outputs, kept: options.kept });
  if ('skipped' in found) return settle(skippedFor(step, found.skipped, true));
  if ('missing' in found) {
    return settle({ ...newStepRecord(step.name), state: 'failed', reason: found.missing });
  }
  const { inputs } = found;
  const digests = Object.fromEntries(inputs.map(({ name, digest }) => [name, digest]));
  const alike = step.alike?.map((name) => digests[name]);
  if (alike && alike[0] === alike[1]) {
    const reason = 'the same data as before';
    return settle({ ...newStepRecord(step.name), state: 'done', cached: true, inputs: digests, reason });
  }
  const data = await dataNow(step, options);
  const key = await keyNow(step, inputs, data, options);
  // In a resumed run, completed steps stay completed, even steps that are not cached for other runs.
  const mine = before.state === 'done' && before.key === key && (await hasAll(record.outputs, options.blobs));
  if (mine) return settle({});
  const known = data === unknown ? null : await fromCache(step, key, options);
  if (known) {
    const seconds = secondsSince(started);
    return settle({ ...newStepRecord(step.name), ...known, cached: true, key, inputs: digests, seconds });
  }
  if (leadsToPlatform(step, options)) void options.platform.ready(signal).catch(() => {});
  Object.assign(record, newStepRecord(step.name), {
    state: 'running',
    inputs: digests,
    started: clock.now(),
  });
  onChange(record);
  const end = await execute(step, record, inputs, options);
  const cancelled = end.state === 'interrupted' ? { reason: end.reason } : {};
  const after = await keyNow(step, inputs, data, options);
  const same = async () => (await areSame(inputs)) && (await dataNow(step, options)) === data;
  if (step.cache && data !== unknown && isLasting(end, step, options) && (await same())) {
    await remember(step, after, end, options);
  }
  settle({ ...end, ...cancelled, key: after, ended: clock.now(), seconds: secondsSince(started) });
}

/** Whether an outcome may be cached. A skipped step that uses a user's platform is not cached, because devices may register later. */
function isLasting({ state }: StepEnd, { platform }: PipelineStep, { record }: EngineOptions): boolean {
  return state === 'done' || (state === 'skipped' && !(platform && record.context !== null));
}

/**
 * Whether a dependent step uses the platform. If this step runs, the dependent step will most likely run too, so the platform is started in
 * the meantime.
 */
function leadsToPlatform({ name, platform }: PipelineStep, { plan }: EngineOptions): boolean {
  return !platform && plan.steps.some((each) => each.platform && each.needs.includes(name));
}

/**
 * The current cache key of the step. It can change during a run, because the project's own platform has no identity before its first start.
 */
async function keyNow(
  step: PipelineStep,
  inputs: readonly Input[],
  data: string | null,
  { platform }: EngineOptions,
) {
  return keyOf(step, inputs, step.platform ? await platform.identity() : null, data);
}

const unknown = 'unknown';

/**
 * A digest of the platform's data for a step; null if the step reads no such data. If the platform does not respond, the step itself
 * reports the reason.
 */
async function dataNow({ stored }: PipelineStep, { platform }: EngineOptions): Promise<string | null> {
  return stored === null ? null : await platform.dataState(stored).catch(() => unknown);
}

async function execute(
  step: PipelineStep,
  record: StepRecord,
  inputs: readonly Input[],
  options: EngineOptions,
): Promise<StepEnd> {
  const { folders, blobs, self, clock, signal, platform, onChange, onLine } = options;
  const { run, cause } = options.record;
  let env: Record<string, string> = {};
  try {
    if (step.platform) env = await platform.ready(signal);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    const told = { exit: null, peakBytes: null, attempts: 1, error: null, outputs: {}, result: null };
    return { ...told, state: signal.aborted ? 'interrupted' : 'failed', reason };
  }
  const places = placesOf(folders, run, step.name);
  const end = await runStep({
    ...{ step, inputs, blobs, self, clock, signal, ...places },
    mark: folders.root,
    env: { ...env, AIOT_PIPELINE_RUN: run, AIOT_CAUSE: cause.text },
    onStart: (child, attempts) => {
      Object.assign(record, { child, attempts });
      onChange(record);
    },
    onLine: (line, source) => onLine(step.name, line, source),
  });
  // Every training is a run of the project, even one that was stopped or diverged.
  await adoptTrainingRuns(places.folder, options.dir).catch((error: Error) =>
    onLine(step.name, `its training runs are missing in the project: ${error.message}`, 'stderr'),
  );
  return end;
}

async function fromCache(
  step: PipelineStep,
  key: string,
  { folders, blobs, force, clock, onLine }: EngineOptions,
): Promise<Partial<StepRecord> | null> {
  if (!step.cache || force) return null;
  const entry = await readEntry(folders.entries, key, clock.now());
  if (!entry) return null;
  if (!(await hasAll(entry.outputs, blobs))) {
    onLine(step.name, 'its cached output was changed or lost, so the step runs again', 'stderr');
    return null;
  }
  const { outputs, result, run, skipped } = entry;
  return skipped === null
    ? { state: 'done', outputs, result, reason: begunIn(result, run) }
    : { state: 'skipped', outputs, result, reason: skipped };
}

async function remember(
  { name }: PipelineStep,
  key: string,
  end: StepEnd,
  { folders, record, clock }: EngineOptions,
): Promise<void> {
  const { outputs, result } = end;
  const skipped = end.state === 'skipped' ? end.reason : null;
  const entry = { spec: 'aiot-step/1' as const, step: name, run: record.run, outputs, result, skipped };
  await writeEntry(folders.entries, key, { ...entry, ended: clock.now() });
}

async function hasAll(outputs: Readonly<Record<string, Tree>>, blobs: Blobs): Promise<boolean> {
  for (const tree of Object.values(outputs)) if (!(await blobs.has(tree))) return false;
  return true;
}

/** Whether the project files are unchanged since the step began. If a file changed, the version that the step read is unknown. */
async function areSame(inputs: readonly Input[]): Promise<boolean> {
  for (const { digest, source } of inputs) {
    if (source?.kind === 'path' && (await treeOf(source.path))?.digest !== digest) return false;
  }
  return true;
}

/** The record of a step that has nothing to do. `cached`: the plan determines that there is nothing to do, so the step counts as cached. */
function skippedFor({ name }: PipelineStep, reason: string, cached: boolean): StepRecord {
  return { ...newStepRecord(name), state: 'skipped', reason, cached };
}

function behind(need: string, { records }: State): string {
  const { state, name } = records.get(need) ?? { state: 'failed', name: need };
  if (state === 'stopped') return `the gate of ${name} failed`;
  return state === 'failed' ? `${name} failed` : `${name} was not completed`;
}

/** The values that conditions can use: the members of the result, and the step's state. */
function withState({ state, cached, result }: StepRecord): unknown {
  const members = result !== null && typeof result === 'object' && !Array.isArray(result) ? result : {};
  return { ...members, state, cached };
}

function secondsSince(started: number): number {
  return Math.round(performance.now() - started) / 1000;
}

/** A schedulable unit: its name, and its dependencies. */
interface Node {
  name: string;
  needs: readonly string[];
}

/**
 * Runs each node once all of its dependencies have ended, in the given order, at most `most` at a time. `run` must handle a node's
 * failures. If `run` throws, no more nodes are started, and nodes in progress are awaited.
 */
async function schedule<N extends Node>(
  nodes: readonly N[],
  most: number,
  run: (node: N) => Promise<void>,
): Promise<void> {
  const over = new Set<string>();
  const names = new Set(nodes.map(({ name }) => name));
  const waiting = [...nodes];
  const running = new Map<string, Promise<void>>();
  const failures: unknown[] = [];
  for (;;) {
    while (failures.length === 0 && running.size < most) {
      const at = waiting.findIndex(({ needs }) => needs.every((need) => over.has(need) || !names.has(need)));
      if (at < 0) break;
      const [node] = waiting.splice(at, 1) as [N];
      const done = run(node)
        .catch((error: unknown) => void failures.push(error))
        .then(() => {
          running.delete(node.name);
          over.add(node.name);
        });
      running.set(node.name, done);
    }
    if (running.size === 0) break;
    await Promise.race(running.values());
  }
  if (failures.length > 0) throw failures[0];
}

/**
 * Cache key of a step, derived from the command, its inputs, and the version of aiot. Equal keys mean equal outputs.
 * @param platform identity of the platform that the step uses; null if the step uses no platform
 * @param data digest of the platform's data for the step; null if the step reads no such data
 */
function keyOf(
  step: PipelineStep,
  inputs: readonly Input[],
  platform: string | null,
  data: string | null,
): string {
  const { command, outputs } = step;
  return digestOf(
    canonicalJson({
      spec: 'aiot-step-key/1',
      aiot: aiotVersion(),
      command,
      inputs: Object.fromEntries(inputs.map(({ name, digest }) => [name, digest])),
      outputs: Object.fromEntries(outputs.map(({ name, path }) => [name, path])),
      platform,
      ...(data === null ? {} : { data }),
    }),
  );
}
