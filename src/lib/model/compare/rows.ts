import { missingLabels, openTable } from '../../data/index.js';
import { readBuilt } from '../built.js';
import { mapLabels, valuesOfLabels } from '../evaluate/labels.js';
import { type OutputKind, outputKindOf } from '../evaluate/output-kind.js';
import { rowsFor } from '../evaluate/rows.js';
import { openModelProject } from '../material.js';
import { standardizeAll } from '../train/standardize.js';
import type { Opened } from './side.js';

/** What both models are run on. */
export interface SharedRows {
  data: string;
  kind: OutputKind;
  /** Inputs of each, as its network takes them. */
  inputs: [Float32Array, Float32Array];
  truth: Int32Array | null;
  values: ArrayLike<number> | null;
  classes: string[];
  threshold: number | null;
  groups?: readonly string[];
  notes: string[];
}

export interface TableOptions {
  data: string;
  label?: string;
  output?: OutputKind;
  classes?: readonly string[];
}

/** The rows of a table. @throws AIOT_CSV_*, AIOT_DATA_COLUMNS, AIOT_LABELS_UNFIT */
export async function rowsOfTable(
  sides: readonly [Opened, Opened],
  widths: readonly [number, number],
  outputs: number,
  options: TableOptions,
): Promise<SharedRows> {
  const { data, label } = options;
  const table = await openTable(data, { label });
  if (label !== undefined && table.labels === null) throw missingLabels(data, label, table.columns);
  const [a] = sides;
  const info = sides.map(({ model }) => model.bundle?.info).find((one) => one !== undefined);
  const kind = options.output ?? info?.answer.kind ?? outputKindOf(a.graph, table.labels);
  const names = options.classes ?? info?.classes ?? null;
  const [first, second] = sides.map(({ model, metadata }, i) =>
    rowsFor(table, data, widths[i]!, model.bundle, metadata),
  );
  const base = { data, kind, inputs: [first!.inputs, second!.inputs] as [Float32Array, Float32Array] };
  const warnings = [...new Set([...first!.warnings, ...second!.warnings])];
  const threshold = info && 'threshold' in info.answer ? info.answer.threshold : null;
  const rest = { ...base, threshold, groups: table.groups ?? undefined };
  if (kind === 'value') {
    const values = table.labels && valuesOfLabels(table.labels);
    return { ...rest, truth: null, values, classes: [], notes: warnings };
  }
  const count = kind === 'classes' ? outputs : 2;
  const numbered = Array.from({ length: count }, (_, c) => names?.[c] ?? String(c));
  if (table.labels === null)
    return {
      ...rest,
      truth: null,
      values: null,
      classes: numbered,
      notes: [...warnings, 'the rows have no labels'],
    };
  const { truth, classes, note } = mapLabels(table.labels, count, names);
  return { ...rest, truth, values: null, classes, notes: note === null ? warnings : [...warnings, note] };
}

/** The test part of a project, standardized as each model's own project says, or this one's. @throws AIOT_MODEL_STALE, … */
export async function rowsOfProject(sides: readonly [Opened, Opened], dir: string): Promise<SharedRows> {
  const built = await readBuilt(await openModelProject(dir), {});
  const { training } = built;
  const test = built.examples('test');
  const inputs = await Promise.all(
    sides.map(async ({ project }) => {
      const own = project === null || project === dir ? training : await trainingOf(project);
      return standardizeAll(test, own.standardization);
    }),
  );
  const kind = training.network.output.kind;
  return {
    data: `${dir} (test part)`,
    kind,
    inputs: [inputs[0]!, inputs[1]!],
    truth: kind === 'value' ? null : test.classes,
    values: test.values,
    classes: training.classes,
    threshold: training.threshold,
    groups: test.recordings,
    notes: [],
  };
}

async function trainingOf(dir: string) {
  return (await readBuilt(await openModelProject(dir), {})).training;
}
