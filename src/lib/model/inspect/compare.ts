import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { AiotError } from '../../core/errors.js';
import { dictionary } from '../../core/names.js';
import { missingLabels, openTable } from '../../data/tables/table.js';
import type { Graph } from '../../formats/tflite/graph.js';
import { importTflite } from '../../formats/tflite/read.js';
import { readBuilt } from '../build-folder.js';
import { networkFigures } from '../evaluate/evaluate-project.js';
import { pairedDifference } from '../evaluate/intervals.js';
import { mapLabels, valuesOfLabels } from '../evaluate/labels.js';
import { argMaxRows } from '../evaluate/metrics.js';
import { openNetwork, predictRows, type RunningNetwork, type Runtime } from '../evaluate/predict.js';
import { type OutputKind, outputKindOf, type Verdict } from '../evaluate/result.js';
import { rowsFor } from '../evaluate/rows.js';
import { judge } from '../evaluate/verdict.js';
import { buildFiles, readQuantization } from '../files.js';
import { openModelProject } from '../material.js';
import { isMainOutput } from '../network/join-ends.js';
import { isModelPath } from '../publish/verify.js';
import { standardizeAll } from '../train/examples/standardize.js';
import type { Comparison, Side } from './comparison.js';
import { arenaOf, graphMacs, parameterCount, precisionOf } from './costs.js';
import { type ModelFile, modelFileOf, readModelFile } from './model-file.js';

interface CompareOptions {
  /** Files (.tflite, .aiot), project folders (their builds are used), or versions (`har@3`) if `getVersion` is given. */
  a: string;
  b: string;
  /** A CSV file. Default: the test set if one of the two is a project, otherwise no data. */
  data?: string;
  getVersion?: GetVersion;
  label?: string;
  output?: OutputKind;
  /** Which of several outputs; default: the only one. */
  outputName?: string;
  classes?: readonly string[];
  runtime?: Runtime;
  signal?: AbortSignal;
}

const mostExamples = 20;

/**
 * Compares two models' files, and their predictions for the same rows.
 * @throws AIOT_FILE_NOT_FOUND, AIOT_TFLITE_*, AIOT_BUNDLE_MALFORMED, AIOT_MODEL_NOT_BUILT, AIOT_MODEL_UNFIT (different kinds of
 *   prediction), and any error from reading the rows
 */
export async function compareModels(options: CompareOptions): Promise<Comparison> {
  const sides: [Opened, Opened] = [
    await openSide(options.a, options.getVersion),
    await openSide(options.b, options.getVersion),
  ];
  const [a, b] = sides.map(sideOf);
  const nothing = {
    ...emptyHanded,
    runtime: 'litert' as Runtime,
    a: { ...a!, figures: null },
    b: { ...b!, figures: null },
  };
  const project = sides.find((side) => side.project !== null)?.project ?? null;
  if (options.data === undefined && project === null)
    return {
      ...nothing,
      runtime: options.runtime ?? nothing.runtime,
      notes: ['without --data only the files were compared'],
    };
  const networks: RunningNetwork[] = [];
  try {
    networks.push(...(await openBoth(sides, options.runtime, options.outputName)));
    const [first, second] = networks as [RunningNetwork, RunningNetwork];
    if (first.outputs !== second.outputs)
      throw new AiotError(
        'AIOT_MODEL_UNFIT',
        `expected two models with the same number of outputs, got ${first.outputs} and ${second.outputs}`,
        { next: 'Compare models for the same task.' },
      );
    const rows =
      options.data === undefined
        ? await rowsOfProject(sides, project!)
        : await rowsOfTable(sides, [first, second], {
            ...options,
            data: options.data,
          });
    const outputs = [first, second].map((network, i) =>
      predictRows(network, rows.inputs[i]!, options.signal),
    );
    return {
      ...nothing,
      runtime: first.runtime,
      ...answersCompared(rows, outputs[0]!, outputs[1]!, first.outputs, nothing),
    };
  } finally {
    for (const network of networks) network.close();
  }
}

