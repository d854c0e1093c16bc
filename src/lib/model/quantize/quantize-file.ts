import { basename } from 'node:path';
import { AiotError, readBytes } from '../../core/index.js';
import { elementCount, type Graph, importTflite, parseTable, type Table } from '../../formats/index.js';
import { type Emit, emitted } from '../emit/emit.js';
import { requireColumns } from '../evaluate/columns.js';
import { rowsTaken } from '../file-metadata.js';
import { evaluationOfTable } from './judge-rows.js';
import { lessonOf } from './lesson.js';
import { outcomeOf } from './outcome.js';
import { refuseInputs, writeTogether } from './outputs.js';
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
  /** The file to write; by default FILE.MODE.tflite beside the input. */
  out?: string | undefined;
  emit?: Emit | undefined;
}

/**
 * Quantizes any float .tflite file, without a project.
 * @throws AIOT_FILE_NOT_FOUND, AIOT_FILE_IS_INPUT, AIOT_TFLITE_*, AIOT_CSV_*, AIOT_DATA_COLUMNS, AIOT_LABELS_UNFIT,
 *   AIOT_QUANTIZE_UNFIT, AIOT_QUANTIZE_LOSS, AIOT_USAGE (integers or a limit without rows), AIOT_FILE_NOT_WRITABLE
 */
export async function quantizeFile(options: QuantizeFileOptions): Promise<QuantizeResult> {
  const { file, data, mode, emit } = options;
  const stem = file.replace(/\.tflite$/, '');
  const out = options.out ?? `${stem}.${mode}.tflite`;
  const bytes = await readBytes(file);
  await refuseInputs([out], [file, data]);
  const { graph, notes, metadata } = named(file, () => importTflite(bytes));
  const prepared = named(file, () => prepareGraph(graph));
  const { told, ...material } = await materialOf(prepared, metadata, options);
  const { quantized, steps, loss } = await searchQuantization(prepared, material, options);
  const { contents, ...outcome } = outcomeOf(quantized, { steps, loss }, metadata);
  const sources =
    emit === undefined
      ? new Map()
      : emitted(emit, { out, graph: quantized.graph, contents, name: basename(stem), classes: [] });
  await refuseInputs([...sources.keys()], [file, data]);
  options.signal?.throwIfAborted();
  await writeTogether(new Map([...sources, [out, contents]]));
  return {
    model: basename(stem),
    ...outcome,
    file: out,
    floatBytes: bytes.length,
    windows: material.rows.length,
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

type FileMaterial = Material & { told: string[] };

async function materialOf(
  graph: Graph,
  metadata: Uint8Array | null,
  options: QuantizeFileOptions,
): Promise<FileMaterial> {
  const { data, label, mode, maxLoss, finetune } = options;
  const wanted = label !== undefined || maxLoss !== null;
  if (data === undefined) {
    const what =
      mode === 'int8' || mode === 'int16x8' ? `--mode ${mode}` : maxLoss !== null ? '--max-loss' : null;
    const needy = what ?? (finetune > 0 ? '--finetune' : null);
    const none = { rows: [], evaluation: null };
    if (needy === null) return { ...none, lesson: none, told: [] };
    throw new AiotError('AIOT_USAGE', `${needy} needs rows that the network could get`, {
      next: 'Give a CSV file with one column per input: --data rows.csv',
    });
  }
  const table = parseTable(await readBytes(data), data, label);
  const size = elementCount(graph.tensors[graph.inputs[0]!]!.shape);
  requireColumns(table, data, size);
  const all = rowsOf(rowsTaken(table.inputs, size, metadata), size);
  const { rows, note } = affordableRows(graph, all);
  const told = note === null ? [] : [note];
  if (!wanted) return { rows, evaluation: null, lesson: { rows, evaluation: null }, told };
  const { labels, groups } = labelled(table, data, label);
  const { evaluation, note: mapped } = evaluationOfTable(graph, all, labels, groups);
  if (mapped !== null) told.push(mapped);
  return { rows, evaluation, lesson: lessonOf(graph, evaluation), told };
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
