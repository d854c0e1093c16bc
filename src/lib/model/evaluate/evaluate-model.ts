import { stat } from 'node:fs/promises';
import * as z from 'zod';
import { AiotError } from '../../core/errors.js';
import { decimalOf, plural } from '../../core/figures.js';
import { refuseInputs, writeFileAtomic } from '../../core/files.js';
import { shellWord } from '../../core/text.js';
import { missingLabels, openTable } from '../../data/tables/table.js';
import { writeCsv } from '../../formats/csv/table.js';
import { type Graph, hasState, type Tensor } from '../../formats/tflite/graph.js';
import { importTflite } from '../../formats/tflite/read.js';
import { arenaOf, precisionOf } from '../inspect/costs.js';
import { type ModelFile, readModelFile } from '../inspect/model-file.js';
import { openModelProject } from '../material.js';
import { isMainOutput } from '../network/join-ends.js';
import { fileEvaluationPage } from '../report/file-page.js';
import { writeReport } from '../report/write-report.js';
import { evaluateProject } from './evaluate-project.js';
import { gateError, gatesFrom, type Limit, parseLimits } from './gates.js';
import { mapLabels, orderWarning, otherOrder, valuesOfLabels } from './labels.js';
import { openNetwork, predictRows, type Runtime, sessionsOf } from './predict.js';
import {
  evaluateResultSchema,
  type FileEvaluation,
  fileEvaluationSchema,
  type OutputKind,
  outputKindOf,
  type Verdict,
} from './result.js';
import { type RowsTaken, rowsFor } from './rows.js';
import { type Answers, judge, unjudged } from './verdict.js';

export const evaluationSchema = z.union([fileEvaluationSchema, evaluateResultSchema]);

type Evaluation = z.output<typeof evaluationSchema>;

/** Options of `model evaluate`, as text. */
export interface EvaluationRequest {
  file?: string;
  project: string;
  data?: string;
  label?: string;
  runtime?: Runtime;
  output?: OutputKind;
  outputName?: string;
  classes?: string;
  threshold?: string;
  gates?: readonly string[];
  outputs?: string;
  integers?: boolean;
  report?: string;
  sensorDrop?: boolean;
  /** Length of a simulated stream, ms. */
  streamMs?: number;
  /** Class in the stream that is not a detection. */
  background?: string;
  signal?: AbortSignal;
}

/** Options that apply only when evaluating a file, and their flags. */
const ofFiles = [
  ['output', 'output'],
  ['outputName', 'output-name'],
  ['classes', 'classes'],
  ['outputs', 'outputs'],
] as const;

/**
 * Evaluates a file on a table, or the project's network on held-out data.
 * @throws AIOT_USAGE if the options contradict each other, AIOT_FILE_IS_INPUT, and any error of evaluateFile and evaluateProject
 */
export async function evaluateModel(request: EvaluationRequest): Promise<Evaluation> {
  const limits = parseLimits(request.gates ?? []);
  return request.file === undefined
    ? await ofProject(request, limits)
    : await ofFile(request, request.file, limits);
}

async function ofFile(
  { data, threshold, classes, report, ...rest }: EvaluationRequest,
  file: string,
  limits: ReturnType<typeof parseLimits>,
): Promise<Evaluation> {
  if (rest.sensorDrop)
    throw usage(
      '--sensor-drop needs a project, whose recordings have fields',
      'aiot model evaluate --sensor-drop',
    );
  if (rest.streamMs !== undefined)
    throw usage(
      '--streaming needs the project of the model, not a file',
      'aiot model evaluate --streaming 60m',
    );
  if (data === undefined)
    throw usage(`rows are needed to evaluate ${file}`, `aiot model evaluate ${file} --data rows.csv`);
  if ((await stat(data).catch(() => null))?.isDirectory())
    throw usage(
      `--data ${data} is a folder, but a model file is evaluated on the rows of a CSV file`,
      `Compute the features of its recordings: \`aiot data features --data ${shellWord(data)} --out features.csv\`. Then pass --data features.csv.`,
    );
  const from = threshold === undefined ? undefined : decimalOf(threshold);
  if (from !== undefined && !Number.isFinite(from))
    throw usage(`--threshold: expected a number, got "${threshold}"`);
  await refuseInputs([rest.outputs, report], [file, data]);
  const result = await evaluateFile({
    ...rest,
    file,
    data,
    threshold: from,
    classes: classes?.split(','),
    limits,
  });
  if (report !== undefined) await writeFileAtomic(report, fileEvaluationPage(result));
  return result;
}

