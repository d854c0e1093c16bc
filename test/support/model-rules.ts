import { seededRandom } from '../../src/lib/core/numbers.js';
import type { Graph } from '../../src/lib/formats/tflite/graph.js';
import { writeTflite } from '../../src/lib/formats/tflite/write.js';
import { GraphBuilder } from './graph-builder.js';
import { type Field, fieldsOf } from './model-mutants.js';

/** Small models by name, whose numbers are changed by the cases below. */
const bases: Record<string, () => Graph> = {
  dense: () => {
    const b = new GraphBuilder(seededRandom(1));
    const x = b.activation([2, 4], 0.05, 3);
    const w = b.weights([3, 4], 0);
    const bias = b.bias(x, w, 3);
    const y = b.activation([2, 3], 0.2, -5);
    const options = { activation: 'relu6', keepNumDims: true } as const;
    return b.graph(x, b.op({ op: 'FULLY_CONNECTED', inputs: [x, w, bias], outputs: [y], options }));
  },
  depthwise: () => {
    const b = new GraphBuilder(seededRandom(2));
    const x = b.activation([1, 4, 3, 2], 0.05, 3);
    const w = b.weights([1, 2, 2, 4], 3);
    const bias = b.bias(x, w, 4);
    const y = b.activation([1, 3, 2, 4], 0.2, -5);
    const steps = { strideH: 1, strideW: 1, dilationH: 1, dilationW: 1, depthMultiplier: 2 };
    const options = { padding: 'valid', activation: 'relu', ...steps } as const;
    const inputs = [x, w, bias];
    return b.graph(x, b.op({ op: 'DEPTHWISE_CONV_2D', inputs, outputs: [y], options }));
  },
  convolution: () => {
    const b = new GraphBuilder(seededRandom(3));
    const x = b.activation([1, 4, 3, 4], 0.05, 3);
    const w = b.weights([6, 2, 2, 2], 0);
    const bias = b.bias(x, w, 6);
    const y = b.activation([1, 3, 2, 6], 0.2, -5);
    const steps = { strideH: 1, strideW: 1, dilationH: 1, dilationW: 1 };
    const options = { padding: 'valid', activation: 'relu_n1_to_1', ...steps } as const;
    return b.graph(x, b.op({ op: 'CONV_2D', inputs: [x, w, bias], outputs: [y], options }));
  },
  pool: () => {
    const b = new GraphBuilder(seededRandom(4));
    const x = b.activation([1, 4, 4, 2], 0.05, 3);
    const window = { filterH: 2, filterW: 2, strideH: 2, strideW: 2 };
    const options = { padding: 'valid', activation: 'relu', ...window } as const;
    return b.graph(
      x,
      b.op({ op: 'AVERAGE_POOL_2D', inputs: [x], outputs: [b.like(x, [1, 2, 2, 2])], options }),
    );
  },
  logistic: () => {
    const b = new GraphBuilder(seededRandom(5));
    const x = b.activation([1, 6], 0.05, 3);
    return b.graph(
      x,
      b.op({ op: 'LOGISTIC', inputs: [x], outputs: [b.fixed('LOGISTIC', [1, 6])], options: {} }),
    );
  },
  relu6: () => {
    const b = new GraphBuilder(seededRandom(6));
    const x = b.activation([1, 6], 0.05, 3);
    return b.graph(x, b.op({ op: 'RELU6', inputs: [x], outputs: [b.like(x, [1, 6])], options: {} }));
  },
  softmax: () => {
    const b = new GraphBuilder(seededRandom(7));
    const x = b.activation([1, 6], 0.05, 3);
    const options = { beta: 1 };
    return b.graph(x, b.op({ op: 'SOFTMAX', inputs: [x], outputs: [b.fixed('SOFTMAX', [1, 6])], options }));
  },
  total: () => {
    const b = new GraphBuilder(seededRandom(20));
    const [x, before] = [b.activation([1, 3], 0.05, 3), b.activation([1, 3], 0.1, 2)];
    const [y, total] = [b.like(before, [1, 3]), b.variable(before, [1, 3], true)];
    b.op({ op: 'READ_VARIABLE', inputs: [total], outputs: [before], options: {} });
    b.op({ op: 'ADD', inputs: [before, x], outputs: [y], options: { activation: 'none' } });
    b.op({ op: 'ASSIGN_VARIABLE', inputs: [total, y], outputs: [], options: {} });
    return b.graph(x, y);
  },
  parts: () => {
    const b = new GraphBuilder(seededRandom(21));
    const x = b.activation([1, 5, 2], 0.05, 3);
    const outputs = [b.like(x, [1, 3, 2]), b.like(x, [1, 2, 2])];
    const inputs = [x, b.int32s(-1, 2), b.int32(1)];
    b.op({ op: 'SPLIT_V', inputs, outputs, options: { numSplits: 2 } });
    return b.graph(x, outputs[1]!);
  },
  sum: () => {
    const b = new GraphBuilder(seededRandom(8));
    const [x, c] = [b.activation([1, 2, 1, 3], 0.05, 3), b.constant([1, 2, 1, 3], 0.04)];
    const y = b.activation([1, 2, 1, 3], 0.1, 2);
    const options = { activation: 'relu', potScaleInt16: false } as const;
    return b.graph(x, b.op({ op: 'ADD', inputs: [x, c], outputs: [y], options }));
  },
  largest: () => {
    const b = new GraphBuilder(seededRandom(9));
    const x = b.activation([1, 4, 3], 0.05, 3);
    const options = { keepDims: true };
    const inputs = [x, b.int32s(1)];
    return b.graph(x, b.op({ op: 'REDUCE_MAX', inputs, outputs: [b.like(x, [1, 1, 3])], options }));
  },
  expand: () => {
    const b = new GraphBuilder(seededRandom(10));
    const x = b.activation([2, 3], 0.05, 3);
    const inputs = [x, b.int32s(1)];
    return b.graph(x, b.op({ op: 'EXPAND_DIMS', inputs, outputs: [b.like(x, [2, 1, 3])], options: {} }));
  },
  squeeze: () => {
    const b = new GraphBuilder(seededRandom(11));
    const x = b.activation([1, 2, 1, 3], 0.05, 3);
    const options = { squeezeDims: [2] };
    return b.graph(x, b.op({ op: 'SQUEEZE', inputs: [x], outputs: [b.like(x, [1, 2, 3])], options }));
  },
  filled: () => {
    const b = new GraphBuilder(seededRandom(12));
    const x = b.activation([1, 2, 3], 0.05, 3);
    const value = b.constant([]);
    b.tensors[value]!.quantization = b.tensors[x]!.quantization!;
    const paddings = b.add({ type: 'int32', shape: [3, 2], data: Int32Array.of(0, 0, 1, 0, 0, 1) });
    return b.graph(
      x,
      b.op({ op: 'PADV2', inputs: [x, paddings, value], outputs: [b.like(x, [1, 3, 4])], options: {} }),
    );
  },
  joined: () => {
    const b = new GraphBuilder(seededRandom(13));
    const x = b.activation([1, 2, 3], 0.05, 3);
    const part = b.constant([1, 2, 1]);
    b.tensors[part]!.quantization = b.tensors[x]!.quantization!;
    const options = { axis: 2, activation: 'none' } as const;
    const outputs = [b.like(x, [1, 2, 4])];
    return b.graph(x, b.op({ op: 'CONCATENATION', inputs: [x, part], outputs, options }));
  },
  filters: () => {
    const b = new GraphBuilder(seededRandom(22));
    const [x, y] = [b.activation([1, 4], 0.05, 3), b.activation([1, 3], 0.2, -128)];
    const [feature, time] = [b.weights([6, 4], 0, false), b.weights([6, 5], 0, false)];
    const state = b.state('int8', [1, 30], 0.1, 4);
    const inputs = [x, feature, time, b.bias(state, time, 3), state];
    const options = { rank: 2, activation: 'relu' } as const;
    return b.graph(x, b.op({ op: 'SVDF', inputs, outputs: [y], options }));
  },
  recurrent: () => {
    const b = new GraphBuilder(seededRandom(23));
    const [x, y] = [b.activation([1, 2, 4], 0.05, 3), b.activation([1, 2, 3], 0.01, 4)];
    const weights = [4, 4, 4, 4, 3, 3, 3, 3].map((taken) => b.weights([3, taken], 0, false));
    const biases = weights.slice(0, 4).map((own) => b.bias(x, own, 3));
    const states = [b.state('int8', [1, 3], 0.01, 4), b.state('int16', [1, 3], 2 ** -11)];
    const none = (count: number) => new Array<number>(count).fill(-1);
    const inputs = [x, ...weights, ...none(3), ...biases, ...none(2), ...states, ...none(4)];
    const options = { cellClip: 10, timeMajor: false };
    return b.graph(x, b.op({ op: 'UNIDIRECTIONAL_SEQUENCE_LSTM', inputs, outputs: [y], options }));
  },
};

