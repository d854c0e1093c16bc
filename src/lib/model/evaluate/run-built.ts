import type { Graph } from '../../formats/index.js';
import { createInterpreter } from '../../runtime/index.js';
import type { Built } from '../built.js';
import { decode, encodeInput, endOf, valuesOf } from '../bundle/ends.js';
import { refuseOffDevice } from '../inspect/refusal.js';
import type { PartPieces } from '../train/parts.js';
import { standardizeAll } from '../train/standardize.js';
import type { Lesson } from '../train/types.js';
import { reconstructionErrors } from './judge.js';
import { openNetwork, predictRows, type RunningNetwork } from './predict.js';

/** What a network said of each row: its outputs as real values [rows × width], row-major, or the errors of its reconstructions. */
export type Said = Float32Array | Float64Array;

/** A part of the data with what is true of it and what a project's networks said: all that stays of its rows. */
export interface BuiltOutputs {
  classes: Int32Array;
  values: Float32Array | null;
  /** What each row belongs to; null where each stands for itself. */
  groups: string[] | null;
  float: Said;
  litert: Said;
  /** Null where a device cannot run it. */
  device: Said | null;
  width: number;
}

/**
 * Runs the float and the quantized network on LiteRT, and the quantized one as a device does, from features on: piece by piece.
 * @throws what `predictRows` and the pieces throw
 */
export async function runBuilt(
  built: Built,
  { count, pieces }: PartPieces,
  onDevice: boolean,
  signal?: AbortSignal,
): Promise<BuiltOutputs> {
  const { training, float, int8, rows } = built;
  const opened: RunningNetwork[] = [];
  const device = onDevice ? asDevice(int8.graph, training.standardization, signal) : null;
  try {
    for (const { bytes } of [float, int8]) opened.push(await openNetwork(bytes, 'litert'));
    const width = opened[0]!.outputs;
    const reconstructs = training.network.output.kind === 'reconstruction';
    const room = () => (reconstructs ? new Float64Array(count) : new Float32Array(count * width));
    const said = [room(), room(), ...(device ? [room()] : [])];
    const classes = new Int32Array(count);
    const values = training.network.output.kind === 'value' ? new Float32Array(count) : null;
    const groups: string[] | null = rows && rows.table.groups === null ? null : [];
    const once = new Map<string, string>();
    let at = 0;
    for (const piece of pieces()) {
      const inputs = standardizeAll(piece, training.standardization);
      const outputs = opened.map((network) => predictRows(network, inputs, signal, at));
      if (device) outputs.push(device(piece, width));
      outputs.forEach((own, i) => {
        said[i]!.set(
          reconstructs ? reconstructionErrors(inputs, own, width) : own,
          reconstructs ? at : at * width,
        );
      });
      classes.set(piece.classes, at);
      if (piece.values) values?.set(piece.values, at);
      if (groups) for (const name of piece.recordings) groups.push(oneOf(once, name));
      at += piece.classes.length;
    }
    return { classes, values, groups, float: said[0]!, litert: said[1]!, device: said[2] ?? null, width };
  } finally {
    for (const network of opened) network.close();
  }
}

/** Pieces have strings of their own for the same name. */
function oneOf(known: Map<string, string>, name: string): string {
  const same = known.get(name);
  if (same === undefined) known.set(name, name);
  return same ?? name;
}

/** The bit-exact interpreter, from features to outputs, with the input quantized the way devices do it. */
function asDevice(
  graph: Graph,
  standardization: Built['training']['standardization'],
  signal?: AbortSignal,
): (piece: Lesson, width: number) => Float32Array {
  refuseOffDevice(graph);
  const [input, output] = [endOf(graph, 'inputs'), endOf(graph, 'outputs')];
  const interpreter = createInterpreter(graph);
  return ({ inputs, inputSize, classes }, width) => {
    const values = valuesOf(input, inputSize);
    const outputs = new Float32Array(classes.length * width);
    for (let row = 0; row < classes.length; row++) {
      if (row % 64 === 0) signal?.throwIfAborted();
      const features = inputs.subarray(row * inputSize, (row + 1) * inputSize);
      outputs.set(
        decode(interpreter.invoke(encodeInput(features, standardization, input, values)), output),
        row * width,
      );
    }
    return outputs;
  };
}
