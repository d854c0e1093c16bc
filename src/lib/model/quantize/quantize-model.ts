import { basename } from 'node:path';
import { digestOf } from '../../core/crypto.js';
import { AiotError } from '../../core/errors.js';
import { readBytes, refuseInputs, writeFileAtomic, writeTogether } from '../../core/files.js';
import { seededRandom, shuffled } from '../../core/numbers.js';
import { missingLabels } from '../../data/tables/table.js';
import { parseTable, type Table } from '../../formats/csv/table.js';
import {
  elementCount,
  type Graph,
  hasForest,
  hasFrontEnd,
  isEmpty,
  type Quantization,
} from '../../formats/tflite/graph.js';
import { importTflite } from '../../formats/tflite/read.js';
import { operatorVersions, writeTflite } from '../../formats/tflite/write.js';
import { type Standardization, standardize } from '../../signal/spec.js';
import { type Emit, emitted, placesOf, requireEmittable } from '../emit/emit.js';
import { requireColumns, rowsTaken } from '../evaluate/rows.js';
import { arenaOf, precisionOf } from '../inspect/costs.js';
import { readModelBytes } from '../inspect/model-file.js';
import type { PartPieces } from '../train/examples/parts.js';
import type { QuantizeDetail } from './detail.js';
import { compileEdgeTpu, requireCompiler } from './edgetpu.js';
import { type Evaluation, evaluationOfTable } from './evaluation.js';
import { affordable, affordableCount, spread } from './graph/noise.js';
import { isQuantized, prepareGraph } from './graph/quantize-graph.js';
import type { QuantizeOptions } from './quantize-project.js';
import type { QuantizeResult } from './result.js';
import { type Material, type SearchOptions, searchQuantization } from './search.js';
import type { Quantized } from './types.js';

export interface QuantizeModelOptions extends Omit<Partial<SearchOptions>, 'maxLoss' | 'onFound'> {
  /** A float .tflite file. Default: the project's own network. */
  file?: string | undefined;
  project: string;
  data?: string | undefined;
  label?: string | undefined;
  /** Class names, separated by commas, in the order of the outputs of `file`. */
  classes?: string | undefined;
  /** Labeled rows on which the loss of `file` is measured, instead of the rows in `data`. */
  evaluate?: string | undefined;
  out?: string | undefined;
  emit?: Emit | undefined;
  maxLoss?: number | undefined;
  /** Output HTML file that shows the loss of each tensor. */
  report?: string | undefined;
  /** Accelerator for which the file is also compiled. */
  target?: (typeof targets)[number] | undefined;
}

/** Supported accelerators, whose compilers are external programs. */
export const targets = ['edgetpu'] as const;

/**
 * `aiot model quantize`: quantizes a bare file, or a project's network.
 * @throws AIOT_USAGE for options that apply only to a file; AIOT_PROGRAM_NOT_FOUND and AIOT_EDGETPU_FAILED (`target`); any error of
 *   quantizeFile and quantizeProject; AIOT_FILE_IS_INPUT, AIOT_FILE_NOT_WRITABLE (`report`)
 */
export async function quantizeModel(options: QuantizeModelOptions): Promise<QuantizeResult> {
  if (options.target === undefined) return await quantizeAndTell(options);
  // Checks for the compiler before the long computation, which would be useless without it.
  const compiler = await requireCompiler();
  const result = await quantizeAndTell(options);
  options.onStep?.('compiling for the Edge TPU');
  return { ...result, edgetpu: await compileEdgeTpu(result.file, { compiler, signal: options.signal }) };
}

async function quantizeAndTell(options: QuantizeModelOptions): Promise<QuantizeResult> {
  const { report, file, data, evaluate } = options;
  if (report === undefined) return await quantizeAsked(options);
  await refuseInputs([report], [file, data, evaluate]);
  const found: { detail: QuantizeDetail | null } = { detail: null };
  const [{ detailOf }, { quantizePage }] = await Promise.all([
    import('./detail.js'),
    import('../report/quantize-page.js'),
  ]);
  const result = await quantizeAsked({
    ...options,
    onFound: (compared, rows) => {
      if (rows.length > 0) found.detail = detailOf(compared, rows);
    },
  });
  await writeFileAtomic(report, quantizePage(result, found.detail));
  return result;
}

type Asked = QuantizeModelOptions & Pick<SearchOptions, 'onFound'>;