/**
 * The number of a rule in docs/reference/tflite-rules.md, the base, the fields with their new values, and `true` if
 * the model is still valid.
 */
type Row = [rule: number, base: string, changes: Record<string, number>, accepted?: true];

const rows: Row[] = [
  ...Object.keys(bases).map((base): Row => [0, base, {}, true]),
  [1, 'dense', { 'schema version': 2 }],
  [1, 'dense', { 'buffer 1 length': 2 ** 24 }],
  [1, 'relu6', { 'buffer 1 length': -1 }],
  [2, 'dense', { 'tensor 0 shape 0': 0 }],
  [2, 'dense', { 'tensor 0 shape 0': 2 ** 24 }],
  [2, 'dense', { 'tensor 3 type': 5 }],
  [2, 'dense', { 'tensor 1 type': 7 }],
  [2, 'expand', { 'tensor 1 type': 3 }],
  [2, 'dense', { 'tensor 1 buffer': 99 }],
  [3, 'dense', { 'tensor 2 scale 1': -0.5 }],
  [3, 'dense', { 'tensor 1 scale 1': Number.NaN }],
  [3, 'dense', { 'tensor 1 scale 1': Number.POSITIVE_INFINITY }],
  [3, 'dense', { 'tensor 1 scale 1': 0 }, true],
  [3, 'dense', { 'tensor 2 zero point count': 2 }],
  [3, 'filled', { 'tensor 1 zero point count': 0 }],
  [3, 'dense', { 'tensor 2 zero point 1': -(2 ** 31) }],
  [4, 'dense', { 'inputs 0': 1 }],
  [4, 'dense', { 'outputs 0': 1 }],
  [4, 'dense', { 'outputs 0': 0 }, true],
  [4, 'dense', { 'outputs count': 0 }],
  [5, 'dense', { 'operator 0 options type': 9 }],
  [5, 'largest', { 'operator 0 options type': 0 }],
  [5, 'dense', { 'operator 0 options type': 0 }, true],
  [5, 'squeeze', { 'operator 0 options type': 5 }],
  [5, 'dense', { 'operator 0 inputs count': 1 }],
  [5, 'dense', { 'operator 0 inputs 0': -1 }],
  [5, 'dense', { 'operator 0 inputs 2': -1 }, true],
  [5, 'joined', { 'operator 0 inputs 1': -1 }],
  [5, 'dense', { 'operator 0 outputs 0': 1 }],
  [5, 'pool', { 'operator 0 option 0': 2 }],
  [5, 'pool', { 'operator 0 option 5': 4 }],
  [6, 'dense', { 'tensor 0 scale 0': 0 }],
  [6, 'dense', { 'tensor 0 zero point 0': 128 }],
  [6, 'dense', { 'tensor 1 zero point 0': 1 }],
  [6, 'dense', { 'tensor 3 scale 0': 1e-30 }],
  [6, 'dense', { 'tensor 0 scale 0': 1e-30 }, true],
  [7, 'pool', { 'tensor 1 scale 0': 0.051 }],
  [7, 'relu6', { 'tensor 1 scale 0': 0.05 * (1 + 2 ** -21) }, true],
  [7, 'relu6', { 'tensor 0 scale 0': 4e-9, 'tensor 1 scale 0': 5e-9 }, true],
  [7, 'relu6', { 'tensor 1 zero point 0': 5 }, true],
  [7, 'largest', { 'tensor 2 scale 0': 0.05 * (1 + 2 ** -21) }],
  [7, 'filled', { 'tensor 1 scale 0': 0.06 }],
  [7, 'joined', { 'tensor 1 zero point 0': 4 }],
  [8, 'logistic', { 'tensor 1 scale 0': 1 / 128 }],
  [8, 'logistic', { 'tensor 0 scale 0': 16 }],
  [8, 'logistic', { 'tensor 0 scale 0': 1e-9 }],
  [8, 'logistic', { 'tensor 0 scale 0': 1e-30 }],
  [8, 'logistic', { 'tensor 0 scale 0': 4e-9 }, true],
  [8, 'softmax', { 'tensor 0 scale 0': 1e-9 }],
  [8, 'softmax', { 'operator 0 option 0': Number.NaN }],
  [8, 'softmax', { 'tensor 0 shape count': 0 }],
  [9, 'dense', { 'tensor 3 scale 0': 1e-9, 'tensor 0 scale 0': 1e-9 }],
  [9, 'relu6', { 'tensor 0 scale 0': 1e-9, 'tensor 1 scale 0': 1e-9 }],
  [9, 'relu6', { 'tensor 0 scale 0': 4e-9, 'tensor 1 scale 0': 4e-9 }, true],
  [9, 'relu6', { 'tensor 1 scale 0': 1e-9 }],
  [9, 'convolution', { 'tensor 3 scale 0': 4e-10, 'tensor 0 scale 0': 4e-10 }],
  [10, 'dense', { 'tensor 3 shape 0': 3, 'tensor 3 shape 1': 2 }],
  [10, 'dense', { 'tensor 3 shape 1': 4 }],
  [11, 'depthwise', { 'operator 0 option 3': 1 }],
  [11, 'depthwise', { 'operator 0 option 3': 0 }],
  [11, 'depthwise', { 'operator 0 option 3': 255 }],
  [11, 'convolution', { 'tensor 0 shape 3': 3 }],
  [12, 'convolution', { 'operator 0 option 1': 4097 }],
  [12, 'pool', { 'operator 0 option 4': 2 ** 24 }],
  [12, 'pool', { 'tensor 1 shape 1': 3 }],
  [13, 'expand', { 'buffer 1 number 0': 3 }],
  [13, 'expand', { 'buffer 1 number 0': 0 }],
  [13, 'expand', { 'buffer 1 number 0': -2 }, true],
  [13, 'squeeze', { 'tensor 0 shape 2': 3, 'tensor 0 shape 3': 1 }],
  [13, 'squeeze', { 'operator 0 options type': 0 }],
  [14, 'sum', { 'tensor 0 shape count': 2, 'tensor 1 shape count': 2 }],
  [14, 'sum', { 'tensor 2 scale 0': 1e-9 }],
  [0, 'total', {}, true],
  [15, 'total', { 'operator 0 option 0': 2 }],
  [15, 'total', { 'operator 1 options type': 0 }],
  [15, 'total', { 'tensor 3 type': 9 }],
  [15, 'total', { 'operator 2 inputs 0': 0 }],
  [15, 'total', { 'operator 3 inputs 0': 3 }],
  [15, 'total', { 'operator 4 inputs 0': 1 }],
  [15, 'total', { 'tensor 2 scale 0': 0.2 }],
  [0, 'parts', {}, true],
  [16, 'parts', { 'tensor 1 shape 1': 2 }],
  [16, 'parts', { 'operator 0 inputs 1': 4 }],
  [16, 'logistic', { 'tensor 0 type': 3 }],
  // Tensors: 0 x, 1 y, 2 and 3 weights, 4 state, 5 bias.
  [17, 'filters', { 'tensor 4 variable': 0 }],
  [17, 'filters', { 'tensor 4 variable': 2 }, true],
  [17, 'filters', { 'operator 0 inputs 0': 4 }],
  [17, 'filters', { 'operator 0 inputs 3': -1 }],
  [17, 'filters', { 'operator 0 inputs 4': -1 }],
  [17, 'filters', { 'operator 0 option 0': 4 }],
  [17, 'filters', { 'operator 0 option 0': 0 }],
  [17, 'filters', { 'operator 0 option 1': 0 }, true],
  [17, 'filters', { 'operator 0 option 1': 3 }],
  [17, 'filters', { 'tensor 1 zero point 0': 0 }],
  [17, 'filters', { 'tensor 4 zero point 0': 100 }, true],
  [17, 'filters', { 'tensor 4 type': 7 }],
  [17, 'filters', { 'tensor 5 scale 0': 0.5 }],
  [17, 'filters', { 'tensor 4 shape 1': 15 }],
  // Tensors: 0 x, 1 y, 2–5 weights of x, 6–9 weights of the hidden state, 10–13 biases, 14 the hidden state, 15 the
  // cells.
  [18, 'recurrent', { 'operator 0 inputs 9': 6 }],
  [18, 'recurrent', { 'operator 0 inputs 1': -1 }],
  [18, 'recurrent', { 'operator 0 inputs 12': -1 }],
  [18, 'recurrent', { 'operator 0 inputs 18': 15 }],
  [18, 'recurrent', { 'operator 0 option 0': 0 }],
  [18, 'recurrent', { 'operator 0 option 1': -0.5 }],
  [18, 'recurrent', { 'tensor 14 variable': 0 }],
  [18, 'recurrent', { 'tensor 14 scale 0': 0.02 }],
  [18, 'recurrent', { 'tensor 1 zero point 0': 5 }],
  [18, 'recurrent', { 'tensor 15 scale 0': 0.0005 }],
  [18, 'recurrent', { 'tensor 15 scale 0': 0.015625 }],
  [18, 'recurrent', { 'tensor 15 type': 9 }],
  [18, 'recurrent', { 'tensor 2 zero point 0': 1 }],
  [18, 'recurrent', { 'tensor 7 shape 0': 2 }],
];