/** Opens both models in the same runtime: the given one, or the faster one if it is the same for both, or LiteRT. */
async function openBoth(
  sides: readonly Opened[],
  asked: Runtime | undefined,
  outputName: string | undefined,
): Promise<RunningNetwork[]> {
  const networks: RunningNetwork[] = [];
  try {
    for (const { model } of sides) networks.push(await openNetwork(model.network, asked, outputName));
    if (networks[0]!.runtime === networks[1]!.runtime) return networks;
  } catch (error) {
    for (const network of networks) network.close();
    throw error;
  }
  for (const network of networks) network.close();
  return openBoth(sides, 'litert', outputName);
}

const emptyHanded = {
  data: null,
  output: null,
  n: 0,
  paired: null,
  disagreement: null,
  largestDifference: null,
  notes: [] as string[],
};

function answersCompared(
  rows: SharedRows,
  a: Float32Array,
  b: Float32Array,
  width: number,
  sides: Pick<Comparison, 'a' | 'b'>,
): Partial<Comparison> & Pick<Comparison, 'a' | 'b'> {
  const n = a.length / width;
  const [first, second] = [a, b].map((outputs, i) => verdictOf(rows, outputs, rows.inputs[i]!, width));
  const named = [
    first!.predicted ?? namedBy(rows, a, width),
    second!.predicted ?? namedBy(rows, b, width),
  ] as const;
  const { truth } = rows;
  const labelled = truth !== null || rows.values !== null;
  const figures = (verdict: Verdict) => (labelled ? networkFigures(verdict) : null);
  return {
    a: { ...sides.a, figures: figures(first!) },
    b: { ...sides.b, figures: figures(second!) },
    data: rows.data,
    output: rows.kind,
    n,
    paired:
      truth && named[0] && named[1]
        ? pairedDifference(
            n,
            (row) => named[0]![row] === truth[row],
            (row) => named[1]![row] === truth[row],
          )
        : null,
    disagreement: named[0] && named[1] ? disagreementOf(rows, named[0], named[1]) : null,
    largestDifference: a.reduce((most, value, i) => Math.max(most, Math.abs(value - b[i]!)), 0),
    notes: rows.notes,
  };
}

function verdictOf(rows: SharedRows, outputs: Float32Array, inputs: Float32Array, width: number): Verdict {
  const truth = rows.truth ?? new Int32Array(outputs.length / width);
  const values = rows.values ?? outputs;
  return judge({ ...rows, outputs, width, inputs, truth, values, resample: false });
}

/** Class names for rows without labels. */
function namedBy({ kind, threshold }: SharedRows, outputs: Float32Array, width: number): Int32Array | null {
  if (kind === 'classes') return argMaxRows(outputs, width);
  return kind === 'probability' ? Int32Array.from(outputs, (p) => Number(p >= (threshold ?? 0.5))) : null;
}

function disagreementOf(
  { truth, classes }: SharedRows,
  a: Int32Array,
  b: Int32Array,
): Comparison['disagreement'] {
  const differing = Array.from(a, (_, row) => row).filter((row) => a[row] !== b[row]);
  const said = (row: number) => ({
    truth: truth ? classes[truth[row]!]! : null,
    a: classes[a[row]!]!,
    b: classes[b[row]!]!,
  });
  const counts = new Map<string, { truth: string | null; a: string; b: string; rows: number }>();
  for (const row of differing) {
    const one = said(row);
    const key = JSON.stringify(one);
    const known = counts.get(key) ?? { ...one, rows: 0 };
    known.rows += 1;
    counts.set(key, known);
  }
  return {
    rows: differing.length,
    share: differing.length / Math.max(1, a.length),
    table: [...counts.values()].sort((x, y) => y.rows - x.rows),
    examples: differing.slice(0, mostExamples).map((row) => ({ row: row + 1, ...said(row) })),
  };
}

/** One of the two models, opened. */
interface Opened {
  model: ModelFile;
  graph: Graph;
  metadata: Uint8Array | null;
  /** Folder of the project that built the model. */
  project: string | null;
}

/** Fetches the bundle of a version such as `har@3`. */
type GetVersion = (reference: string) => Promise<Uint8Array>;

