import type { PipelineStep } from './plan/types.js';
import type { StepRecord, StepState } from './run/record.js';

/** The parts of a step that a drawing needs. `when` is only checked for being empty. */
type DrawnStep = Pick<PipelineStep, 'name' | 'about' | 'needs' | 'gate'> & {
  when: readonly unknown[];
};

type Last<State> = Pick<StepRecord, 'name' | 'cached' | 'seconds' | 'reason'> & { state: State };

/** A step in the drawing. Its column is the length of the longest dependency path that leads to it. */
export interface GraphNode<State = StepState> {
  name: string;
  about: string;
  /** Direct dependencies, except those that follow from another dependency. */
  needs: string[];
  column: number;
  row: number;
  gate: string | null;
  when: boolean;
  /** State in the last run; null if the step was not part of that run. */
  last: Omit<Last<State>, 'name'> | null;
}

const labels: Record<StepState, string> = {
  waiting: 'waiting',
  running: 'running',
  done: 'done',
  skipped: 'skipped',
  failed: 'failed',
  stopped: 'stopped by its gate',
  'not-run': 'not run',
  interrupted: 'interrupted',
  cancelled: 'cancelled',
};

/**
 * The label of a step's state in the terminal, the dashboard and drawings. `cached` = the outcome is from an earlier run with the same
 * inputs.
 */
export function stepLabel({ state, cached }: { state: string; cached: boolean }): string {
  if (state === 'done' && cached) return 'cached';
  return labels[state as StepState] ?? state;
}

/** Summary of a run's steps, with the labels of `stepLabel`: `5 of 7 run, 1 cached, 1 skipped`. */
export function stepCounts(steps: readonly { state: string; cached: boolean }[]): string {
  const count = (label: string) => steps.filter((step) => stepLabel(step) === label).length;
  const others = ['cached', 'skipped'].map((label) => [count(label), label] as const).filter(([n]) => n > 0);
  return [`${count('done')} of ${steps.length} run`, ...others.map(([n, label]) => `${n} ${label}`)].join(
    ', ',
  );
}

/** The steps of a plan in columns, with their states in the last run. */
export function graphOf<State extends string>(
  plan: { steps: readonly DrawnStep[] },
  run: { steps: readonly Last<State>[] } | null,
): GraphNode<State>[] {
  const direct = directNeeds(plan);
  const columns = new Map<string, number>();
  const rows = new Map<number, number>();
  const by = new Map(run?.steps.map((step) => [step.name, step]));
  return plan.steps.map(({ name, about, gate, when }) => {
    const needs = direct.get(name) ?? [];
    const column = 1 + Math.max(-1, ...needs.map((need) => columns.get(need) ?? 0));
    columns.set(name, column);
    const row = rows.get(column) ?? 0;
    rows.set(column, row + 1);
    const last = by.get(name) ?? null;
    return { name, about, needs, column, row, gate, when: when.length > 0, last };
  });
}

function directNeeds({ steps }: { steps: readonly DrawnStep[] }): Map<string, string[]> {
  const all = new Map<string, Set<string>>();
  const direct = new Map<string, string[]>();
  for (const { name, needs } of steps) {
    // Sorts the dependencies in the order of the steps.
    const known = [...all.keys()].filter((need) => needs.includes(need));
    const further = new Set(known.flatMap((need) => [...(all.get(need) ?? [])]));
    all.set(name, new Set([...known, ...further]));
    direct.set(
      name,
      known.filter((need) => !further.has(need)),
    );
  }
  return direct;
}