async function ofProject(
  request: EvaluationRequest,
  limits: ReturnType<typeof parseLimits>,
): Promise<Evaluation> {
  if (request.threshold !== undefined)
    throw usage(
      '--threshold needs a model file, because devices use the threshold of the project',
      'Set model.threshold in aiot.yaml (for model.output: probability), then run `aiot model evaluate`.',
    );
  const [, misplaced] = ofFiles.find(([name]) => request[name] !== undefined) ?? [];
  if (misplaced !== undefined)
    throw usage(
      `--${misplaced} needs a model file`,
      `aiot model evaluate FILE.tflite --data rows.csv --${misplaced} …`,
    );
  const project = await openModelProject(request.project, request.data);
  const { data, label, runtime, sensorDrop, streamMs, background, signal } = request;
  const stream = streamMs === undefined ? undefined : { minutes: streamMs / 60_000, background };
  const result = await evaluateProject({
    ...{ project, data, label, runtime, limits, sensorDrop, stream, signal },
  });
  if (request.report) await writeReport({ file: request.report, project });
  return result;
}

function usage(message: string, next?: string): AiotError {
  return new AiotError('AIOT_USAGE', message, next === undefined ? {} : { next });
}

interface EvaluateFileOptions {
  /** A .tflite or .aiot file. */
  file: string;
  /** A CSV file: one column per input, and the label. */
  data: string;
  /** Name of the label column. Default: `label`. A table without labels is accepted if outputs are written. */
  label?: string;
  /** Default: the faster one, see `openNetwork`. */
  runtime?: Runtime;
  /** The meaning of the outputs, if the file does not define it. */
  output?: OutputKind;
  /** Which of several outputs; default: the only one. */
  outputName?: string;
  /** Names of the classes in the order of the outputs. */
  classes?: readonly string[];
  threshold?: number;
  /** CSV file for each row's outputs. */
  outputs?: string;
  /** Whether the output file also contains the integers of a quantized output. */
  integers?: boolean;
  limits?: readonly Limit[];
  signal?: AbortSignal;
}

/**
 * Runs a model on the rows of a table and compares the outputs with the labels. A failed gate does not throw: `gateError(result.gates)` is
 * the error.
 * @throws AIOT_FILE_NOT_FOUND, AIOT_TFLITE_*, AIOT_BUNDLE_MALFORMED, AIOT_CSV_*, AIOT_DATA_COLUMNS, AIOT_LABELS_UNFIT, AIOT_MODEL_UNFIT,
 * AIOT_FILE_NOT_WRITABLE
 */
async function evaluateFile(options: EvaluateFileOptions): Promise<FileEvaluation> {
  const { file, data, runtime, outputName } = options;
  const model = await readModelFile(file);
  const { graph, metadata } = importTflite(model.network);
  const table = await openTable(data, { label: options.label });
  if (table.labels === null) refuseNoLabels(options, table.columns);
  const network = await openNetwork(
    model.network,
    runtime ?? (hasState(graph) ? 'device' : undefined),
    outputName,
  );
  let taken: RowsTaken;
  let outputs: Float32Array;
  try {
    taken = rowsFor(table, data, network.inputs, model.bundle, metadata);
    const sessions = sessionsOf(table.groups ?? undefined, model.bundle?.info.state);
    outputs = predictRows(network, taken.inputs, options.signal, 0, sessions);
  } finally {
    network.close();
  }
  // A bundle describes the output that predicts, not another one.
  const info = isMainOutput(graph, outputName) ? model.bundle?.info : undefined;
  const answer = info?.answer;
  const kind = options.output ?? answer?.kind ?? outputKindOf(network.graph, table.labels);
  requireWidth(kind, network);
  const { verdict, notes } = judgeTable({
    kind,
    outputs,
    width: network.outputs,
    inputs: taken.inputs,
    labels: table.labels,
    names: options.classes ?? info?.classes ?? null,
    threshold: options.threshold ?? (answer && 'threshold' in answer ? answer.threshold : null),
    groups: table.groups ?? undefined,
  });
  const result = resultOf(options, model, graph, table.digest, {
    kind,
    verdict,
    notes,
    taken,
    runtime: network.runtime,
  });
  if (options.outputs !== undefined)
    await writeOutputs(
      options.outputs,
      outputs,
      network.outputs,
      network.outputTensor,
      options.integers === true,
    );
  return result;
}

interface Measured {
  kind: OutputKind;
  verdict: Verdict;
  notes: string[];
  taken: RowsTaken;
  runtime: Runtime;
}

function resultOf(
  options: EvaluateFileOptions,
  model: ModelFile,
  graph: Graph,
  dataDigest: string,
  { kind, verdict, notes, taken, runtime }: Measured,
): FileEvaluation {
  const { predicted: _, ...figures } = verdict;
  const arenaBytes = arenaOf(graph);
  const gates = gatesFrom(options.limits ?? [], {
    ...figures,
    arena: arenaBytes,
    bytes: model.network.length,
  });
  return {
    file: options.file,
    kind: model.kind,
    bytes: model.bytes,
    digest: model.digest,
    precision: precisionOf(graph),
    data: options.data,
    dataDigest,
    standardized: taken.standardized,
    runtime,
    output: kind,
    ...figures,
    outputs: options.outputs ?? null,
    arenaBytes,
    gates,
    passed: gates.every(({ passed }) => passed),
    warnings: [...taken.warnings, ...notes],
    error: gateError(gates)?.toJSON() ?? null,
  };
}

