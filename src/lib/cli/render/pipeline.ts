import type { PipelineRequest } from '../../api/contract/pipeline-requests.js';
import { elapsed, size } from '../../core/figures.js';
import { stepCounts, stepLabel } from '../../pipeline/graph-model.js';
import type { RunRecord, StepRecord } from '../../pipeline/run/record.js';
import type { RunResult } from '../../pipeline/run/result.js';
import type { RunnerEvent } from '../../pipeline/run/runner.js';
import type { RunStatus } from '../../pipeline/status.js';
import type { WatchEvent } from '../../pipeline/watch/watch.js';
import { bold, dim, facts, green, minute, red, table, timeOfDay, yellow } from './text.js';

type Shown = Pick<StepRecord, 'name' | 'state' | 'cached' | 'seconds' | 'peakBytes' | 'reason'>;

/** The outcome of a step, in a word or two. */
export function stepStateText({ state, cached }: Pick<Shown, 'state' | 'cached'>): string {
  const label = stepLabel({ state, cached });
  if (state === 'done') return cached ? dim(label) : green(label);
  if (state === 'failed' || state === 'stopped') return red(label);
  if (state === 'running' || state === 'interrupted' || state === 'cancelled') return yellow(label);
  return dim(label);
}

/** The steps of a run, as a table. */
export function stepsTable(steps: readonly Shown[]): string {
  const rows = steps.map((step) => [
    step.name,
    stepStateText(step),
    step.cached || step.seconds === 0 ? null : elapsed(step.seconds * 1000),
    step.peakBytes === null ? null : size(step.peakBytes),
    step.reason ?? '',
  ]);
  return table(['step', 'state', 'took', 'memory', ''], rows);
}

function pushedName({ name, version }: NonNullable<RunRecord['model']>): string {
  return version === null ? name : `${name}@${version}`;
}

/** The outcome of a run. */
export function runText(result: RunResult): string {
  const { run, steps, model, seconds, published } = result;
  const again = steps.every(({ cached }) => cached);
  const put = published.filter(({ changed }) => changed).map(({ path }) => path);
  const lines: [string, string][] = [
    ['Run', `${run}, ${elapsed(seconds * 1000)}`],
    ...(model ? [['Model', pushedName(model)] as [string, string]] : []),
    ...(put.length > 0
      ? [['Restored', `${put.join(', ')}: had been edited manually`] as [string, string]]
      : []),
  ];
  const unchanged = again ? ['', 'Nothing has changed, so no step was run again.'] : [];
  return [stepsTable(steps), '', facts(lines), ...unchanged].join('\n');
}

/** Next commands if a model was pushed but no device matched: start a platform that devices can reach, and add devices. */
export function waysToDevices({ steps, context, model }: RunResult): string[] {
  const none = steps.some(({ name, state }) => name === 'rollout' && state === 'skipped');
  if (!none || !model || model.version === null) return [];
  return context === null ? ['aiot up --detach'] : ['aiot fleet simulate --count 3'];
}

export function runStatusText(status: RunStatus, step: string | undefined): string {
  const { run, state, cause, who, started, seconds, model, context, log, workflow } = status;
  const lines: [string, string][] = [
    ['state', runStateText(state)],
    ['started', `${minute(started)} UTC by ${who}, ${cause.text}`],
    ['took', elapsed(seconds * 1000)],
    ...(workflow
      ? ([
          ['runs on', `Argo at ${workflow.server}`],
          ['workflow', `${workflow.name} in the namespace ${workflow.namespace}`],
        ] as [string, string][])
      : ([['platform', context ?? "the project's own"]] as [string, string][])),
    ...(workflow?.seen && state === 'interrupted'
      ? [['and now', 'the workflow continues on the cluster; resume follows it again'] as [string, string]]
      : []),
    ...(model ? [['model', pushedName(model)] as [string, string]] : []),
  ];
  const head = `${bold(run)}\n${facts(lines)}\n\n${stepsTable(status.steps)}`;
  if (step === undefined) return head;
  const [only] = status.steps;
  const outputs = Object.entries(only?.outputs ?? {}).map(
    ([name, { digest, bytes }]) => [name, `${digest.slice(0, 19)}…, ${size(bytes)}`] as [string, string],
  );
  const left = outputs.length > 0 ? `\n\n${facts(outputs)}` : '';
  return `${head}${left}\n\n${log?.trimEnd() || dim('This step printed nothing in this run.')}`;
}

export function runStateText(state: RunRecord['state']): string {
  if (state === 'done') return green(state);
  if (state === 'failed') return red(state);
  if (state === 'stopped') return red('stopped by a gate');
  return yellow(state);
}

export function runsTable(runs: readonly RunRecord[]): string {
  const rows = runs.map((each) => [
    each.run,
    minute(each.started),
    runStateText(each.state),
    elapsed(each.seconds * 1000),
    stepCounts(each.steps),
    each.model ? pushedName(each.model) : null,
    each.cause.text,
  ]);
  const head = ['run', 'started (UTC)', 'state', 'took', 'steps', 'model', 'why'];
  return table(head, rows, 'No pipeline runs yet.');
}

/** One line of `pipeline watch`. */
export function watchEventText(event: WatchEvent): string {
  const at = dim(timeOfDay(event.at).slice(0, 8));
  switch (event.event) {
    case 'triggered':
      return `${at} ${event.kind}: ${event.text}${event.coalesced ? dim('  (a run is already due)') : ''}`;
    case 'started':
      return `${at} run: ${event.cause.text}`;
    case 'ended': {
      const state = event.state === 'refused' ? red('not started') : runStateText(event.state);
      const model = event.model ? `  ${pushedName(event.model)}` : '';
      return `${at} ${event.run ?? 'run'} ${state}${model}${event.reason === null ? '' : `: ${event.reason}`}`;
    }
    case 'waits':
      return `${at} ${yellow('waiting')} until ${timeOfDay(event.untilAt).slice(0, 8)} after ${event.failures} consecutive failures`;
    case 'trouble':
      return `${at} ${yellow(event.kind)}: ${event.text}`;
  }
}

export function runnerEventText(event: RunnerEvent): string {
  const at = dim(timeOfDay(event.at).slice(0, 8));
  switch (event.event) {
    case 'ready':
      return `${at} ${event.name} waits for requests to run ${event.project} on ${event.context}; press Ctrl-C to stop`;
    case 'claimed': {
      const until = event.until === null ? '' : ` until ${event.until}`;
      return `${at} run${until} requested by ${event.who}${event.force ? ', including unchanged steps' : ''}`;
    }
    case 'ended':
      return `${at} ${event.run ?? 'run'} ${runStateText(event.state)}${event.reason === null ? '' : `: ${event.reason}`}`;
    case 'trouble':
      return `${at} ${yellow('trouble')}: ${event.text}`;
  }
}

/** A requested run: its state, and the reason if it did not succeed. */
export function requestText({ id, project, state, runner, run, error }: PipelineRequest): string {
  const by = runner === null ? '' : ` on ${runner.name}`;
  const which = run === null ? '' : ` (${run})`;
  const text = `${id}: ${project} is ${requestStateText(state)}${by}${which}`;
  return error === null ? text : `${text}: ${error.message}\n${error.next ?? ''}`.trimEnd();
}

function requestStateText(state: PipelineRequest['state']): string {
  if (state === 'done') return green(state);
  if (state === 'failed' || state === 'lost') return red(state);
  return yellow(state === 'cancelled' ? 'canceled' : state);
}
