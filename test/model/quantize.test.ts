import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { gaussian, seededRandom } from '../../src/lib/core/numbers.js';
import type { Graph, Operator } from '../../src/lib/formats/tflite/graph.js';
import { readTflite } from '../../src/lib/formats/tflite/read.js';
import { writeTflite } from '../../src/lib/formats/tflite/write.js';
import { activationQuantization, quantizeLayer } from '../../src/lib/model/quantize/graph/numbers.js';
import { quantizeGraph } from '../../src/lib/model/quantize/graph/quantize-graph.js';
import { createInterpreter } from '../../src/lib/runtime/interpreter/interpreter.js';
import { openLiteRt } from '../../src/lib/runtime/litert.js';
import { FloatNetwork } from '../support/float-network.js';
import { motorFolder } from '../support/motor-files.js';
import { fc } from '../support/property.js';

/**
 * A model with three classes, with two dense layers for 6 values, or two convolutions for 20 samples of 2 fields.
 */
function randomNetwork(kind: 'mlp' | 'cnn1d', seed: number): Graph {
  const n = new FloatNetwork(seededRandom(seed));
  const x = n.float(kind === 'mlp' ? [1, 6] : [1, 1, 20, 2]);
  let y = x;
  if (kind === 'mlp') y = n.dense(n.dense(x, 12, 'relu'), 8, 'relu');
  else {
    y = n.pool(n.convolution(x, 6, { filter: [1, 5] }, 'relu'), 'MAX_POOL_2D', {
      filter: [1, 2],
      stride: [1, 2],
    });
    y = n.overImage(n.convolution(y, 8, { filter: [1, 5] }, 'relu'));
  }
  return n.graph(x, n.softmax(n.dense(y, 3)));
}

function inputsOf(size: number, count: number, seed: number): Float32Array[] {
  const random = seededRandom(seed);
  return Array.from({ length: count }, () => Float32Array.from({ length: size }, () => gaussian(random)));
}

describe('quantization to int8', () => {
  it.each(['mlp', 'cnn1d'] as const)('%s stays close to the float model in both runtimes', async (kind) => {
    const float = randomNetwork(kind, 3);
    const size = kind === 'mlp' ? 6 : 40;
    const { graph: int8 } = quantizeGraph(float, inputsOf(size, 200, 1));
    const reference = createInterpreter(float);
    const device = createInterpreter(int8);
    const litert = await openLiteRt(writeTflite(int8));
    const { scale = [], zeroPoint = [] } = device.inputTensors[0]!.quantization ?? {};
    for (const input of inputsOf(size, 100, 2)) {
      const expected = Float32Array.from(reference.invoke(input));
      const q = Int8Array.from(input, (x) =>
        Math.max(-128, Math.min(127, Math.round(x / scale[0]!) + zeroPoint[0]!)),
      );
      const got = device.invoke(q);
      const other = litert.predict(input);
      expected.forEach((value, i) => {
        expect(Math.abs((got[i]! + 128) / 256 - value)).toBeLessThan(0.06);
        expect(Math.abs(other[i]! - value)).toBeLessThan(0.06);
      });
    }
    litert.close();
  });

  it('uses int8 inputs and outputs, int32 biases, fixed softmax scales, and one scale around pooling', () => {
    const { graph } = quantizeGraph(randomNetwork('cnn1d', 4), inputsOf(40, 50, 1));
    const tensor = (i: number | undefined) => graph.tensors[i ?? -1]!;
    expect(tensor(graph.inputs[0]).type).toBe('int8');
    expect(tensor(graph.outputs[0])).toMatchObject({
      type: 'int8',
      quantization: { scale: [1 / 256], zeroPoint: [-128] },
    });
    expect(graph.tensors.some(({ type }) => type === 'float32')).toBe(false);
    for (const { op, inputs, outputs } of graph.operators) {
      if (op === 'MAX_POOL_2D')
        expect(tensor(outputs[0]).quantization).toEqual(tensor(inputs[0]).quantization);
      if (op !== 'CONV_2D') continue;
      expect(tensor(inputs[1]).quantization?.scale).toHaveLength(tensor(inputs[1]).shape[0]!);
      expect(tensor(inputs[2]).type).toBe('int32');
    }
  });

  it('leaves the float graph unchanged', () => {
    const float = randomNetwork('mlp', 3);
    const before = structuredClone(float);
    quantizeGraph(float, inputsOf(6, 5, 1));
    expect(float).toEqual(before);
  });

  it('represents every value in a calibrated range within one step, and 0 exactly', () => {
    const value = fc.float({
      noNaN: true,
      noDefaultInfinity: true,
      min: Math.fround(-1e6),
      max: Math.fround(1e6),
    });
    fc.assert(
      fc.property(value, value, fc.double({ min: 0, max: 1, noNaN: true }), (a, b, share) => {
        const [low, high] = [Math.min(a, b), Math.max(a, b)];
        const { scale, zeroPoint } = activationQuantization({ low, high });
        const [s, z] = [scale[0]!, zeroPoint[0]!];
        expect(s).toBeGreaterThan(0);
        expect(Number.isInteger(z) && z >= -128 && z <= 127).toBe(true);
        const x = low + (high - low) * share;
        const q = Math.max(-128, Math.min(127, Math.round(x / s) + z));
        expect(Math.abs(s * (q - z) - x)).toBeLessThanOrEqual(s * 1.001);
      }),
    );
  });

  it('handles dead channels and biases that would overflow', () => {
    const { weightQuantization, bias, weights } = quantizeLayer(
      Float32Array.of(0, 0, 1e-12, 1e-12),
      Float32Array.of(1, 4),
      2,
      2,
      0,
      0.01,
    );
    expect([...weights.subarray(0, 2)]).toEqual([0, 0]);
    expect(weightQuantization.scale[0]).toBeGreaterThan(0);
    expect(bias[1]).toBe(2 ** 30);
  });

  it('gives an activation that is always 0 a valid scale', () => {
    expect(activationQuantization({ low: 0, high: 0 })).toEqual({
      scale: [Math.fround(Math.fround(2e-6) / 255)],
      zeroPoint: [0],
      axis: 0,
    });
  });

  const refused: [string, (graph: Graph) => Graph, Float32Array[], string][] = [
    ['without inputs', (g) => g, [], 'expected representative inputs, got none'],
    [
      'for a model that is already int8',
      (g) => quantizeGraph(g, inputsOf(6, 5, 1)).graph,
      inputsOf(6, 5, 1),
      'int8',
    ],
    [
      'for an unsupported operator',
      (g) => ({
        ...g,
        operators: [{ op: 'DEQUANTIZE', inputs: [0], outputs: [1], options: {} } as Operator],
      }),
      inputsOf(6, 5, 1),
      'already quantized (DEQUANTIZE',
    ],
  ];
  it.each(refused)('is rejected %s', (_name, edit, inputs, message) => {
    const graph = edit(randomNetwork('mlp', 3));
    expect(() => quantizeGraph(graph, inputs)).toThrow(message);
  });
});

