import { AiotError } from '../../core/errors.js';
import {
  elementCount,
  type Graph,
  hasForest,
  hasFrontEnd,
  hasState,
  type Tensor,
} from '../../formats/tflite/graph.js';
import { readTflite } from '../../formats/tflite/read.js';
import { withFloatConstants } from '../../formats/tflite/real-values.js';
import { writeTflite } from '../../formats/tflite/write.js';
import { openEdgeLiteRt } from '../../runtime/edge-litert.js';
import { createInterpreter } from '../../runtime/interpreter/interpreter.js';
import type { Interpreter } from '../../runtime/interpreter/node.js';
import { floatView, openLiteRt } from '../../runtime/litert.js';
import { precisionOf, refusalOfDevice, refuseOffDevice } from '../inspect/costs.js';
import { mainOutput, namedOutput, plainName } from '../network/join-ends.js';
import { brokenConstant } from '../network/simplify.js';

/**
 * Google's LiteRT as WebAssembly, the interpreter that matches TFLite Micro on a device, or LiteRT as a Python package that the user has
 * installed.
 */
export type Runtime = 'litert' | 'device' | 'ai-edge-litert';

/** A network with any input and output types, ready for rows of real values. */
export interface RunningNetwork {
  /** Number of values per row, for all inputs (one input after another) and for the output. */
  inputs: number;
  outputs: number;
  /** The tensor from which outputs are read, with its scale if quantized. */
  outputTensor: Tensor;
  /** The runtime that was requested or, if none was, the one that runs the network. */
  runtime: Runtime;
  /** The network as stored in the file, with one output; used to explain a failed prediction. */
  graph: Graph;
  /** Takes and returns real values, quantized in between as the file requires. Returns a new array each time. */
  run(row: Float32Array): Float32Array;
  /** Runs [rows × inputs] at once, for runtimes that are slow to start. */
  runAll?(inputs: Float32Array, rows: number): Float32Array;
  /** Resets the variables to their initial values, so that the next row starts a recording. */
  reset(): void;
  /** Releases the network's memory. */
  close(): void;
}

/** Maximum number of values that a network may leave to operators that are not compiled, if no runtime is requested. */
const mostInterpreted = 2000;

/**
 * Opens a .tflite file in one of the two runtimes. If none is specified, float32 and int8 networks run in the interpreter, which compiles them
 * and is then faster than LiteRT. Other networks, and those with many values that only uncompiled operators compute, run in LiteRT. Decision
 * trees and TFLite Micro's audio front end always run in the interpreter, because LiteRT does not support their operators.
 * @param outputName which of several outputs; default: the only one or, of joined outputs, the one that predicts
 * @throws AIOT_TFLITE_MALFORMED, AIOT_TFLITE_UNSUPPORTED (dynamic range or float16 on a device; several outputs without `outputName`;
 * variables in LiteRT, which cannot reset them), AIOT_MODEL_UNFIT (no output has this name), AIOT_LITERT_FAILED
 */
export async function openNetwork(
  bytes: Uint8Array,
  asked?: Runtime,
  outputName?: string,
): Promise<RunningNetwork> {
  const whole = readTflite(bytes);
  const graph = outputName === undefined ? mainOutput(whole) : namedOutput(whole, outputName);
  const outputTensor = singleOutput(graph);
  const common = {
    inputs: graph.inputs.reduce((sum, index) => sum + elementCount(graph.tensors[index]!.shape), 0),
    outputs: elementCount(outputTensor.shape),
    outputTensor,
    graph,
  };
  const inInterpreter = (runtime: Runtime, interpreter: Interpreter): RunningNetwork => {
    const run = (row: Float32Array) => (interpreter.invoke(row) as Float32Array).slice();
    return { ...common, runtime, run, reset: interpreter.reset, close: () => {} };
  };
  const precision = precisionOf(graph);
  const compiled = precision === 'float32' || precision === 'int8';
  if (asked === 'device' || hasForest(graph) || hasFrontEnd(graph)) {
    refuseOffDevice(graph);
    return inInterpreter(asked ?? 'litert', createInterpreter(floatView(graph), { compiled }));
  }
  if (asked === undefined && compiled && refusalOfDevice(graph) === null) {
    const interpreter = createInterpreter(floatView(graph), { compiled });
    if (interpreter.interpreted <= mostInterpreted) return inInterpreter('device', interpreter);
  }
  if (hasState(graph))
    throw new AiotError('AIOT_TFLITE_UNSUPPORTED', 'LiteRT cannot reset the variables of this model', {
      next: 'Run it with --runtime device.',
    });
  if (asked === 'ai-edge-litert') {
    const runAll = openEdgeLiteRt(graph, common.outputs);
    return {
      ...common,
      ...{ runtime: asked, runAll, reset: () => {}, close: () => {} },
      run: (row) => runAll(row, 1),
    };
  }
  const model = await openLiteRt(graph === whole ? bytes : writeTflite(graph));
  return {
    ...common,
    runtime: 'litert',
    run: (row) => model.predict(row),
    reset: () => {},
    close: () => model.close(),
  };
}