async function quantizeAsked(options: Asked): Promise<QuantizeResult> {
  const { file, project, maxLoss = null, finetune = 0, mode = 'int8' } = options;
  const classes = options.classes?.split(',');
  if (file !== undefined) {
    const requested = options.mode;
    return await quantizeFile({ ...options, file, mode, requested, maxLoss, finetune, classes });
  }
  for (const name of ['classes', 'evaluate'] as const)
    if (options[name] !== undefined)
      throw new AiotError('AIOT_USAGE', `--${name} needs a model file`, {
        next: `A project defines its own classes and validation set. For a file, run \`aiot model quantize FILE.tflite --data rows.csv --${name} …\`.`,
      });
  // Loaded lazily, so that a bare file starts faster: only a project needs recordings and their signal part.
  const [{ quantizeProject }, { openModelProject }] = await Promise.all([
    import('./quantize-project.js'),
    import('../material.js'),
  ]);
  const { file: _file, classes: _classes, evaluate: _evaluate, ...rest } = options;
  const opened = await openModelProject(project, options.data);
  return await quantizeProject({ ...rest, project: opened } as QuantizeOptions);
}

interface QuantizeFileOptions extends SearchOptions {
  /** A .tflite file with float32 (or float16) weights. */
  file: string;
  /** A CSV file of typical input rows: one column per input, and labels if needed. */
  data?: string | undefined;
  /** Name of the label column. If given, the loss is measured. Default: `label` if labels are needed. */
  label?: string | undefined;
  /** Class names in the order of the outputs. By default, labels are numbered in sorted order. */
  classes?: readonly string[] | undefined;
  /** A CSV file of labeled rows on which the loss is measured. Default: the rows in `data`. */
  evaluate?: string | undefined;
  /** The output file. Default: FILE.MODE.tflite beside the input. With `emit` c, the output folder for the source. Default: FILE-c. */
  out?: string | undefined;
  emit?: Emit | undefined;
}

/**
 * Quantizes any float .tflite file, without a project.
 * @throws AIOT_FILE_NOT_FOUND, AIOT_FILE_IS_INPUT, AIOT_TFLITE_*, AIOT_CSV_*, AIOT_DATA_COLUMNS, AIOT_LABELS_UNFIT,
 *   AIOT_QUANTIZE_UNFIT, AIOT_QUANTIZE_LOSS, AIOT_USAGE (integers or a limit without rows), AIOT_FILE_NOT_WRITABLE
 */
/** @throws AIOT_TFLITE_UNSUPPORTED if an output has no elements: it has no values whose range could be measured */
function requireElements(file: string, { tensors, outputs }: Graph): void {
  const empty = outputs.map((index) => tensors[index]!).find(isEmpty);
  if (empty)
    throw new AiotError(
      'AIOT_TFLITE_UNSUPPORTED',
      `${file}: the output ${empty.name} has no elements, so it cannot be quantized`,
      {
        subject: 'file',
        next: 'Import the model again without this output: aiot model import FILE --output NAME',
      },
    );
}

async function quantizeFile(asked: QuantizeFileOptions & { requested?: string }): Promise<QuantizeResult> {
  const { file, data, evaluate, emit } = asked;
  const stem = file.replace(/\.tflite$/, '');
  const bytes = await readModelBytes(file);
  const { graph, notes, metadata } = named(file, () => importTflite(bytes));
  requireElements(file, graph);
  const forest = hasForest(graph);
  if (forest) requireForestMode({ ...asked, mode: asked.requested });
  const options = forest ? { ...asked, mode: 'float32' as const } : asked;
  const unchanged = emit !== undefined && !forest && (hasFrontEnd(graph) || isQuantized(graph));
  const { mode } = unchanged ? endsOf(graph) : options;
  if (unchanged) requireNoChanges(file, graph, asked);
  requireEmittable(emit, { ...options, forest });
  const { file: out, source } = placesOf(emit, options.out, {
    file: `${stem}.${mode}.tflite`,
    folder: `${stem}-c`,
  });
  await refuseInputs([out], [file, data, evaluate]);
  const prepared = unchanged ? graph : named(file, () => prepareGraph(graph));
  const { told, standardized, ...material } = unchanged
    ? unneeded
    : await materialOf(prepared, metadata, options);
  const { quantized, steps, loss } = unchanged
    ? unquantized(graph)
    : await searchQuantization(prepared, material, options);
  options.onFound?.(quantized, material.rows);
  const { contents, ...outcome } = outcomeOf(quantized, { steps, loss }, metadata);
  const sources =
    emit === undefined
      ? new Map()
      : emitted(emit, {
          out: source,
          graph: quantized.graph,
          contents,
          name: basename(stem),
          classes: options.classes ?? [],
          rows: material.rows,
        });
  await refuseInputs([...sources.keys()], [file, data, evaluate]);
  options.signal?.throwIfAborted();
  await writeTogether(new Map([...sources, [out, contents]]));
  return {
    model: basename(stem),
    ...outcome,
    file: out,
    floatBytes: bytes.length,
    windows: material.rows.length,
    standardized,
    emitted: [...sources.keys()],
    notes: [...notes, ...told, ...outcome.notes],
  };
}

