import { describe, expect, it } from 'vitest';
import { gaussian, seededRandom } from '../../src/lib/core/numbers.js';
import { writeSavedModel } from '../../src/lib/formats/saved-model.js';
import { elementCount, type Graph } from '../../src/lib/formats/tflite/graph.js';
import { withRealValues } from '../../src/lib/formats/tflite/real-values.js';
import { readGraphDef } from '../../src/lib/model/import/saved-model/graph-def.js';
import { followSignature } from '../../src/lib/model/import/saved-model/read.js';
import { createInterpreter } from '../../src/lib/runtime/interpreter/interpreter.js';
import { quantizedOf } from '../support/architectures.js';
import { engineKinds } from '../support/engine-kinds.js';
import { FloatNetwork } from '../support/float-network.js';

/** Reads a graph with our own SavedModel reader; it contains no variables to restore. */
function readBack(bytes: Uint8Array): Graph {
  const { layers: _, ...graph } = followSignature(readGraphDef(bytes), (name) => {
    throw new Error(`a variable: ${name}`);
  });
  return graph;
}

const answer = (graph: Graph, input: Float32Array) => [
  ...(createInterpreter(graph).invoke(input.slice()) as Float32Array),
];

function inputOf({ tensors, inputs }: Graph): Float32Array {
  const random = seededRandom(9);
  return Float32Array.from({ length: elementCount(tensors[inputs[0]!]!.shape) }, () => gaussian(random));
}

function expectClose(got: number[], want: number[], share: number) {
  expect(got).toHaveLength(want.length);
  want.forEach((value, i) => {
    expect(Math.abs(got[i]! - value)).toBeLessThan(share * Math.max(1, Math.abs(value)));
  });
}

describe('a SavedModel', () => {
  const kinds = Object.keys(engineKinds) as (keyof typeof engineKinds)[];

  it.each(kinds)('predicts the same as the original model of %s', (kind) => {
    const graph = engineKinds[kind](seededRandom(4));
    const input = inputOf(graph);
    expectClose(answer(readBack(writeSavedModel(graph)), input), answer(graph, input), 1e-5);
  });

  it.each(kinds)('predicts the same as the int8 model of %s, to within 16 quantization steps', (kind) => {
    const graph = quantizedOf(engineKinds[kind], 4);
    const back = readBack(writeSavedModel(graph));
    const ends = [graph.inputs, graph.outputs].map(([index]) => graph.tensors[index!]!.quantization!);
    const [{ scale: from, zeroPoint: zero }, { scale: to, zeroPoint: middle }] = ends as [
      NonNullable<(typeof ends)[0]>,
      NonNullable<(typeof ends)[0]>,
    ];
    const q = Int8Array.from(inputOf(graph), (x) =>
      Math.max(-128, Math.min(127, Math.round(x / from[0]!) + zero[0]!)),
    );
    const device = [...createInterpreter(graph).invoke(q)].map((y) => to[0]! * (Number(y) - middle[0]!));
    const real = Float32Array.from(q, (value) => from[0]! * (value - zero[0]!));
    const all = answer(back, real);
    // The tolerance is 16 of the 256 steps, because the rounding errors of all layers add up.
    all.forEach((value, i) => {
      expect(Math.abs(value - device[i]!)).toBeLessThan(16 * to[0]!);
    });
  });

  it('names inputs and outputs as in the file’s signature, in characters that Python accepts', () => {
    const network = new FloatNetwork(seededRandom(1));
    const x = network.float([1, 4]);
    const graph = network.graph(x, network.dense(x, 2));
    graph.tensors[x]!.name = 'serving default/x:0';
    const named = (own: Graph) => {
      const { input, output, nodes } = readGraphDef(writeSavedModel(own));
      return { input, output, nodes: [...nodes.values()].map(({ op }) => op) };
    };
    expect(named(graph)).toEqual({
      input: { name: 'serving_default_serving_default_x_0:0', shape: [1, 4] },
      output: expect.stringMatching(/^t\d+:0$/),
      nodes: expect.arrayContaining(['Placeholder', 'Const', 'MatMul', 'Identity']),
    });
    const signature = { inputs: ['rows'], outputs: ['2nd'] };
    expect(named({ ...graph, signature })).toMatchObject({
      input: { name: 'serving_default_rows:0' },
      output: 'x2nd:0',
    });
  });

  it('is rejected if weights are computed', () => {
    const network = new FloatNetwork(seededRandom(1));
    const x = network.float([1, 1, 4, 2]);
    const y = network.convolution(x, 2, { filter: [1, 2] });
    const graph = network.graph(x, y);
    const { data: _, ...weights } = graph.tensors[graph.operators[0]!.inputs[1]!]!;
    graph.tensors[graph.operators[0]!.inputs[1]!] = weights;
    expect(() => writeSavedModel(graph)).toThrow(
      expect.objectContaining({ code: 'AIOT_TFLITE_UNSUPPORTED' }),
    );
  });
});

describe('a quantized model converted to real values', () => {
  it('has no quantized tensors and no QUANTIZE or DEQUANTIZE operators', () => {
    for (const kind of Object.keys(engineKinds) as (keyof typeof engineKinds)[]) {
      const { tensors, operators } = withRealValues(quantizedOf(engineKinds[kind], 2));
      expect(tensors.filter(({ quantization }) => quantization)).toEqual([]);
      expect(operators.filter(({ op }) => op === 'QUANTIZE' || op === 'DEQUANTIZE')).toEqual([]);
    }
  });
});
