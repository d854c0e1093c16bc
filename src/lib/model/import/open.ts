import { stat } from 'node:fs/promises';
import { extname, join } from 'node:path';
import { AiotError, hasCode } from '../../core/errors.js';
import { readBytes } from '../../core/files.js';
import type { Graph } from '../../formats/tflite/graph.js';
import { importTflite } from '../../formats/tflite/read.js';
import { refusalOfDevice } from '../inspect/costs.js';
import { isQuantized } from '../quantize/graph/quantize-graph.js';
import { malformed, unsupported } from './errors.js';
import type { KerasModel } from './keras/config.js';
import { kerasToGraph } from './keras/to-graph.js';
import type { OnnxOptions } from './onnx/to-graph.js';

const hdf5Signature = [0x89, 0x48, 0x44, 0x46];

/**
 * Reads a network in any of the known formats, which is recognized by the first bytes instead of the name.
 * @throws AIOT_FILE_NOT_FOUND, AIOT_FILE_MALFORMED, AIOT_LAYER_UNSUPPORTED, AIOT_TFLITE_*, AIOT_BACKEND_MISSING
 */
export async function readSource(path: string, options: OnnxOptions = asStated): Promise<Imported> {
  try {
    return await open(path, options);
  } catch (error) {
    if (!hasCode(error, 'AIOT_FILE_MALFORMED')) throw error;
    throw new AiotError('AIOT_FILE_MALFORMED', `${path}: ${error.message}`, { cause: error });
  }
}

/** Uses the file without changes. */
const asStated: OnnxOptions = { shapes: new Map(), values: new Map() };

async function open(path: string, options: OnnxOptions): Promise<Imported> {
  if (await isFolder(path)) {
    if (await exists(join(path, 'model.json'))) return await fromTfjs(join(path, 'model.json'));
    if (await exists(join(path, 'saved_model.pb'))) {
      const { readSavedModel } = await import('./saved-model/read.js');
      return await readSavedModel(path);
    }
    throw unknown('expected model.json or saved_model.pb in the folder');
  }
  const bytes = await readBytes(path);
  const begins = (signature: number[], at = 0) => signature.every((byte, i) => bytes[at + i] === byte);
  if (begins([0x50, 0x4b, 3, 4])) {
    const { readKerasZip } = await import('./keras-files.js');
    return fromKeras('keras', await readKerasZip(bytes));
  }
  if (begins(hdf5Signature)) {
    const { readKerasH5 } = await import('./keras-files.js');
    return fromKeras('keras-h5', await readKerasH5(bytes));
  }
  if (bytes.subarray(4, 8).toString('latin1') === 'TFL3') return fromTflite(bytes);
  if (bytes.subarray(0, 64).toString('utf8').trimStart().startsWith('{')) return await fromTfjs(path);
  if (isText(bytes)) throw unknown('expected an ONNX, Keras or .tflite file, got text');
  // A protobuf message has no signature: an ONNX file begins with its version, field 1.
  if (bytes[0] === 0x08 || extname(path).toLowerCase() === '.onnx') {
    const { readOnnx } = await import('./onnx/read.js');
    return await readOnnx(path, bytes, options);
  }
  throw unknown('expected .keras, .h5, .tflite, .onnx, or a model.json');
}

/** Whether a file begins with text, such as a script, or the pointer that Git LFS stores in place of a model. */
function isText(bytes: Uint8Array): boolean {
  const start = bytes.subarray(0, 64);
  return start.length > 0 && start.every((byte) => byte >= 32 || byte === 9 || byte === 10 || byte === 13);
}

async function fromTfjs(file: string): Promise<Imported> {
  const { readTfjs } = await import('./tfjs.js');
  return fromKeras('tfjs', await readTfjs(file));
}

function fromKeras(format: Imported['format'], model: KerasModel): Imported {
  const { layers, ...graph } = kerasToGraph(model);
  return { format, writer: model.writer, layers, graph, notes: [] };
}

function fromTflite(bytes: Uint8Array): Imported {
  const { graph, notes } = importTflite(bytes);
  const refusal = refusalOfDevice(graph);
  if (refusal !== null)
    throw unsupported('the model', refusal, 'import the float32 model, or one quantized to int8 or int16x8');
  return {
    format: 'tflite',
    writer: graph.description || 'unknown',
    layers: graph.operators.length,
    graph,
    ...(isQuantized(graph) && { quantized: true }),
    notes,
  };
}

async function isFolder(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch {
    // The later read reports a missing path.
    return false;
  }
}

async function exists(path: string): Promise<boolean> {
  return await stat(path).then(
    () => true,
    () => false,
  );
}

function unknown(what: string): AiotError {
  return malformed(`not a readable model: ${what}`);
}

export const importFormats = ['tfjs', 'keras', 'keras-h5', 'tflite', 'saved-model', 'onnx'] as const;

/** A network as read from its file. */
export interface Imported {
  format: (typeof importFormats)[number];
  /** The program that wrote the file. */
  writer: string;
  /** Number of layers, or of operators if the file has no layers. */
  layers: number;
  /** float32, batch 1, unless `quantized`. */
  graph: Graph;
  /** Whether the network computes with integers, and must stay unchanged. */
  quantized?: boolean;
  /** Changes made while reading, as sentences. */
  notes: string[];
  /** Number of ONNX nodes that were computed while reading. */
  folded?: number;
  /** Original axes of an ONNX file's inputs and outputs, if they were reordered. */
  axes?: { inputs: (number[] | undefined)[]; outputs: (number[] | undefined)[] };
}