/** Options that would change a model. */
interface Changes {
  data?: string | undefined;
  evaluate?: string | undefined;
  maxLoss: number | null;
  finetune: number;
  /** The mode, if the user requested one. */
  requested?: string | undefined;
  io?: SearchOptions['io'];
}

/** @throws AIOT_QUANTIZE_UNFIT for options that do not apply to a model that is exported as it is */
export function requireNoChanges(
  file: string,
  graph: Graph,
  { data, evaluate, maxLoss, finetune, requested, io }: Changes,
): void {
  const own = endsOf(graph);
  const wrong = [
    ...(data === undefined ? [] : ['--data']),
    ...(evaluate === undefined ? [] : ['--evaluate']),
    ...(maxLoss === null ? [] : ['--max-loss']),
    ...(finetune > 0 ? ['--finetune'] : []),
    ...(requested === undefined || requested === own.mode ? [] : [`--mode ${requested}`]),
    ...(io === undefined || (io === 'float32') === (own.io === 'float32') ? [] : [`--io ${io}`]),
  ];
  if (wrong.length === 0) return;
  throw new AiotError(
    'AIOT_QUANTIZE_UNFIT',
    `${wrong.join(' and ')} does not apply to ${file}: ${whatIsQuantized(graph)} is already quantized, so the model is exported unchanged`,
    { next: `Omit ${wrong.join(' and ')}.` },
  );
}

const whatIsQuantized = (graph: Graph) => (hasFrontEnd(graph) ? 'its audio front end' : 'it');

/** Mode of a quantized model, and the type of its inputs and outputs. */
export function endsOf(graph: Graph) {
  const types = [...graph.inputs, ...graph.outputs].map((index) => graph.tensors[index]!.type);
  const mode = precisionOf(graph) === 'int16x8' ? ('int16x8' as const) : ('int8' as const);
  const io = types.includes('float32') ? 'float32' : types.includes('int16') ? 'int16' : 'int8';
  return { mode, io } as const;
}

/** The result for a model that is exported unchanged. */
export function unquantized(graph: Graph): Awaited<ReturnType<typeof searchQuantization>> {
  const notes = [
    hasFrontEnd(graph)
      ? 'the audio front end is already quantized, so the model was exported unchanged'
      : 'the model is already quantized, so it was exported unchanged',
  ];
  const { mode, io } = endsOf(graph);
  const report = { mode, io, sqnrDb: null, layers: [], notes };
  const twins = new Map(graph.tensors.map((_, index) => [index, index]));
  return {
    quantized: { graph, report, twins, against: graph },
    steps: [],
    loss: null,
    way: { settings: { mode }, epochs: 0 },
  };
}

/** @throws AIOT_QUANTIZE_UNFIT for options that do not apply to decision trees */
export function requireForestMode({ mode, io, maxLoss, finetune }: Requested): void {
  const wrong =
    mode !== undefined && mode !== 'float32'
      ? `--mode ${mode}`
      : io === 'int8'
        ? '--io int8'
        : maxLoss != null
          ? '--max-loss'
          : finetune
            ? '--finetune'
            : null;
  if (wrong === null) return;
  throw new AiotError(
    'AIOT_QUANTIZE_UNFIT',
    `${wrong} does not apply to a forest, which already compares and adds integers without any loss`,
    { next: `Omit ${wrong.split(' ')[0]}. Write it as C code with --emit c.` },
  );
}

type Requested = {
  mode?: string | undefined;
  io?: string | undefined;
  maxLoss?: number | null | undefined;
  finetune?: number | undefined;
};

/** Runs `read`, and prefixes an error's message with the file's name. */
function named<T>(file: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof AiotError)) throw error;
    const damaged = error.code === 'AIOT_TFLITE_MALFORMED';
    throw error.reworded(`${file}: ${error.message}`, {
      cause: error,
      next: damaged ? 'Use the original float .tflite file from the converter.' : error.next,
    });
  }
}