/**
 * Opens a .tflite or .aiot file, the quantized network in a project's build, or a version on the platform.
 * @throws AIOT_FILE_NOT_FOUND, AIOT_MODEL_NOT_BUILT, and any error of `getVersion`
 */
async function openSide(path: string, getVersion?: GetVersion): Promise<Opened> {
  if (getVersion && path.includes('@') && !(await isModelPath(path))) {
    const model = modelFileOf(path, await getVersion(path));
    return { model, ...importTflite(model.network), project: null };
  }
  const isFolder = (await stat(path).catch(() => null))?.isDirectory() ?? false;
  const model = await readModelFile(isFolder ? await networkOf(path) : path);
  return { model, ...importTflite(model.network), project: isFolder ? path : null };
}

async function networkOf(dir: string): Promise<string> {
  const project = await openModelProject(dir);
  return join(buildFiles(project).folder, (await readQuantization(project)).file);
}

/** Information from the model's file. */
function sideOf({ model, graph }: Opened): Omit<Side, 'figures'> {
  const operators = dictionary<number>();
  for (const { op } of graph.operators) operators[op] = (operators[op] ?? 0) + 1;
  const tensors = graph.tensors.map(({ shape, data }) => ({ shape, constant: data !== undefined }));
  return {
    file: model.file,
    digest: model.digest,
    precision: precisionOf(graph),
    bytes: model.network.length,
    arenaBytes: arenaOf(graph),
    macs: graphMacs(graph),
    parameters: parameterCount(graph.operators, tensors),
    operators,
  };
}

/** Rows on which both models run. */
interface SharedRows {
  data: string;
  kind: OutputKind;
  /** Inputs for each model, in the form that the model's network expects. */
  inputs: [Float32Array, Float32Array];
  truth: Int32Array | null;
  values: ArrayLike<number> | null;
  classes: string[];
  threshold: number | null;
  groups?: readonly string[];
  notes: string[];
}

interface TableOptions {
  data: string;
  label?: string;
  output?: OutputKind;
  outputName?: string;
  classes?: readonly string[];
}

/** A table's rows. @throws AIOT_CSV_*, AIOT_DATA_COLUMNS, AIOT_LABELS_UNFIT */
async function rowsOfTable(
  sides: readonly [Opened, Opened],
  networks: readonly [RunningNetwork, RunningNetwork],
  options: TableOptions,
): Promise<SharedRows> {
  const { data, label } = options;
  const table = await openTable(data, { label });
  if (label !== undefined && table.labels === null) throw missingLabels(data, label, table.columns);
  // A bundle describes the output that predicts, not another one.
  const infos = sides.map(({ model, graph }) =>
    isMainOutput(graph, options.outputName) ? model.bundle?.info : undefined,
  );
  const info = infos.find((one) => one !== undefined);
  const kind = options.output ?? info?.answer.kind ?? outputKindOf(networks[0].graph, table.labels);
  const names = options.classes ?? info?.classes ?? null;
  const [first, second] = sides.map(({ model, metadata }, i) =>
    rowsFor(table, data, networks[i]!.inputs, model.bundle, metadata),
  );
  const base = { data, kind, inputs: [first!.inputs, second!.inputs] as [Float32Array, Float32Array] };
  const warnings = [...new Set([...first!.warnings, ...second!.warnings])];
  const threshold = info && 'threshold' in info.answer ? info.answer.threshold : null;
  const rest = { ...base, threshold, groups: table.groups ?? undefined };
  if (kind === 'value') {
    const values = table.labels && valuesOfLabels(table.labels);
    return { ...rest, truth: null, values, classes: [], notes: warnings };
  }
  const count = kind === 'classes' ? networks[0].outputs : 2;
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

/**
 * A project's test set, standardized for each model as the model's own project specifies, or otherwise as this project specifies. @throws
 * AIOT_MODEL_STALE, …
 */
async function rowsOfProject(sides: readonly [Opened, Opened], dir: string): Promise<SharedRows> {
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
    data: `${dir} (test set)`,
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