function requireWidth(kind: OutputKind, { inputs, outputs }: { inputs: number; outputs: number }): void {
  if (kind === 'objects')
    throw new AiotError(
      'AIOT_MODEL_UNFIT',
      'a table has no boxes, so objects cannot be evaluated on its rows',
      {
        next: 'Evaluate the model in its project: `aiot model evaluate --project DIR`.',
      },
    );
  const wanted = { classes: Math.max(2, outputs), probability: 1, value: 1, reconstruction: inputs }[kind];
  if (wanted === outputs) return;
  throw new AiotError(
    'AIOT_MODEL_UNFIT',
    `for the output kind ${kind}, expected a model with ${plural(wanted, 'output')}, got ${outputs}`,
    { next: 'Omit --output, or use the kind that the model was trained for.' },
  );
}

function refuseNoLabels({ data, label, outputs }: EvaluateFileOptions, columns: readonly string[]): void {
  if (outputs !== undefined && label === undefined) return;
  if (label !== undefined) throw missingLabels(data, label, columns);
  throw new AiotError(
    'AIOT_DATA_COLUMNS',
    `${data}: expected a column "label" with the label of each row, got ${columns.slice(0, 8).join(', ')}`,
    {
      next: 'Specify the label column with --label NAME. To write only the outputs, use --outputs FILE.csv.',
    },
  );
}

/** Outputs for a table's rows, with labels that are still text. */
interface TableAnswers
  extends Pick<Answers, 'kind' | 'outputs' | 'width' | 'inputs' | 'threshold' | 'groups'> {
  /** Null if the table has no labels. */
  labels: readonly string[] | null;
  /** Names of the classes, if specified. */
  names: readonly string[] | null;
}

/** Metrics of a network on a table, with warnings for the reader. @throws AIOT_LABELS_UNFIT */
function judgeTable(answers: TableAnswers): { verdict: Verdict; truth: Int32Array; notes: string[] } {
  const { labels, names, kind, width, threshold } = answers;
  const rows = answers.outputs.length / width;
  const none = new Int32Array(rows);
  if (labels === null) return { verdict: unjudged(rows), truth: none, notes: [] };
  if (kind === 'value') {
    const verdict = judge({ ...answers, truth: none, values: valuesOfLabels(labels), classes: [] });
    return { verdict, truth: none, notes: [] };
  }
  const count = kind === 'classes' ? width : 2;
  const { classes, truth, note } = mapLabels(labels, count, names);
  const verdict = judge({ ...answers, truth, classes });
  const notes = note === null ? [] : [note];
  if (kind === 'probability' && note !== null && verdict.auc !== null && verdict.auc < 0.5)
    notes.push(
      `the probability is smaller for ${classes[1]} than for ${classes[0]}: are they in the wrong order? Try --classes ${classes[1]},${classes[0]}`,
    );
  const other = kind === 'classes' ? otherOrder(classes, verdict.confusion) : null;
  if (other !== null) notes.push(orderWarning(other));
  const [first] = verdict.predicted ?? [];
  if (new Set(truth).size > 1 && verdict.predicted?.every((c) => c === first))
    notes.push(
      `every row got the same prediction, ${classes[first!]}: are the rows scaled like the training rows?`,
    );
  if (kind === 'reconstruction' && threshold === null)
    notes.push('the accuracy is only computed with --threshold');
  return { verdict, truth, notes };
}

/**
 * Writes each row's outputs as a CSV file, in the order of the rows. `output_0,output_1,…` are real values as float32, dequantized if the
 * network's output is int8 or int16. With `integers`, the quantized numbers follow as `integer_0,…`.
 * @throws AIOT_FILE_NOT_WRITABLE
 */
async function writeOutputs(
  file: string,
  values: Float32Array,
  outputs: number,
  tensor: Tensor,
  integers: boolean,
): Promise<void> {
  const rows = values.length / outputs;
  const columns: string[] = [];
  const data: number[][] = [];
  for (let o = 0; o < outputs; o++) {
    columns.push(`output_${o}`);
    // Nine digits reproduce the float32 exactly.
    data.push(Array.from({ length: rows }, (_, row) => Number(values[row * outputs + o]!.toPrecision(9))));
  }
  const { scale: [scale] = [], zeroPoint: [zero] = [] } = tensor.quantization ?? {};
  if (integers && tensor.type !== 'float32' && scale !== undefined && zero !== undefined)
    for (let o = 0; o < outputs; o++) {
      columns.push(`integer_${o}`);
      data.push(
        Array.from({ length: rows }, (_, row) => Math.round(values[row * outputs + o]! / scale) + zero),
      );
    }
  await writeFileAtomic(file, writeCsv(columns, data));
}