type FileMaterial = Material & { told: string[]; standardized: boolean };

async function materialOf(
  graph: Graph,
  metadata: Uint8Array | null,
  options: QuantizeFileOptions,
): Promise<FileMaterial> {
  const { data, label, evaluate, maxLoss } = options;
  if (data === undefined) return withoutRows(options);
  const table = await tableOf(data, label, graph, metadata);
  const { rows, note } = affordableRows(graph, table.rows);
  const told = [...(note === null ? [] : [note]), ...dividedColumns(graph), ...table.warnings];
  const { standardized } = table;
  if (label === undefined && maxLoss === null && evaluate === undefined)
    return { rows, evaluation: null, lesson: { rows, evaluation: null }, told, standardized };
  const judged = evaluate === undefined ? table : await tableOf(evaluate, label, graph, metadata);
  const { labels, groups } = labelled(judged.table, evaluate ?? data, label);
  const names = options.classes ?? null;
  const { evaluation: bare, notes } = evaluationOfTable(graph, {
    rows: judged.rows,
    labels,
    groups,
    names,
    limited: maxLoss !== null,
  });
  told.push(...notes, ...(judged === table ? [] : judged.warnings));
  const evaluation = { ...bare, calibrated: evaluate === undefined };
  // Rows in another file are unseen anyway, so no rows need to be held back from fine-tuning.
  const lesson = evaluate === undefined ? lessonOf(graph, evaluation) : { rows, evaluation };
  return { rows, evaluation, lesson, told, standardized };
}

/** @throws AIOT_USAGE if the requested operation needs rows */
function withoutRows({ mode, maxLoss, finetune, evaluate }: QuantizeFileOptions): FileMaterial {
  const integers = mode === 'int8' || mode === 'int16x8';
  const measured = maxLoss !== null ? '--max-loss' : evaluate !== undefined ? '--evaluate' : null;
  const needy = (integers ? `--mode ${mode}` : measured) ?? (finetune > 0 ? '--finetune' : null);
  if (needy === null) return { rows: [], evaluation: null, lesson: none, told: [], standardized: false };
  throw new AiotError('AIOT_USAGE', `${needy} needs rows with the model's inputs`, {
    next: 'Provide a CSV file with one column per input: --data rows.csv',
  });
}

const none: Material['lesson'] = { rows: [], evaluation: null };
const unneeded: FileMaterial = { rows: [], evaluation: null, lesson: none, told: [], standardized: false };

/** A table's rows as the network's inputs. */
async function tableOf(file: string, label: string | undefined, graph: Graph, metadata: Uint8Array | null) {
  const table = parseTable(await readBytes(file), file, { label });
  if (label !== undefined && table.labels === null) throw missingLabels(file, label, table.columns);
  const size = graph.inputs.reduce((sum, index) => sum + elementCount(graph.tensors[index]!.shape), 0);
  requireColumns(table, file, size, dividedColumns(graph)[0]);
  const { inputs, standardized, warnings } = rowsTaken(table.inputs, size, metadata);
  return { table, rows: rowsOf(inputs, size), standardized, warnings };
}

/** A sentence that states which columns each of several inputs reads; none for a single input. */
function dividedColumns({ inputs, tensors }: Graph): string[] {
  if (inputs.length === 1) return [];
  let end = 0;
  const ranges = inputs.map((index) => {
    const { name, shape } = tensors[index]!;
    const first = end + 1;
    end += elementCount(shape);
    return `${name} reads ${first === end ? `column ${end}` : `columns ${first} to ${end}`}`;
  });
  return [`the columns are divided over the inputs: ${ranges.join(', ')}`];
}

function labelled(
  table: Table,
  file: string,
  label = 'label',
): { labels: string[]; groups: string[] | null } {
  if (table.labels !== null) return { labels: table.labels, groups: table.groups };
  throw new AiotError(
    'AIOT_DATA_COLUMNS',
    `${file}: expected a column "${label}" with the label of each row, got ${table.columns.slice(0, 8).join(', ')}`,
    { next: 'Specify the label column with --label NAME: --max-loss needs labels.' },
  );
}

/** Share of the rows (or of their groups) held back from fine-tuning. */
const unseenShare = 0.3;

const seed = 7;

/**
 * Divides one table for two uses: some rows are for fine-tuning, and the others for measuring the loss. Rows of one group stay together.
 * With fewer than two groups or ten rows, nothing is held back.
 */