/**
 * Outputs of all rows, [rows × outputs], row-major, as real values.
 * @param inputs [rows × network.inputs]: the network's inputs, row-major
 * @param before number of preceding rows, for messages
 * @param groups each row's recording; a model's variables are reset when the recording changes. `each`: they are reset before each row.
 * Without groups, all rows are one recording
 * @param previous recording of the row before the first; variables are kept if it is also the first row's
 * @throws AIOT_TFLITE_INPUT (an input that is not finite), AIOT_MODEL_UNFIT (an output that is not), and the abort reason in `signal`
 */
export function predictRows(
  network: RunningNetwork,
  inputs: Float32Array,
  signal?: AbortSignal,
  before = 0,
  groups?: Sessions,
  previous?: string,
): Float32Array {
  const rows = inputs.length / network.inputs;
  const out = new Float32Array(rows * network.outputs);
  const all = network.runAll?.(inputs, rows);
  for (let row = 0; row < rows; row++) {
    if (row % 64 === 0) signal?.throwIfAborted();
    if (row === 0 ? startsPiece(groups, previous) : startsAnew(groups, row)) network.reset();
    const answer = all ? rowOf(all, network.outputs, row) : network.run(rowOf(inputs, network.inputs, row));
    const wrong = answer.findIndex((value) => !Number.isFinite(value));
    if (wrong >= 0) throw noNumber(network, `row ${before + row + 1}: output ${wrong}`, answer[wrong]!);
    out.set(answer, row * network.outputs);
  }
  return out;
}

/**
 * Starts a pass over the pieces of a part. Like `predictRows` for each piece in order, but a recording may continue in the next piece.
 * @param state see TrainingFile
 */
export function inPieces(
  network: RunningNetwork,
  state: 'stream' | 'window' | undefined,
  signal?: AbortSignal,
): (inputs: Float32Array, recordings: readonly string[]) => Float32Array {
  let before = 0;
  let previous: string | undefined;
  return (inputs, recordings) => {
    const outputs = predictRows(network, inputs, signal, before, sessionsOf(recordings, state), previous);
    before += recordings.length;
    previous = recordings.at(-1) ?? previous;
    return outputs;
  };
}

/** The rows over which a network keeps its state. */
export type Sessions = readonly string[] | 'each';

function startsAnew(sessions: Sessions | undefined, row: number): boolean {
  return sessions === 'each' || sessions?.[row] !== sessions?.[row - 1];
}

function startsPiece(sessions: Sessions | undefined, previous: string | undefined): boolean {
  return previous === undefined || sessions === 'each' || sessions?.[0] !== previous;
}

/** The sessions of a project's rows. @param state see TrainingFile */
export function sessionsOf(
  recordings: readonly string[] | undefined,
  state: 'stream' | 'window' | undefined,
): Sessions | undefined {
  return state === 'window' ? 'each' : recordings;
}

/** Determines whether the network or the row is at fault. A network with invalid weights fails on every row. */
function noNumber({ graph }: RunningNetwork, where: string, got: number): AiotError {
  const broken = brokenConstant(withFloatConstants(graph));
  if (broken !== undefined) {
    const what = `the model outputs ${got} (${where}): its ${broken}`;
    return new AiotError('AIOT_MODEL_UNFIT', what, {
      next: 'Train the model again. The data that you passed is not at fault.',
    });
  }
  const what = `${where} of the model is ${got}, expected a finite number`;
  const next = 'Check that the rows are scaled like the training data.';
  return new AiotError('AIOT_MODEL_UNFIT', what, { next });
}

function singleOutput({ outputs, tensors }: Graph): Tensor {
  const [first = -1] = outputs;
  const tensor = tensors[first];
  if (tensor && outputs.length === 1) return tensor;
  const names = outputs.map((index, place) => plainName(tensors[index]!.name, place));
  throw new AiotError(
    'AIOT_TFLITE_UNSUPPORTED',
    `the model has ${outputs.length} outputs (${names.join(', ')}), and labels belong to one of them`,
    { next: `Name the output: --output-name ${names[0]}` },
  );
}

function rowOf(values: Float32Array, size: number, row: number): Float32Array {
  return values.subarray(row * size, (row + 1) * size);
}
