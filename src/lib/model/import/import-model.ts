import { readdir, stat } from 'node:fs/promises';
import { basename, dirname, extname, join } from 'node:path';
import * as z from 'zod';
import { AiotError } from '../../core/errors.js';
import { plural } from '../../core/figures.js';
import { refuseInputs, writeFileAtomic } from '../../core/files.js';
import { namePattern } from '../../core/names.js';
import type { Project } from '../../core/project.js';
import type { Graph } from '../../formats/tflite/graph.js';
import { writeTflite } from '../../formats/tflite/write.js';
import { buildFiles } from '../files.js';
import { precisionOf } from '../inspect/costs.js';
import { brokenConstant, simplifyGraph } from '../network/simplify.js';
import { malformed } from './errors.js';
import type { OnnxOptions } from './onnx/to-graph.js';
import { importFormats, readSource } from './open.js';
import { withStates } from './states.js';

const end = z.object({
  name: z.string(),
  shape: z.array(z.int()),
  /** For each axis, the corresponding axis of the ONNX tensor; present if the order differs, for example with channels first. */
  axes: z.array(z.int()).optional(),
});

export const importResultSchema = z.object({
  /** Name of the model. */
  name: z.string(),
  format: z.enum(importFormats),
  /** The program that wrote the model, if the file names it. */
  writer: z.string(),
  /** Number of original layers, or of operators for a .tflite file, an ONNX file or a SavedModel. */
  layers: z.int(),
  /** Operators after the import, in order. */
  ops: z.array(z.string()),
  /** The same list as `ops`. */
  operators: z.array(z.string()),
  /** Number of ONNX nodes that were computed during the import; 0 for other formats. */
  folded: z.int(),
  /** The first input and the first output. */
  input: end,
  output: end,
  /** All inputs and outputs, in the order of the .tflite file. */
  inputs: z.array(end),
  outputs: z.array(end),
  parameters: z.int(),
  bytes: z.int(),
  /** Data type of the network's layers. */
  precision: z.enum(['float32', 'int8', 'int16x8', 'mixed', 'forest', 'none']),
  /** The .tflite file. */
  file: z.string(),
  /** Metrics on the project's validation set; null without a project. */
  validation: z.object({ examples: z.int(), loss: z.number(), accuracy: z.number().nullable() }).nullable(),
  /** Changes made during the import, as sentences. */
  notes: z.array(z.string()),
});
export type ImportResult = z.output<typeof importResultSchema>;

export interface ImportOptions {
  /** A file, or the folder of a TensorFlow.js model or SavedModel. */
  from: string;
  name?: string;
  /**
   * Output path of the .tflite file, or a folder. Default: NAME.tflite in the working folder, or the project's build/model.float.tflite.
   */
  out?: string;
  /** The project that imports the network; all later steps of the project then use this network. */
  project?: Project;
  data?: string;
  label?: string;
  /** Names of the project's classes in the order of the network's outputs. Default: the project's order. */
  classes?: readonly string[];
  /** Whether the network expects the project's inputs unchanged, or standardized by the training set. */
  inputs?: 'raw' | 'standardized';
  /** Subtracted from the project's inputs: one number for all inputs, or one per field, channel, band or input, separated by commas. */
  mean?: string;
  /** Divides the inputs after `mean` was subtracted, in the same form. */
  deviation?: string;
  force?: boolean;
  /** For an ONNX file: `NAME:1x3x96x96` sets a dynamic shape, `NAME=16000` makes an input constant. */
  input?: readonly string[];
  /** For an ONNX file with several outputs: the outputs to import, in this order. */
  output?: readonly string[];
  /** Inputs that take an output of the previous run, such as `state=stateN`: they become variables. */
  state?: readonly string[];
  /** For a quantized ONNX file: whether to keep the integers and write an int8 file. */
  keepScales?: boolean;
  signal?: AbortSignal;
}

/**
 * Reads a network that was trained elsewhere and writes a simplified float32 .tflite file. A quantized .tflite file stays as it is, and a
 * quantized ONNX file keeps its integers on request.
 * @throws AIOT_USAGE (an invalid name), AIOT_QUANTIZE_UNFIT (scales to keep, but the file has none), AIOT_FILE_IS_INPUT,
 *   AIOT_LAYER_UNSUPPORTED, AIOT_TFLITE_*, AIOT_FILE_*, AIOT_BACKEND_MISSING; with a project any error of `trainProject`
 */