function lessonOf(graph: Graph, evaluation: Evaluation): Material['lesson'] {
  const { rows, groups, right, calibrated } = evaluation;
  const names = groups ?? rows.map((_, row) => String(row));
  const order = shuffled([...new Set(names)], seededRandom(seed));
  const unseen = new Set(order.slice(0, Math.max(1, Math.round(order.length * unseenShare))));
  const [aside, seen]: [number[], number[]] = [[], []];
  names.forEach((name, row) => {
    (unseen.has(name) ? aside : seen).push(row);
  });
  if (order.length < 2 || rows.length < 10) return { rows: affordableRows(graph, rows).rows, evaluation };
  return {
    rows: affordableRows(
      graph,
      seen.map((row) => rows[row]!),
    ).rows,
    evaluation: {
      rows: aside.map((row) => rows[row]!),
      groups: groups && aside.map((row) => groups[row]!),
      right: (at, output) => right(aside[at]!, output),
      calibrated,
    },
  };
}

/** Multiply-add budget for the representative rows: a few tenths of a second. */
const budget = 3e8;

const fewest = 100;

/** Maximum number of representative rows. More rows would hardly add information about an activation. */
const most = 1000;

/** Splits a row-major table into rows. */
export function rowsOf(inputs: Float32Array, size: number): Float32Array[] {
  return Array.from({ length: inputs.length / size }, (_, row) =>
    inputs.subarray(row * size, (row + 1) * size),
  );
}

/** All rows, or an evenly spaced subset small enough to calibrate even a large network in a second. */
function affordableRows(
  graph: Graph,
  rows: readonly Float32Array[],
): { rows: Float32Array[]; note: string | null } {
  const taken = affordable(graph, rows, budget, fewest, most);
  return { rows: taken, note: noteOf(taken.length, rows.length) };
}

/** Like `affordableRows`, but for part of the data: the selected rows are standardized, and no other rows stay in memory. */
export function affordableOf(
  graph: Graph,
  { count, pieces }: PartPieces,
  by: Standardization,
): { rows: Float32Array[]; note: string | null } {
  const places = spread(count, affordableCount(graph, budget, fewest, most));
  const rows: Float32Array[] = [];
  let before = 0;
  for (const { inputs, inputSize, classes } of pieces()) {
    for (;;) {
      const row = (places[rows.length] ?? count) - before;
      if (row >= classes.length) break;
      const taken = inputs.subarray(row * inputSize, (row + 1) * inputSize);
      rows.push(standardize(taken, by, new Float32Array(inputSize)));
    }
    before += classes.length;
  }
  return { rows, note: noteOf(rows.length, count) };
}

function noteOf(taken: number, rows: number): string | null {
  return taken < rows ? `ranges are from ${taken} of the ${rows} rows, selected at even intervals` : null;
}

/** The file to write for a quantized network, and the network's description. */
type Outcome = Omit<
  QuantizeResult,
  'model' | 'file' | 'floatBytes' | 'windows' | 'standardized' | 'emitted'
> & {
  /** The .tflite file. */
  contents: Uint8Array;
};

/**
 * @param metadata bytes of the file's TFLITE_METADATA entry
 * @throws AIOT_TFLITE_MALFORMED
 */
export function outcomeOf(
  { graph, report }: Quantized,
  { steps, loss }: Pick<QuantizeResult, 'steps' | 'loss'>,
  metadata: Uint8Array | null,
): Outcome {
  const contents = writeTflite(graph, { metadata: metadata ?? undefined });
  const versions = operatorVersions(graph);
  const end = (index: number | undefined) => endOf(graph.tensors[index ?? -1]?.quantization);
  return {
    contents,
    mode: report.mode,
    io: report.io,
    bytes: contents.length,
    digest: digestOf(contents),
    ops: graph.operators.map(({ op }) => ({ op, version: versions.get(op)! })),
    sqnrDb: report.sqnrDb,
    input: end(graph.inputs[0]),
    output: end(graph.outputs[0]),
    inputs: graph.inputs.map(end),
    outputs: graph.outputs.map(end),
    layers: report.layers,
    steps,
    loss,
    arenaBytes: arenaOf(graph),
    notes: report.notes,
  };
}

function endOf(quantization: Quantization | undefined): QuantizeResult['input'] {
  const [scale, zeroPoint] = [quantization?.scale[0], quantization?.zeroPoint[0]];
  return scale === undefined || zeroPoint === undefined ? null : { scale, zeroPoint };
}
