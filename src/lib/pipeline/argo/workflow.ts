import * as z from 'zod';
import { newStepRecord, type RunState, type StepRecord } from '../run/record.js';
import { errorIn, refusalOfExit, skippedIn } from '../run/run-step.js';

const time = z.string().nullish();

const nodeSchema = z.object({
  id: z.string(),
  name: z.string().default(''),
  displayName: z.string().default(''),
  type: z.string().default(''),
  phase: z.string().default(''),
  message: z.string().default(''),
  startedAt: time,
  finishedAt: time,
  children: z.array(z.string()).nullish(),
  outputs: z
    .object({
      exitCode: z.string().optional(),
      parameters: z.array(z.object({ name: z.string(), value: z.string().optional() })).nullish(),
    })
    .nullish(),
});
type Node = z.output<typeof nodeSchema>;

/** A Workflow of Argo, as far as it is read here. */
export const workflowSchema = z.object({
  metadata: z.object({ name: z.string(), labels: z.record(z.string(), z.string()).nullish() }),
  spec: z.object({ shutdown: z.string().optional() }).nullish(),
  status: z
    .object({
      phase: z.string().default(''),
      message: z.string().default(''),
      startedAt: time,
      finishedAt: time,
      nodes: z.record(z.string(), nodeSchema).nullish(),
    })
    .nullish(),
});
export type Workflow = z.output<typeof workflowSchema>;

/** What each step writes of its end (templates/deploy/argo/step.mjs): pods are gone soon, this stays with the workflow. */
export const outcomeParameter = 'outcome';
const outcomeSchema = z.object({
  /** Null where a signal ended it. */
  exit: z.int().nullable(),
  /** Its last line on stderr. */
  last: z.string().default(''),
  /** Of the JSON that it printed, the members that tell how it ended. */
  result: z.unknown(),
});

const ended = new Set(['Succeeded', 'Failed', 'Error']);

/** Whether nothing more will happen to it. */
export function isOver({ status }: Workflow): boolean {
  return ended.has(status?.phase ?? '');
}

/** Whether somebody has ended it. */
export function wasTerminated({ spec }: Workflow): boolean {
  return spec?.shutdown === 'Terminate' || spec?.shutdown === 'Stop';
}

/** The steps of a run as the workflow has them now: what is no step of ours is not in them. */
export function stepsOfWorkflow(workflow: Workflow, names: readonly string[]): StepRecord[] {
  const nodes = workflow.status?.nodes ?? {};
  const all = Object.values(nodes);
  const over = isOver(workflow);
  const steps: StepRecord[] = names.map((name) => {
    const node = all.find(({ displayName, type }) => displayName === name && type !== 'DAG');
    return node ? stepOfNode(name, node, nodes, workflow) : newStepRecord(name);
  });
  // Where the workflow failed before any step of it: what it says is the reason.
  const broken = over && workflow.status?.phase !== 'Succeeded' && !wasTerminated(workflow);
  const open = steps.find(({ state }) => state === 'waiting' || state === 'running' || state === 'not-run');
  if (broken && open && !steps.some(({ state }) => state === 'stopped' || state === 'failed')) {
    Object.assign(open, { state: 'failed', reason: workflow.status?.message || 'the workflow failed' });
  }
  const culprit = steps.find(({ state }) => state === 'stopped' || state === 'failed');
  const why =
    culprit &&
    (culprit.state === 'stopped' ? `the gate of ${culprit.name} said no` : `${culprit.name} failed`);
  for (const step of steps) {
    if (step.state !== 'not-run' && (step.state !== 'waiting' || !over)) continue;
    Object.assign(
      step,
      wasTerminated(workflow) ? { state: 'cancelled' } : { state: 'not-run', reason: why ?? null },
    );
  }
  const first = steps.find(({ state }) => state === 'waiting');
  // Why nothing happens: a mutex that another run holds, a quota.
  if (all.length === 0 && first && workflow.status?.message) first.reason = workflow.status.message;
  return steps;
}

function stepOfNode(
  name: string,
  node: Node,
  nodes: Readonly<Record<string, Node>>,
  workflow: Workflow,
): StepRecord {
  // A step that may be tried again is a node of its own above the tries.
  const tries = node.type === 'Retry' ? (node.children ?? []).flatMap((id) => nodes[id] ?? []) : [node];
  const last = tries.at(-1) ?? node;
  const outcome = outcomeOf(last);
  const [started, finished] = [msOf(node.startedAt), msOf(node.finishedAt)];
  const base: StepRecord = {
    ...newStepRecord(name),
    attempts: tries.length,
    ...{ started, ended: finished, exit: outcome?.exit ?? exitOf(last) },
    seconds: started !== null && finished !== null ? (finished - started) / 1000 : 0,
    result: outcome?.result ?? null,
  };
  switch (node.phase) {
    case 'Running':
      return { ...base, state: 'running' };
    case 'Succeeded': {
      const skipped = skippedIn(outcome?.result);
      return skipped === null ? { ...base, state: 'done' } : { ...base, state: 'skipped', reason: skipped };
    }
    case 'Skipped':
      return { ...newStepRecord(name), state: 'skipped', reason: node.message || null };
    case 'Omitted':
      return { ...newStepRecord(name), state: 'not-run' };
    case 'Failed':
    case 'Error': {
      const { exit } = base;
      // 130 is what our commands end with when they are told to.
      if (wasTerminated(workflow) && (exit === null || exit === 130 || exit > 128))
        return { ...base, state: 'cancelled' };
      // What ended it by a signal is not what it said last: too long, too much memory.
      const told = [outcome?.last, node.message || last.message];
      const why = (exit === null ? told.reverse() : told).find(Boolean) ?? '';
      const refused = refusalOfExit(exit, outcome?.result, why);
      return { ...base, ...refused, error: errorIn(outcome?.result) };
    }
    default:
      return { ...newStepRecord(name), reason: node.message || null };
  }
}

function outcomeOf({ outputs }: Node): z.output<typeof outcomeSchema> | null {
  const text = outputs?.parameters?.find(({ name }) => name === outcomeParameter)?.value;
  if (!text) return null;
  try {
    const read = outcomeSchema.safeParse(JSON.parse(text));
    return read.success ? read.data : null;
  } catch {
    return null;
  }
}

function exitOf({ outputs }: Node): number | null {
  const code = Number.parseInt(outputs?.exitCode ?? '', 10);
  return Number.isInteger(code) ? code : null;
}

function msOf(text: string | null | undefined): number | null {
  const ms = Date.parse(text ?? '');
  return Number.isNaN(ms) ? null : ms;
}

/** How a run came out, from the workflow and its steps; null while it goes on. */
export function stateOfWorkflow(workflow: Workflow, steps: readonly StepRecord[]): RunState | null {
  if (!isOver(workflow)) return null;
  if (workflow.status?.phase === 'Succeeded') return 'done';
  if (wasTerminated(workflow)) return 'cancelled';
  const states = steps.map(({ state }) => state);
  return states.includes('stopped') && !states.includes('failed') ? 'stopped' : 'failed';
}

/** The step that a pod belongs to: pods are named WORKFLOW-TEMPLATE-HASH (or as their node, where the server is told so). */
export function stepOfPod(workflow: Workflow, pod: string): string | null {
  const { name } = workflow.metadata;
  const [, step] = new RegExp(`^${name.replaceAll('.', '\\.')}-(.+)-\\d+$`).exec(pod) ?? [];
  if (step !== undefined) return step;
  const node = workflow.status?.nodes?.[pod];
  return node ? node.displayName.replace(/\(\d+\)$/, '') : null;
}