export async function importModel(options: ImportOptions): Promise<ImportResult> {
  const { from, project } = options;
  const name =
    options.name ?? (project ? (project.config.model.name ?? project.config.name) : nameFrom(from));
  if (options.name !== undefined) requireName(options.name);
  let file = (await outFile(options.out, name)) ?? (project ? buildFiles(project).float : `${name}.tflite`);
  await refuseInputs([file], [...(await filesOf(from)), options.data]);
  const imported = await readSource(from, onnxOptions(options));
  const broken = brokenConstant(imported.graph);
  if (broken !== undefined) throw malformed(`${from}: ${broken}, so its outputs would be invalid`);
  const stateful = withStates(imported.graph, imported.axes, options.state ?? []);
  const notes = [...imported.notes, ...stateful.notes];
  const [inputCount, outputCount] = [stateful.graph.inputs.length, stateful.graph.outputs.length];
  if (imported.format === 'onnx' && (inputCount > 1 || outputCount > 1))
    notes.push(
      `The model has ${plural(inputCount, 'input')} and ${plural(outputCount, 'output')}. To keep one of each, fix inputs with --input NAME=VALUE, choose an output with --output NAME, and carry states with --state INPUT=OUTPUT.`,
    );
  const named = { ...stateful.graph, description: name };
  let graph: Graph;
  if (imported.quantized) {
    graph = named;
    notes.push('the model is already quantized, so its layers and integers are unchanged');
  } else if (options.keepScales) {
    const { quantizeAsGiven, spreadScales } = await import('../quantize/graph/given-scales.js');
    const quantized = quantizeAsGiven(simplifyGraph(spreadScales(named)));
    graph = quantized.graph;
    notes.push(...quantized.notes);
  } else graph = simplifyGraph(named);
  const bytes = writeTflite(graph);
  let validation: ImportResult['validation'] = null;
  if (project) {
    const { adoptNetwork } = await import('./adopt.js');
    const adopted = await adoptNetwork(graph, project, options);
    validation = adopted.validation;
    notes.push(...adopted.notes);
    if (options.out === undefined) file = adopted.file;
  }
  if (!project || options.out !== undefined) await writeFileAtomic(file, bytes);
  const { axes } = stateful;
  const ends = (indices: readonly number[], orders: readonly (number[] | undefined)[] = []) =>
    indices.map((index, place) => {
      const { name: own, shape } = graph.tensors[index]!;
      return { name: own, shape, ...(orders[place] && { axes: orders[place] }) };
    });
  const [inputs, outputs] = [ends(graph.inputs, axes?.inputs), ends(graph.outputs, axes?.outputs)];
  return {
    name,
    format: imported.format,
    writer: imported.writer,
    layers: imported.layers,
    ops: graph.operators.map(({ op }) => op),
    operators: graph.operators.map(({ op }) => op),
    folded: imported.folded ?? 0,
    input: inputs[0]!,
    output: outputs[0]!,
    inputs,
    outputs,
    parameters: graph.tensors.reduce(
      (sum, { data }) => sum + (data instanceof Float32Array || data instanceof Int8Array ? data.length : 0),
      0,
    ),
    bytes: bytes.length,
    precision: precisionOf(graph) as ImportResult['precision'],
    file,
    validation,
    notes,
  };
}

/** The file to write: NAME.tflite within `out` if that is a folder or has no extension, otherwise `out`. */
async function outFile(out: string | undefined, name: string): Promise<string | undefined> {
  if (out === undefined) return undefined;
  const isFolder = await stat(out).then(
    (found) => found.isDirectory(),
    () => extname(out) === '',
  );
  return isFolder ? join(out, `${name}.tflite`) : out;
}

/** Reads `NAME:1x3x96x96` and `NAME=VALUE`; a name may contain colons. @throws AIOT_USAGE */
function onnxOptions({ input = [], output: outputs, keepScales }: ImportOptions): OnnxOptions {
  const shapes = new Map<string, number[]>();
  const values = new Map<string, number>();
  for (const text of input) {
    const shape = /^(.+):(\d{1,9}(?:x\d{1,9}){0,7})$/.exec(text);
    const value = /^(.+)=(-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)$/i.exec(text);
    if (shape) shapes.set(shape[1]!, shape[2]!.split('x').map(Number));
    else if (value) values.set(value[1]!, Number(value[2]));
    else
      throw new AiotError(
        'AIOT_USAGE',
        `--input: expected NAME:1x3x96x96 or NAME=VALUE, got ${JSON.stringify(text)}`,
        {
          next: "Specify an input's shape with --input NAME:SIZExSIZE, or its value with --input NAME=VALUE.",
        },
      );
    const sizes = shapes.get(shape?.[1] ?? '') ?? [];
    if (sizes.some((size) => size < 1) || sizes.reduce((a, b) => a * b, 1) > 2 ** 24)
      throw new AiotError(
        'AIOT_USAGE',
        `--input: expected at most 16 million numbers, got ${JSON.stringify(text)}`,
        {
          next: 'Use positive sizes whose product is at most 16,777,216.',
        },
      );
  }
  return { shapes, values, outputs, keepScales };
}

/** The name is used as a file name. @throws AIOT_USAGE */
function requireName(name: string): void {
  if (namePattern.test(name)) return;
  throw new AiotError(
    'AIOT_USAGE',
    `--name: expected letters, digits, dots, dashes and underscores, got ${JSON.stringify(name)}`,
    { next: 'Specify the output file with --out FILE.tflite.' },
  );
}

/** All files from which a network may be read: a folder's files, or a model.json with the shards beside it. */
async function filesOf(from: string): Promise<string[]> {
  const inside = async (folder: string) => {
    const names = await readdir(folder, { recursive: true }).catch(() => []);
    return names.map((name) => join(folder, name));
  };
  if (extname(from) !== '.json') return [from, ...(await inside(from))];
  const beside = await readdir(dirname(from)).catch(() => []);
  const shards = beside.filter((name) => extname(name) === '.bin');
  return [from, ...shards.map((name) => join(dirname(from), name))];
}

/** `nets/model.keras` → `model`; `nets/gesture/model.json` and `nets/gesture/` → `gesture`. */
function nameFrom(path: string): string {
  const own = basename(path, extname(path));
  if (basename(path) !== 'model.json') return own;
  return basename(join(path, '..')) || 'model';
}
