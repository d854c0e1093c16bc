import { basename } from 'node:path';
import { AiotError, readBytes, refuseInputs, writeTogether } from '../../core/index.js';
import { missingLabels } from '../../data/index.js';
import { elementCount, type Graph, importTflite, parseTable, type Table } from '../../formats/index.js';
import { type Emit, emitted, placesOf, requireEmittable } from '../emit/emit.js';
import { requireColumns } from '../evaluate/columns.js';
import { rowsTaken } from '../file-metadata.js';
import { readModelBytes } from '../inspect/model-file.js';
import { evaluationOfTable } from './judge-rows.js';
import { lessonOf } from './lesson.js';
import { outcomeOf } from './outcome.js';
import { prepareGraph } from './prepare.js';
import type { QuantizeResult } from './result.js';
import { affordableRows, rowsOf } from './rows.js';
import { type Material, type SearchOptions, searchQuantization } from './search.js';

export interface QuantizeFileOptions extends SearchOptions {
  /** A .tflite file of float32 (or float16 weights). */
  file: string;
  /** A CSV file of rows that the network could get: one column per input, and labels where they are wanted. */
  data?: string | undefined;
  /** Name of the label column. Given, the loss is measured; `label` where it is wanted and not named. */
  label?: string | undefined;
  /** Names of the classes in the order of the outputs; without them labels are numbered in sorted order. */
  classes?: readonly string[] | undefined;
  /** A CSV file of labelled rows that the loss is measured on; without it those of `data`. */
  evaluate?: string | undefined;
  /** The file to write; by default FILE.MODE.tflite beside the input. With `emit` c, the folder: by default FILE-c for the source alone. */
  out?: string | undefined;
  emit?: Emit | undefined;
}

/**
 * Quantizes any float .tflite file, without a project.
 * @throws AIOT_FILE_NOT_FOUND, AIOT_FILE_IS_INPUT, AIOT_TFLITE_*, AIOT_CSV_*, AIOT_DATA_COLUMNS, AIOT_LABELS_UNFIT,
 *   AIOT_QUANTIZE_UNFIT, AIOT_QUANTIZE_LOSS, AIOT_USAGE (integers or a limit without rows), AIOT_FILE_NOT_WRITABLE
 */
export async function quantizeFile(options: QuantizeFileOptions): Promise<QuantizeResult> {
  const { file, data, evaluate, mode, emit } = options;
  const stem = file.replace(/\.tflite$/, '');
  requireEmittable(emit, options);
  const { file: out, source } = placesOf(emit, options.out, {
    file: `${stem}.${mode}.tflite`,
    folder: `${stem}-c`,
  });
  const bytes = await readModelBytes(file);
  await refuseInputs([out], [file, data, evaluate]);
  const { graph, notes, metadata } = named(file, () => importTflite(bytes));
  const prepared = named(file, () => prepareGraph(graph));
  const { told, standardized, ...material } = await materialOf(prepared, metadata, options);
  const { quantized, steps, loss } = await searchQuantization(prepared, material, options);
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

/** What a file is refused for, with its name in front. */
function named<T>(file: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof AiotError)) throw error;
    const damaged = error.code === 'AIOT_TFLITE_MALFORMED';
    throw new AiotError(error.code, `${file}: ${error.message}`, {
      cause: error,
      next: damaged ? 'Give the float .tflite file as its converter wrote it.' : error.next,
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
  const told = [...(note === null ? [] : [note]), ...table.warnings];
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
  // Rows of another file are unseen as they are: fine-tuning then need put none aside.
  const lesson = evaluate === undefined ? lessonOf(graph, evaluation) : { rows, evaluation };
  return { rows, evaluation, lesson, told, standardized };
}

/** @throws AIOT_USAGE where what was asked for needs rows */
function withoutRows({ mode, maxLoss, finetune, evaluate }: QuantizeFileOptions): FileMaterial {
  const integers = mode === 'int8' || mode === 'int16x8';
  const measured = maxLoss !== null ? '--max-loss' : evaluate !== undefined ? '--evaluate' : null;
  const needy = (integers ? `--mode ${mode}` : measured) ?? (finetune > 0 ? '--finetune' : null);
  if (needy === null) return { rows: [], evaluation: null, lesson: none, told: [], standardized: false };
  throw new AiotError('AIOT_USAGE', `${needy} needs rows that the network could get`, {
    next: 'Give a CSV file with one column per input: --data rows.csv',
  });
}

const none: Material['lesson'] = { rows: [], evaluation: null };

/** A table's rows as the network takes them. */
async function tableOf(file: string, label: string | undefined, graph: Graph, metadata: Uint8Array | null) {
  const table = parseTable(await readBytes(file), file, { label });
  if (label !== undefined && table.labels === null) throw missingLabels(file, label, table.columns);
  const size = elementCount(graph.tensors[graph.inputs[0]!]!.shape);
  requireColumns(table, file, size);
  const { inputs, standardized, warnings } = rowsTaken(table.inputs, size, metadata);
  return { table, rows: rowsOf(inputs, size), standardized, warnings };
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
    { next: 'Name it with --label NAME; --max-loss cannot be measured without labels.' },
  );
}
