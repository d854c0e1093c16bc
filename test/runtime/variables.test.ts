import { describe, expect, it } from 'vitest';
import { seededRandom } from '../../src/lib/core/numbers.js';
import { writeSavedModel } from '../../src/lib/formats/saved-model.js';
import type { Graph, Tensor } from '../../src/lib/formats/tflite/graph.js';
import { importTflite, readTflite } from '../../src/lib/formats/tflite/read.js';
import { writeTflite } from '../../src/lib/formats/tflite/write.js';
import { asDevice } from '../../src/lib/model/evaluate/evaluate-project.js';
import { inPieces, openNetwork, predictRows } from '../../src/lib/model/evaluate/predict.js';
import { simplifyGraph } from '../../src/lib/model/network/simplify.js';
import { quantizeGraph } from '../../src/lib/model/quantize/graph/quantize-graph.js';
import type { Examples } from '../../src/lib/model/train/types.js';
import { planArena } from '../../src/lib/runtime/arena.js';
import { createInterpreter } from '../../src/lib/runtime/interpreter/interpreter.js';
import { floatView } from '../../src/lib/runtime/litert.js';
import { oneOpGraphs } from '../support/one-op-graphs.js';

/**
 * A model of y = `initial` plus the sum of all inputs since the start, in steps of 1, so that int8 and real values are
 * equal.
 */
function counter(type: 'int8' | 'float32', initial = 0): Graph {
  const own = {
    shape: [1, 1],
    type,
    ...(type === 'int8' && { quantization: { scale: [1], zeroPoint: [0], axis: 0 } }),
  };
  const variable = type === 'int8' ? Int8Array.of(initial) : Float32Array.of(initial);
  const tensors: Tensor[] = ['x', 'before', 'sum', 'total'].map((name) => ({ name, ...own }));
  return {
    name: 'main',
    description: '',
    tensors: tensors.map((tensor, index) => (index === 3 ? { ...tensor, variable } : tensor)),
    operators: [
      { op: 'READ_VARIABLE', inputs: [3], outputs: [1], options: {} },
      { op: 'ADD', inputs: [1, 0], outputs: [2], options: { activation: 'none' } },
      { op: 'ASSIGN_VARIABLE', inputs: [3, 2], outputs: [], options: {} },
    ],
    inputs: [0],
    outputs: [2],
  };
}

const steps = (graph: Graph, ...values: number[]) => {
  const interpreter = createInterpreter(graph);
  return values.map((value) => {
    if (Number.isNaN(value)) interpreter.reset();
    const input = interpreter.inputTensors[0]!.type === 'int8' ? Int8Array.of(value) : Float32Array.of(value);
    return Number.isNaN(value) ? 'reset' : interpreter.invoke(input)[0];
  });
};

it.each(['int8', 'float32'] as const)(
  'the interpreter keeps a variable of %s from run to run, until a reset',
  (type) => {
    const read = readTflite(writeTflite(counter(type, 5)));
    expect(steps(read, 1, 2, 3, Number.NaN, 4)).toEqual([6, 8, 11, 'reset', 9]);
  },
);

it('the interpreter rejects a SavedModel of a model with variables', () => {
  expect(() => writeSavedModel(counter('float32'))).toThrow('it cannot be written as a SavedModel');
});

it('variables are kept while a graph is simplified', () => {
  expect(steps(simplifyGraph(counter('float32')), 1, 2, 3)).toEqual([1, 3, 6]);
});

it('each session has its own variables', () => {
  const graph = counter('int8');
  expect(steps(graph, 1, 1)).toEqual([1, 2]);
  expect(steps(graph, 1, 1)).toEqual([1, 2]);
});

it('variables are reset at the first row of each recording', async () => {
  const network = await openNetwork(writeTflite(counter('float32')), 'device');
  const rows = Float32Array.of(1, 2, 3, 4);
  expect([...predictRows(network, rows, undefined, 0, ['a', 'a', 'b', 'b'])]).toEqual([1, 3, 3, 7]);
  expect([...predictRows(network, rows)]).toEqual([1, 3, 6, 10]);
});

describe('a pass over pieces of examples', () => {
  /** A group that continues in the next piece, past an empty one. */
  const pieces = [
    [
      [1, 2, 3],
      ['a', 'b', 'b'],
    ],
    [[], []],
    [
      [4, 5, 6],
      ['b', 'b', 'c'],
    ],
  ] as const;
  const standardization = { mean: [0], deviation: [1] };
  const examples = (values: readonly number[], recordings: readonly string[]): Examples => ({
    ...{ inputs: Float32Array.from(values), inputSize: 1, recordings: [...recordings] },
    ...{ classes: new Int32Array(values.length), values: null },
  });

  it.each([
    ['stream', [1, 2, 5, 9, 14, 6]],
    ['window', [1, 2, 3, 4, 5, 6]],
  ] as const)(
    'keeps variables as a device does, and never from an earlier pass: %s',
    async (state, totals) => {
      const network = await openNetwork(writeTflite(counter('float32')), 'device');
      const onDevice = asDevice(counter('int8'), {
        standardization,
        state: state === 'window' ? state : undefined,
      });
      for (let pass = 0; pass < 2; pass++) {
        const [run, device] = [inPieces(network, state), onDevice()];
        const all = pieces.map(([values, recordings]) => ({
          network: [...run(Float32Array.from(values), recordings)],
          device: [...device(examples(values, recordings))],
        }));
        expect(all.flatMap((piece) => piece.network)).toEqual(totals);
        expect(all.flatMap((piece) => piece.device)).toEqual(totals);
      }
    },
  );

  it('starts anew even if the earlier pass ended in the same recording', async () => {
    const network = await openNetwork(writeTflite(counter('float32')), 'device');
    const onDevice = asDevice(counter('int8'), { standardization, state: undefined });
    for (let pass = 0; pass < 2; pass++) {
      expect([...inPieces(network, 'stream')(Float32Array.of(1, 2), ['a', 'a'])]).toEqual([1, 3]);
      expect([...onDevice()(examples([1, 2], ['a', 'a']))]).toEqual([1, 3]);
    }
  });

  it('names a row by its number in all pieces', async () => {
    const run = inPieces(await openNetwork(writeTflite(counter('float32')), 'device'), 'stream');
    run(Float32Array.of(1, 2), ['a', 'a']);
    expect(() => run(Float32Array.of(3e38, 3e38), ['a', 'a'])).toThrow('row 4');
  });
});

