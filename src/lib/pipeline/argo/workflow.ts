import * as z from 'zod';
import { parsedJson } from '../../core/text.js';
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

/** The fields of an Argo Workflow that are read here. */
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

/**
 * Output parameter with the outcome of a step (templates/deploy/argo/step.mjs). The outcome is stored in the workflow, because pods are
 * soon deleted.
 */
const outcomeParameter = 'outcome';
const outcomeSchema = z.object({
  /** Exit code; null if the step was ended by a signal. */
  exit: z.int().nullable(),
  /** The step's last line on stderr. */
  last: z.string().default(''),
  /** The members of the printed JSON that describe the outcome. */
  result: z.unknown(),
});

const ended = new Set(['Succeeded', 'Failed', 'Error']);

/** Whether a workflow has reached a final state. */
export function isOver({ status }: Workflow): boolean {
  return ended.has(status?.phase ?? '');
}

/** Whether a user terminated the workflow. */
function wasTerminated({ spec }: Workflow): boolean {
  return spec?.shutdown === 'Terminate' || spec?.shutdown === 'Stop';
}

/** The current state of a run's steps according to the workflow. Nodes that are not pipeline steps are ignored. */
export function stepsOfWorkflow(workflow: Workflow, names: readonly string[]): StepRecord[] {
  const nodes = workflow.status?.nodes ?? {};
  const all = Object.values(nodes);
  const over = isOver(workflow);
  const steps: StepRecord[] = names.map((name) => {
    const node = all.find(({ displayName, type }) => displayName === name && type !== 'DAG');
    return node ? stepOfNode(name, node, nodes, workflow) : newStepRecord(name);
  });
  // If the workflow failed outside the steps, its message is the reason.
  const broken = over && workflow.status?.phase !== 'Succeeded' && !wasTerminated(workflow);
  const open = steps.find(({ state }) => state === 'waiting' || state === 'running' || state === 'not-run');
  if (broken && open && !steps.some(({ state }) => state === 'stopped' || state === 'failed')) {
    Object.assign(open, { state: 'failed', reason: workflow.status?.message || 'the workflow failed' });
  }
  const culprit = steps.find(({ state }) => state === 'stopped' || state === 'failed');
  const why =
    culprit &&
    (culprit.state === 'stopped' ? `the gate of ${culprit.name} failed` : `${culprit.name} failed`);
  for (const step of steps) {
    if (step.state !== 'not-run' && (step.state !== 'waiting' || !over)) continue;
    Object.assign(
      step,
      wasTerminated(workflow) ? { state: 'cancelled' } : { state: 'not-run', reason: why ?? null },
    );
  }
  const first = steps.find(({ state }) => state === 'waiting');
  // The message is the reason for the wait, such as a quota, or a mutex that another run has locked.
  if (all.length === 0 && first && workflow.status?.message) first.reason = workflow.status.message;
  return steps;
}

function stepOfNode(
  name: string,
  node: Node,
  nodes: Readonly<Record<string, Node>>,
  workflow: Workflow,
): StepRecord {
  // If a step has retries, its node is the parent of one node for each attempt.
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
      // Commands of aiot exit with 130 when they are interrupted.
      if (wasTerminated(workflow) && (exit === null || exit === 130 || exit > 128))
        return { ...base, state: 'cancelled' };
      // If a signal ended the step (timeout, out of memory), its last output is not the reason.
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
  return (text && outcomeSchema.safeParse(parsedJson(text)).data) || null;
}

function exitOf({ outputs }: Node): number | null {
  const code = Number.parseInt(outputs?.exitCode ?? '', 10);
  return Number.isInteger(code) ? code : null;
}

function msOf(text: string | null | undefined): number | null {
  const ms = Date.parse(text ?? '');
  return Number.isNaN(ms) ? null : ms;
}

/** The outcome of a run, from the workflow and its steps; null while it is running. */
export function stateOfWorkflow(workflow: Workflow, steps: readonly StepRecord[]): RunState | null {
  if (!isOver(workflow)) return null;
  if (workflow.status?.phase === 'Succeeded') return 'done';
  if (wasTerminated(workflow)) return 'cancelled';
  const states = steps.map(({ state }) => state);
  return states.includes('stopped') && !states.includes('failed') ? 'stopped' : 'failed';
}

/** The step to which a pod belongs. Depending on the server's configuration, pods are named WORKFLOW-TEMPLATE-HASH, or after their node. */
export function stepOfPod(workflow: Workflow, pod: string): string | null {
  const { name } = workflow.metadata;
  const [, step] = new RegExp(`^${name.replaceAll('.', '\\.')}-(.+)-\\d+$`).exec(pod) ?? [];
  if (step !== undefined) return step;
  const node = workflow.status?.nodes?.[pod];
  return node ? node.displayName.replace(/\(\d+\)$/, '') : null;
}
