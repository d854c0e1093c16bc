import { AiotError } from '../../core/index.js';
import { missingLabels, openTable } from '../../data/index.js';
import { type Graph, importTflite } from '../../formats/index.js';
import type { RowsTaken } from '../file-metadata.js';
import { arenaOf } from '../inspect/arena-of.js';
import { type ModelFile, readModelFile } from '../inspect/model-file.js';
import { precisionOf } from '../inspect/precision.js';
import type { FileEvaluation } from './file-result.js';
import { gateError, gatesFrom, type Limit } from './gates.js';
import type { Verdict } from './judge.js';
import { judgeTable } from './judge-table.js';
import { type OutputKind, outputKindOf } from './output-kind.js';
import { writeOutputs } from './outputs-file.js';
import { openNetwork, predictRows, type Runtime } from './predict.js';
import { rowsFor } from './rows.js';

export interface EvaluateFileOptions {
  /** A .tflite or .aiot file. */
  file: string;
  /** A CSV file: one column per input, and the label. */
  data: string;
  /** Name of the label column. Without it `label`, and a table need not have one when outputs are written. */
  label?: string;
  runtime: Runtime;
  /** What the outputs mean, where the file does not tell. */
  output?: OutputKind;
  /** Names of the classes in the order of the outputs. */
  classes?: readonly string[];
  threshold?: number;
  /** CSV file to write each row's outputs to. */
  outputs?: string;
  /** Integers of a quantized output beside its real values there. */
  integers?: boolean;
  limits?: readonly Limit[];
  signal?: AbortSignal;
}

/**
 * Runs a model over the rows of a table and compares with their labels. It returns also when a gate says no:
 * `gateError(result.gates)` is the refusal.
 * @throws AIOT_FILE_NOT_FOUND, AIOT_TFLITE_*, AIOT_BUNDLE_MALFORMED, AIOT_CSV_*, AIOT_DATA_COLUMNS, AIOT_LABELS_UNFIT,
 *   AIOT_MODEL_UNFIT, AIOT_FILE_NOT_WRITABLE
 */
export async function evaluateFile(options: EvaluateFileOptions): Promise<FileEvaluation> {
  const { file, data, runtime } = options;
  const model = await readModelFile(file);
  const { graph, metadata } = importTflite(model.network);
  const table = await openTable(data, { label: options.label });
  if (table.labels === null) refuseNoLabels(options, table.columns);
  const network = await openNetwork(model.network, runtime);
  let taken: RowsTaken;
  let outputs: Float32Array;
  try {
    taken = rowsFor(table, data, network.inputs, model.bundle, metadata);
    outputs = predictRows(network, taken.inputs, options.signal);
  } finally {
    network.close();
  }
  const answer = model.bundle?.info.answer;
  const kind = options.output ?? answer?.kind ?? outputKindOf(graph, table.labels);
  requireWidth(kind, network);
  const { verdict, notes } = judgeTable({
    kind,
    outputs,
    width: network.outputs,
    inputs: taken.inputs,
    labels: table.labels,
    names: options.classes ?? model.bundle?.info.classes ?? null,
    threshold: options.threshold ?? (answer && 'threshold' in answer ? answer.threshold : null),
    groups: table.groups ?? undefined,
  });
  const result = resultOf(options, model, graph, table.digest, { kind, verdict, notes, taken });
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
}

function resultOf(
  options: EvaluateFileOptions,
  model: ModelFile,
  graph: Graph,
  dataDigest: string,
  { kind, verdict, notes, taken }: Measured,
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
    runtime: options.runtime,
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
  const wanted = { classes: Math.max(2, outputs), probability: 1, value: 1, reconstruction: inputs }[kind];
  if (wanted === outputs) return;
  throw new AiotError(
    'AIOT_MODEL_UNFIT',
    `an output of ${kind}: expected a network with ${wanted} of them, got ${outputs}`,
    { next: 'Leave --output out, or give the kind that the network was trained for.' },
  );
}

function refuseNoLabels({ data, label, outputs }: EvaluateFileOptions, columns: readonly string[]): void {
  if (outputs !== undefined && label === undefined) return;
  if (label !== undefined) throw missingLabels(data, label, columns);
  throw new AiotError(
    'AIOT_DATA_COLUMNS',
    `${data}: expected a column "label" with the label of each row, got ${columns.slice(0, 8).join(', ')}`,
    { next: 'Name it with --label NAME; without labels, --outputs FILE.csv writes the outputs alone.' },
  );
}
