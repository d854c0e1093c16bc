import { expect, it } from 'vitest';
import { seededRandom } from '../../src/lib/core/numbers.js';
import {
  elementBytes,
  elementCount,
  type Graph,
  type Operator,
  type OperatorName,
} from '../../src/lib/formats/tflite/graph.js';
import { realTensor, withRealValues } from '../../src/lib/formats/tflite/real-values.js';
import { architectures, quantizedOf } from '../support/architectures.js';
import { engineKinds } from '../support/engine-kinds.js';
import { chanceInputs, long, tensorsInTflm, tensorsOnDevice } from '../support/every-tensor.js';
import { floatOpGraphs } from '../support/float-op-graphs.js';
import { expectRecorded, operatorsOn } from '../support/judged.js';
import { argMaxGraph, oneOpGraphs } from '../support/one-op-graphs.js';
import { describeReal } from '../support/real.js';

/**
 * A model with operator `place` in float32 between a DEQUANTIZE and a QUANTIZE, like a layer that a quantizer skips
 * because it would lose too much accuracy.
 */
function withFloatLayer(graph: Graph, place: number): Graph {
  const tensors = [...graph.tensors];
  const operator = graph.operators[place]!;
  const [before, after]: [Operator[], Operator[]] = [[], []];
  const twin = (index: number, isOutput: boolean): number => {
    const tensor = graph.tensors[index];
    if (!tensor?.quantization) return index;
    const made = tensors.push(realTensor(tensor)) - 1;
    if (isOutput) after.push({ op: 'QUANTIZE', inputs: [made], outputs: [index], options: {} });
    else if (!tensor.data) before.push({ op: 'DEQUANTIZE', inputs: [index], outputs: [made], options: {} });
    return made;
  };
  const inputs = operator.inputs.map((index) => twin(index, false));
  const outputs = operator.outputs.map((index) => twin(index, true));
  const operators = [...graph.operators];
  operators.splice(place, 1, ...before, { ...operator, inputs, outputs } as Operator, ...after);
  return { ...graph, tensors, operators };
}

/** Models built by hand, and models described by aiot.yaml. */
const makers = { ...architectures, ...engineKinds };

const [perKind, runs] = long ? [5, 2000] : [4, 100];
const kinds = Object.keys(makers) as (keyof typeof makers)[];
/**
 * The difference that a different summation order of several hundred float32 products can cause, as a share of the
 * largest result.
 */
const close = 2e-5;
const limit = long ? 600_000 : 60_000;

/** Operators whose float32 results are bit-identical to TFLite Micro's. */
const exact: OperatorName[] = [
  'ABS',
  'ADD',
  'ASSIGN_VARIABLE',
  'BATCH_MATMUL',
  'BATCH_TO_SPACE_ND',
  'BROADCAST_TO',
  'CEIL',
  'CONCATENATION',
  'DEPTH_TO_SPACE',
  'DIV',
  'EXPAND_DIMS',
  'FILL',
  'FLOOR',
  'FLOOR_MOD',
  'GATHER',
  'HARD_SWISH',
  'L2_NORMALIZATION',
  'LEAKY_RELU',
  'MAXIMUM',
  'MAX_POOL_2D',
  'MINIMUM',
  'MIRROR_PAD',
  'MUL',
  'NEG',
  'PACK',
  'PAD',
  'PADV2',
  'PRELU',
  'REDUCE_MAX',
  'REDUCE_MIN',
  'RELU',
  'RELU6',
  'RESHAPE',
  'RESIZE_BILINEAR',
  'RESIZE_NEAREST_NEIGHBOR',
  'REVERSE_V2',
  'ROUND',
  'RSQRT',
  'SELECT_V2',
  'SLICE',
  'SPACE_TO_BATCH_ND',
  'SPACE_TO_DEPTH',
  'SPLIT',
  'SPLIT_V',
  'SQRT',
  'SQUARE',
  'SQUARED_DIFFERENCE',
  'SQUEEZE',
  'STRIDED_SLICE',
  'SUB',
  'SUM',
  'SVDF',
  'TRANSPOSE',
  'TRANSPOSE_CONV',
  'UNPACK',
];

/** Yields the slices of each tensor in the output of `tensorsOnDevice`, run by run. */
function* tensorsOf(graph: Graph, bytes: Buffer) {
  for (let at = 0; at < bytes.length; )
    for (const index of graph.operators.flatMap(({ outputs }) => outputs)) {
      const { type, shape } = graph.tensors[index]!;
      const length = elementCount(shape) * elementBytes(type);
      yield { index, type, slice: new Uint8Array(bytes.subarray(at, at + length)) };
      at += length;
    }
}

/**
 * Returns the largest difference of any float tensor, as a share of that tensor's largest value (or of 1 if that is
 * larger), and the number and size of int8 differences.
 */