describe("quantization compared with TensorFlow's converter", () => {
  const folder = motorFolder;
  const layers = (graph: Graph, place: number) =>
    graph.operators
      .filter(({ op }) => op === 'FULLY_CONNECTED')
      .map(({ inputs }) => graph.tensors[inputs[place]!]!);

  it('produces the same weights, biases, and zero points, and nearly the same scales, from the same rows', () => {
    const { mean, std } = JSON.parse(readFileSync(join(folder, 'weights.json'), 'utf8')) as Record<
      string,
      number[]
    >;
    const rows = readFileSync(join(folder, 'train.csv'), 'utf8')
      .trim()
      .split('\n')
      .slice(1, 201)
      .map((line) =>
        Float32Array.from(line.split(',').slice(0, 4), (v, i) => (Number(v) - mean![i]!) / std![i]!),
      );
    const theirs = readTflite(readFileSync(join(folder, 'int8.tflite')));
    const { graph: ours } = quantizeGraph(readTflite(readFileSync(join(folder, 'f32.tflite'))), rows, {
      mode: 'int8',
      calibration: 'min-max',
    });
    for (const place of [1, 2]) {
      const [mine, other] = [layers(ours, place), layers(theirs, place)];
      expect(mine.map(({ data }) => [...(data as Int8Array)])).toEqual(
        other.map(({ data }) => [...(data as Int8Array)]),
      );
    }
    const activations = (graph: Graph) =>
      [graph.inputs[0]!, ...graph.operators.map(({ outputs }) => outputs[0]!)].map(
        (i) => graph.tensors[i]!.quantization!,
      );
    for (const [i, { scale, zeroPoint }] of activations(ours).entries()) {
      const other = activations(theirs)[i]!;
      expect(zeroPoint).toEqual(other.zeroPoint);
      // Float kernels sum in a different order, so results differ by one or two units in the last place.
      expect(Math.abs(scale[0]! / other.scale[0]! - 1)).toBeLessThan(2.5e-7);
    }
  });
});