it('LiteRT reports that it cannot reset variables', async () => {
  const graph = counter('float32');
  await expect(openNetwork(writeTflite(graph), 'litert')).rejects.toMatchObject({
    code: 'AIOT_TFLITE_UNSUPPORTED',
    next: 'Run it with --runtime device.',
  });
});

it.each(['int8', 'int16x8'] as const)('variables keep their values after quantization to %s', (mode) => {
  const rows = Array.from({ length: 40 }, (_, i) => Float32Array.of(i < 20 ? 1 : -1));
  const { graph } = quantizeGraph(counter('float32', 2), rows, { mode, calibration: 'min-max' });
  const variable = graph.tensors.find((tensor) => tensor.variable)!;
  expect(variable.type).toBe(mode === 'int8' ? 'int8' : 'int16');
  // The sum of the previous and the new value is assigned without a conversion.
  expect(graph.operators.map(({ op }) => op).filter((op) => op !== 'QUANTIZE')).toEqual([
    'READ_VARIABLE',
    'ADD',
    'ASSIGN_VARIABLE',
  ]);
  const interpreter = createInterpreter(floatView(readTflite(writeTflite(graph))));
  const sums = rows.map((row) => (interpreter.invoke(row) as Float32Array)[0]!);
  rows.forEach((_, i) => {
    expect(Math.abs(sums[i]! - (i < 20 ? 3 + i : 41 - i))).toBeLessThan(1.5);
  });
});

it('variables take no activation memory in the arena plan', () => {
  const { pieces, tail } = planArena(counter('int8'));
  expect(pieces.map(({ tensor }) => tensor)).toEqual([0, 1, 2]);
  expect(tail).toBeGreaterThan(planArena({ ...counter('int8'), operators: [], outputs: [0] }).tail);
});

it('variables with the same name are written under different names', () => {
  const graph = oneOpGraphs.ASSIGN_VARIABLE!(seededRandom(1));
  const tensors = graph.tensors.map((tensor) => ({ ...tensor, name: 'state' }));
  const read = readTflite(writeTflite({ ...graph, tensors }));
  const names = read.tensors.flatMap(({ name, variable }) => (variable ? [name] : []));
  expect(new Set(names).size).toBe(2);
});

const [x = 0, before = 1, , total = 3] = [0, 1, 2, 3];

it.each<[string, (graph: Graph) => Partial<Graph>, string]>([
  [
    'another operator reads it',
    ({ operators }) => ({ operators: [{ ...operators[1]!, inputs: [total, x] } as never] }),
    'tensor 3 is a variable',
  ],
  [
    'READ_VARIABLE reads an activation',
    ({ operators }) => ({ operators: [{ ...operators[0]!, inputs: [x] } as never] }),
    'tensor 0 is not a variable',
  ],
  ['it is the output', () => ({ outputs: [total] }), 'tensor 3 is a variable'],
  [
    'it is a constant too',
    ({ tensors }) => ({
      tensors: tensors.map((t, i) => (i === total ? { ...t, data: Int8Array.of(1) } : t)),
    }),
    'a constant and a variable',
  ],
  [
    'another type is assigned',
    ({ tensors }) => ({
      tensors: tensors.map((t, i) =>
        i === before
          ? { ...t, type: 'int16' as const, quantization: { scale: [1], zeroPoint: [0], axis: 0 } }
          : t,
      ),
    }),
    'one type',
  ],
])('a variable is rejected if %s', (_, change, expected) => {
  const graph = counter('int8');
  expect(() => createInterpreter({ ...graph, ...change(graph) })).toThrow(expected);
});

it('a uint8 output is read as int8', () => {
  const graph = counter('int8');
  const [input] = graph.tensors;
  const tensors = [
    { ...input!, type: 'uint8' as const, quantization: { scale: [1], zeroPoint: [128], axis: 0 } },
    ...graph.tensors.slice(1),
    { ...input!, name: 'inner' },
  ];
  const operators = [
    { op: 'QUANTIZE' as const, inputs: [0], outputs: [4], options: {} },
    ...graph.operators.map(
      (operator) => ({ ...operator, inputs: operator.inputs.map((at) => (at === 0 ? 4 : at)) }) as never,
    ),
  ];
  const { graph: read, notes } = importTflite(writeTflite({ ...graph, tensors, operators }));
  expect(notes).toEqual(['tensor x is uint8 in the file, and int8 here: each value is 128 lower']);
  expect(read.tensors[0]).toMatchObject({ type: 'int8', quantization: { zeroPoint: [0] } });
  expect(steps(read, 1, 2)).toEqual([1, 3]);
});