function compare(graph: Graph, got: Buffer, want: Buffer) {
  expect(got.length).toBe(want.length);
  const seen = { share: 0, values: 0, unequal: 0, worst: 0 };
  const others = tensorsOf(graph, want);
  for (const { type, slice } of tensorsOf(graph, got)) {
    const other = others.next().value!.slice;
    if (type === 'float32') {
      const [a, b] = [new Float32Array(slice.buffer), new Float32Array(other.buffer)];
      const largest = b.reduce((most, value) => Math.max(most, Math.abs(value)), 1);
      a.forEach((value, i) => {
        seen.share = Math.max(seen.share, Math.abs(value - b[i]!) / largest);
      });
    } else {
      const [a, b] = [new Int8Array(slice.buffer), new Int8Array(other.buffer)];
      a.forEach((value, i) => {
        if (value === b[i]) return;
        seen.unequal += 1;
        seen.worst = Math.max(seen.worst, Math.abs(value - b[i]!));
      });
      seen.values += a.length;
    }
  }
  return seen;
}

function compareAll(graphs: Graph[], count: number) {
  const jobs = graphs.map((graph, seed) => ({
    graph,
    input: chanceInputs(graph, seededRandom(seed), count),
  }));
  return tensorsInTflm(jobs).map((want, index) =>
    compare(graphs[index]!, tensorsOnDevice(jobs[index]!), want),
  );
}

describeReal('tflm', 'float32 in the device interpreter, compared with TFLite Micro', () => {
  it.each(kinds)(
    'small %s models match in every tensor, except for summation order',
    (kind) => {
      const graphs = Array.from({ length: perKind }, (_, seed) => makers[kind](seededRandom(200 + seed)));
      for (const { share } of compareAll(graphs, runs)) expect(share, kind).toBeLessThan(close);
    },
    limit,
  );

  it(
    'every operator matches, except for rounding',
    async () => {
      const operators = (Object.keys(oneOpGraphs) as OperatorName[]).filter(
        (op) => op !== 'QUANTIZE' && op !== 'RSQRT',
      );
      const graphs = operators.flatMap((op) => {
        const random = seededRandom(13);
        const made: Graph[] = [];
        while (made.length < (long ? 100 : 24)) {
          const graph = oneOpGraphs[op]!(random);
          if (graph.operators.every((other) => other.op !== 'QUANTIZE')) made.push(withRealValues(graph));
        }
        return made;
      });
      for (const make of Object.values(floatOpGraphs)) {
        const random = seededRandom(14);
        graphs.push(...Array.from({ length: long ? 100 : 24 }, () => make(random)));
      }
      const random = seededRandom(15);
      graphs.push(...Array.from({ length: 24 }, () => withRealValues(argMaxGraph(random))));
      compareAll(graphs, long ? 500 : 20).forEach(({ share }, index) => {
        const { op } = graphs[index]!.operators.at(-1)!;
        // Operators that round once, or in a fixed order, have only one correct result.
        expect(share, `${index}, ${op}`).toBeLessThan(exact.includes(op) ? Number.MIN_VALUE : close);
      });
      const [same, near] = [true, false].map((isExact) =>
        graphs.filter(({ operators: all }) => exact.includes(all.at(-1)!.op) === isExact),
      );
      const identical = operatorsOn('float32', same!, 20);
      await expectRecorded('float32.TFLM.one-operator', identical);
      const rounded = operatorsOn('float32', near!, 20).filter((op) => !identical.includes(op));
      await expectRecorded('float32.TFLM-near.one-operator', rounded);
    },
    limit,
  );
});

describeReal('tflm', 'int8 models with a float32 layer', () => {
  it(
    'produce the same integers, except at rounding boundaries',
    async () => {
      const layers = ['FULLY_CONNECTED', 'CONV_2D', 'DEPTHWISE_CONV_2D'];
      const graphs = kinds.flatMap((kind) =>
        Array.from({ length: perKind }, (_, seed) => {
          const graph = quantizedOf(makers[kind], 300 + seed);
          const places = graph.operators.flatMap(({ op }, at) => (layers.includes(op) ? [at] : []));
          return withFloatLayer(graph, places[seed % places.length]!);
        }),
      );
      const all = { values: 0, unequal: 0 };
      compareAll(graphs, runs).forEach(({ share, values, unequal, worst }, index) => {
        expect(share, `${index}`).toBeLessThan(close);
        // One step at a rounding boundary, which later layers can amplify; a steep table can even amplify it to
        // several steps.
        expect(worst, `${index}`).toBeLessThanOrEqual(4);
        all.values += values;
        all.unequal += unequal;
      });
      expect(all.unequal / all.values).toBeLessThan(1e-4);
      const conversions = operatorsOn('float32', graphs, 20).filter((op) => !layers.includes(op));
      await expectRecorded('float32.TFLM-near.float-layers', conversions);
      if (long) process.stderr.write(`mixed: ${all.unequal} of ${all.values} int8 values differ\n`);
    },
    limit,
  );
});