export interface RuleCase {
  rule: number;
  base: string;
  what: string;
  /** Bytes that differ from the base file. */
  changes: { at: number; byte: number }[];
  file: Uint8Array;
  accepted: boolean;
}

/** The files of the bases, and the verdict on each change that both interpreters must return. */
export function ruleCases(): { files: Record<string, Uint8Array>; cases: RuleCase[] } {
  const files = Object.fromEntries(
    Object.entries(bases).map(([name, make]) => {
      const graph = make();
      const tensors = graph.tensors.map((tensor) => ({ ...tensor, name: '' }));
      return [name, writeTflite({ ...graph, name: '', description: '', tensors })];
    }),
  );
  const cases = rows.map(([rule, base, changes, accepted = false]): RuleCase => {
    const whole = files[base]!;
    const file = whole.slice();
    const fields = fieldsOf(whole);
    for (const [name, value] of Object.entries(changes))
      write(file, placeOf(fields, name, value, base), value);
    const differing = [...file.keys()].filter((at) => file[at] !== whole[at]);
    const what = `${base}: ${
      Object.entries(changes)
        .map(([name, value]) => `${name} = ${value}`)
        .join(', ') || 'as it is'
    }`;
    return {
      ...{ rule, base, what, file, accepted: accepted as boolean },
      changes: differing.map((at) => ({ at, byte: file[at]! })),
    };
  });
  return { files, cases };
}

/** An option is listed once for each type that it might have. */
function placeOf(fields: readonly Field[], name: string, value: number, base: string): Field {
  const named = fields.filter((field) => field.name === name);
  const kind = !Number.isInteger(value) ? 'float32' : value > 255 ? 'int32' : 'byte';
  const found = named.length === 1 ? named[0] : named.find((field) => field.kind === kind);
  if (found === undefined) throw new Error(`${base} has no ${name}`);
  return found;
}

function write(file: Uint8Array, { at, kind }: Field, value: number): void {
  const view = new DataView(file.buffer);
  if (kind === 'byte') view.setUint8(at, value);
  else if (kind === 'float32') view.setFloat32(at, value, true);
  else view.setInt32(at, value, true);
}
