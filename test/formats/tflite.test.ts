import { describe, expect, it } from 'vitest';
import { AiotError } from '../../src/lib/core/errors.js';
import { seededRandom } from '../../src/lib/core/numbers.js';
import { elementCount, type Graph, type Operator, type Tensor } from '../../src/lib/formats/tflite/graph.js';
import { outlineTflite } from '../../src/lib/formats/tflite/outline.js';
import { importTflite, readTflite } from '../../src/lib/formats/tflite/read.js';
import { CheckedBuffer, slots } from '../../src/lib/formats/tflite/schema.js';
import { foldShapes } from '../../src/lib/formats/tflite/shapes.js';
import { writeTflite } from '../../src/lib/formats/tflite/write.js';
import { createInterpreter } from '../../src/lib/runtime/interpreter/interpreter.js';
import { GraphBuilder } from '../support/graph-builder.js';
import { motorFile } from '../support/motor-files.js';
import { cnn, mlp } from '../support/networks.js';
import { argMaxGraph, oneOpGraphs } from '../support/one-op-graphs.js';
import { openBatchFile, tileFile } from '../support/open-batch.js';
import { fc, runs } from '../support/property.js';

const bytesOf = (graph: Graph) => Buffer.from(writeTflite(graph));

/** Returns the code and message of the error thrown by reading or writing. */
function refusal(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    if (error instanceof AiotError) return `${error.code}: ${error.message}`;
    throw error;
  }
  return 'nothing was refused';
}

it('reads the values instead of a final ARG_MAX, and reports that', () => {
  const made = argMaxGraph(seededRandom(2));
  const [positions, values] = made.operators.map(({ outputs }) => outputs[0]!);
  const [x] = made.inputs;
  // The RELU comes first, and the ARG_MAX reads its values.
  const [argMax, relu] = made.operators;
  const operators = [relu!, { ...argMax!, inputs: [values!, argMax!.inputs[1]!] }] as typeof made.operators;
  const { graph, notes } = importTflite(writeTflite({ ...made, operators, outputs: [positions!] }));
  expect(graph.operators.map(({ op }) => op)).toEqual(['RELU']);
  expect(graph.tensors[graph.outputs[0]!]).toEqual(made.tensors[values!]);
  expect(graph.tensors).toHaveLength(2);
  expect(notes).toEqual([expect.stringMatching(/^the output .* has the values, not the position/)]);
  // Without an operator before it, nothing would remain.
  const bare = writeTflite({
    ...made,
    operators: [{ ...argMax!, inputs: [x!, argMax!.inputs[1]!] }],
    outputs: [positions!],
  } as Graph);
  expect(readTflite(bare).operators.map(({ op }) => op)).toEqual(['ARG_MAX']);
});

describe('a .tflite file written and read', () => {
  it.each(Object.entries(oneOpGraphs))('preserves a model of %s', (_op, make) => {
    const random = seededRandom(1);
    for (let i = 0; i < 20; i++) {
      const graph = make(random);
      // A convolution without a bias gets one that consists of zeros.
      const back = readTflite(writeTflite(graph));
      expect(back.tensors.slice(0, graph.tensors.length)).toEqual(graph.tensors);
      expect(back.operators[0]!.options).toEqual(graph.operators[0]!.options);
      expect(readTflite(writeTflite(back))).toEqual(back);
    }
  });

  it('reads a bias with the axis of its weights, as written by TensorFlow 1', () => {
    const b = new GraphBuilder(seededRandom(3));
    // With an input scale of 1, the bias has the scales of the weights, so it can share their quantization.
    const x = b.activation([1, 8, 8, 4], 1);
    const w = b.weights([1, 3, 3, 4], 3);
    const bias = b.bias(x, w, 4);
    const y = b.activation([1, 8, 8, 4]);
    const steps = { padding: 'same', strideH: 1, strideW: 1, dilationH: 1, dilationW: 1 } as const;
    const options = { ...steps, depthMultiplier: 1, activation: 'relu6' } as const;
    const file = bytesOf(
      b.graph(x, b.op({ op: 'DEPTHWISE_CONV_2D', inputs: [x, w, bias], outputs: [y], options })),
    );
    const expected = readTflite(file);
    const [main] = new CheckedBuffer(file).root('model').tables(slots.model.subgraphs, 'subgraph');
    const tensors = main!.tables(slots.subgraph.tensors, 'tensor');
    const [from, to] = [w, bias].map((index) => {
      const { at } = tensors[index]!;
      return at + file.readUInt16LE(at - file.readInt32LE(at) + 4 + 2 * slots.tensor.quantization);
    }) as [number, number];
    file.writeUInt32LE(from + file.readUInt32LE(from) - to, to);
    expect(tensors[bias]!.table(slots.tensor.quantization, 'bias')!.int32(slots.quantization.axis, 0)).toBe(
      3,
    );
    expect(readTflite(file)).toEqual(expected);
  });

  it('can contain empty tensors that no operator uses, as the intermediate values of an LSTM', () => {
    const graph = mlp(seededRandom(4), [3, 4, 2]);
    const unused: Tensor = { name: 'input_to_input_intermediate', shape: [7777], type: 'int8' };
    const emptied = (file: Buffer, size: number) => {
      const at = file.indexOf(Buffer.from(Int32Array.of(size).buffer));
      file.writeInt32LE(0, at);
      return file;
    };
    const { operators, tensors } = readTflite(
      emptied(bytesOf({ ...graph, tensors: [...graph.tensors, unused] }), 7777),
    );
    expect(operators).toEqual(readTflite(bytesOf(graph)).operators);
    expect(tensors.at(-1)).toMatchObject({ name: 'input_to_input_intermediate', shape: [1] });
    const b = new GraphBuilder(seededRandom(5));
    const x = b.activation([1, 7777], 1);
    const y = b.activation([1, 7777], 1);
    const used = b.graph(x, b.op({ op: 'RELU', inputs: [x], outputs: [y], options: {} }));
    expect(refusal(() => readTflite(emptied(bytesOf(used), 7777)))).toMatch(
      /^AIOT_TFLITE_MALFORMED: .*expected positive dimensions, got \[1,0\]$/,
    );
  });

  it('can contain outputs without elements, which no operator computes or reads', () => {
    const graph = mlp(seededRandom(4), [3, 4, 2]);
    const empty: Tensor = { name: 'rest', shape: [2, 0, 5], type: 'int32', data: new Int32Array(0) };
    const at = graph.tensors.length;
    const both = { ...graph, tensors: [...graph.tensors, empty], outputs: [...graph.outputs, at] };
    const read = readTflite(bytesOf(both));
    expect(read.tensors[read.outputs[1]!]).toEqual(empty);
    expect(outlineTflite(bytesOf(both)).tensors[read.outputs[1]!]).toMatchObject({ shape: [2, 0, 5] });
    const [values, rest] = createInterpreter(read).run([Int8Array.of(1, 2, 3)]);
    expect([values!.length, rest]).toEqual([2, new Int32Array(0)]);
    expect(refusal(() => createInterpreter({ ...both, inputs: [...graph.inputs, at] }))).toMatch(
      /the input, tensor \d+, is a constant$/,
    );
    const relu = (from: number, to: number): Operator => ({
      op: 'RELU',
      inputs: [from],
      outputs: [to],
      options: {},
    });
    const reading = [...graph.operators, relu(at, at + 1)];
    const after: Tensor = { name: 'after', shape: [2, 1, 5], type: 'int32' };
    expect(
      refusal(() => writeTflite({ ...both, tensors: [...both.tensors, after], operators: reading })),
    ).toMatch(/has no elements$/);
    const { data: _, ...computed } = empty;
    const made = [...graph.operators, relu(at - 1, at)];
    expect(
      refusal(() => writeTflite({ ...both, tensors: [...graph.tensors, computed], operators: made })),
    ).toMatch(/expected positive dimensions, got \[2,0,5\]$/);
  });

  it('has equal bytes for equal graphs, whatever was written before', () => {
    const [first, second] = [cnn(seededRandom(4)), cnn(seededRandom(4))];
    expect(bytesOf(first).equals(bytesOf(second))).toBe(true);
    expect(bytesOf(readTflite(bytesOf(first))).equals(bytesOf(first))).toBe(true);
  });

  it('aligns the data of every constant to 16 bytes', () => {
    const graph = cnn(seededRandom(2));
    const file = bytesOf(graph);
    expect(file.length % 16).toBe(0);
    for (const { data } of graph.tensors) {
      if (data === undefined || data.byteLength < 32) continue;
      expect(file.indexOf(Buffer.from(data.buffer)) % 16).toBe(0);
    }
  });

  it('reports the oldest TensorFlow version that runs it', () => {
    expect(bytesOf(mlp(seededRandom(1), [4, 4])).includes('1.14.0\0\0')).toBe(true);
    expect(bytesOf(mlp(seededRandom(1), [4, 4])).includes('min_runtime_version')).toBe(true);
  });

  it('stores constants that share an array only once', () => {
    const graph = mlp(seededRandom(1), [64, 64, 64]);
    const copy = structuredClone(graph);
    const [first, second] = copy.tensors.filter(({ data }) => data?.length === 64 * 64);
    second!.data = first!.data!;
    expect(bytesOf(graph).length - bytesOf(copy).length).toBeGreaterThan(4000);
    expect(readTflite(bytesOf(copy))).toEqual(copy);
  });

  it('adds a zero bias to a convolution without a bias', () => {
    const b = new GraphBuilder(seededRandom(1));
    const [x, w] = [b.activation([1, 1, 4, 2]), b.weights([3, 1, 2, 2], 0)];
    const y = b.activation([1, 1, 3, 3]);
    const options = {
      padding: 'valid',
      strideH: 1,
      strideW: 1,
      dilationH: 1,
      dilationW: 1,
      activation: 'none',
    } as const;
    b.op({ op: 'CONV_2D', inputs: [x, w], outputs: [y], options });
    const back = readTflite(writeTflite(b.graph(x, y)));
    expect(back.operators[0]!.inputs).toEqual([0, 1, 3]);
    expect(back.tensors[3]).toMatchObject({ type: 'int32', shape: [3], data: new Int32Array(3) });
    const scale = b.tensors[w]!.quantization!.scale[1]! * b.tensors[x]!.quantization!.scale[0]!;
    expect(back.tensors[3]!.quantization!.scale[1]).toBe(Math.fround(scale));
  });

  it('is read as a copy: later changes to the bytes have no effect', () => {
    const file = bytesOf(mlp(seededRandom(1), [4, 4]));
    const graph = readTflite(file);
    const before = structuredClone(graph);
    file.fill(0);
    expect(graph).toEqual(before);
  });
});

describe('a damaged or foreign file', () => {
  const good = bytesOf(mlp(seededRandom(1), [4, 6, 3]));
  const changed = (change: (file: Buffer) => void) => {
    const file = Buffer.from(good);
    change(file);
    return file;
  };

  it.each<[string, Uint8Array, string]>([
    [
      'empty',
      new Uint8Array(),
      'AIOT_TFLITE_MALFORMED: byte 0: the file is truncated: it has 0 bytes, but header would extend to byte 8',
    ],
    [
      'not a .tflite file',
      Buffer.from('PK\x03\x04 a zip'),
      'AIOT_TFLITE_MALFORMED: byte 4: expected a .tflite file (TFL3), got " a z"',
    ],
    ['truncated to half its size', good.subarray(0, good.length / 2), 'AIOT_TFLITE_MALFORMED: byte'],
    [
      'with a root beyond its end',
      changed((file) => file.writeUInt32LE(0x7fffffff, 0)),
      'AIOT_TFLITE_MALFORMED: byte 2147483647: the file is truncated: it has',
    ],
    [
      'with a root that points to itself',
      changed((file) => file.writeUInt32LE(0, 0)),
      'AIOT_TFLITE_MALFORMED: byte 0: offset of the model is 0',
    ],
  ])('is rejected with the position and the reason: %s', (_name, file, expected) => {
    expect(refusal(() => readTflite(file))).toContain(expected);
  });

  it.each([
    ['same', [2, 2, 2, 2], [0, 0, 0, 0]],
    ['valid', [0, 1, 0, 1], [0, 1, 0, 1]],
    ['neither', [1, 1, 1, 1], [0, 0, 0, 0]],
  ] as const)(
    'folds a convolution between SPACE_TO_BATCH_ND and BATCH_TO_SPACE_ND: %s',
    (name, paddings, crops) => {
      const graph = dilatedChain(name, paddings, crops);
      const folded = readTflite(writeTflite(graph));
      expect(folded.operators.map(({ op }) => op)).toEqual(
        name === 'neither' ? ['SPACE_TO_BATCH_ND', 'CONV_2D', 'BATCH_TO_SPACE_ND'] : ['CONV_2D'],
      );
      const size = elementCount(graph.tensors[graph.inputs[0]!]!.shape);
      const input = Float32Array.from({ length: size }, (_, i) => Math.sin(i));
      const [want, got] = [createInterpreter(graph).invoke(input), createInterpreter(folded).invoke(input)];
      expect([...got]).toEqual([...want]);
    },
  );

  it('repeats a tensor with CONCATENATIONs in place of a TILE', () => {
    const graph = readTflite(tileFile());
    expect(graph.operators.map(({ op }) => op)).toEqual(['CONCATENATION', 'CONCATENATION']);
    const rows = ['1 2 3 1 2 3', '4 5 6 4 5 6'];
    const want = [...rows, ...rows, ...rows].flatMap((row) => row.split(' ').map(Number));
    expect([...createInterpreter(graph).invoke(Float32Array.of(1, 2, 3, 4, 5, 6))]).toEqual(want);
  });

  it.each([
    ['float32', 'ADD_N', ['ADD', 'ADD'], [12, 15]],
    ['int32', 'ADD_N', ['ADD', 'ADD'], [12, 15]],
    ['float32', 'FLOOR_DIV', ['DIV', 'FLOOR'], [0, 0]],
  ] as const)('computes %s %s with %j', (type, op, replacements, expected) => {
    const values = op === 'ADD_N' ? [0, 1, 2] : [0, 1];
    const tensors = [...values, 3].map((index): Tensor => ({ name: `t${index}`, type, shape: [1, 2] }));
    const y = values.length;
    const own = foldShapes(tensors, [{ op, inputs: values, outputs: [y], options: {} }]);
    expect(own.operators.map((operator) => operator.op)).toEqual(replacements);
    const graph: Graph = { ...own, name: '', description: '', inputs: values, outputs: [y] };
    const rows = [
      [1, 2],
      [4, 5],
      [7, 8],
    ].slice(0, values.length);
    const given = rows.map((row) => (type === 'int32' ? Int32Array.from(row) : Float32Array.from(row)));
    expect([...createInterpreter(graph).run(given)[0]!]).toEqual(expected);
  });

  it.each([
    ['FLOOR_DIV', [-4, 3, -2, 1]],
    ['FLOOR_MOD', [1, 1, -1, 0]],
  ] as const)(
    'computes constants with %s, and rejects it on values and with a divisor of 0',
    (op, expected) => {
      const fold = (divisors: number[], x?: Int32Array) => {
        const tensor = (name: string, data?: Int32Array): Tensor => ({
          ...{ name, type: 'int32', shape: [4] },
          ...(data && { data }),
        });
        const tensors = [tensor('x', x), tensor('by', Int32Array.from(divisors)), tensor('y')];
        return foldShapes(tensors, [{ op, inputs: [0, 1], outputs: [2], options: {} }]).tensors[2]!.data;
      };
      const x = Int32Array.of(-7, 7, 5, 6);
      expect([...fold([2, 2, -3, 6], x)!]).toEqual(expected);
      const rejected = `AIOT_TFLITE_UNSUPPORTED: operator 0: ${op} is not supported`;
      expect(refusal(() => fold([2, 2, 0, 6], x))).toBe(rejected);
      expect(refusal(() => fold([2, 2, -3, 6]))).toBe(rejected);
    },
  );

  const int32 = (name: string, shape: number[], values?: number[]): Tensor => ({
    ...{ name, type: 'int32', shape },
    ...(values && { data: Int32Array.from(values) }),
  });

  it.each([
    [
      'computed positions',
      undefined,
      ['RESHAPE', 'RESHAPE', 'MUL', 'SPLIT', 'ADD', 'RESHAPE', 'GATHER', 'RESHAPE'],
    ],
    ['constant positions', [1, 2, 0, 1], ['RESHAPE', 'GATHER', 'RESHAPE']],
  ] as const)('reads a GATHER_ND with %s as a GATHER, on int8 too', (_, positions, names) => {
    const scaled = { quantization: { scale: [0.5], zeroPoint: [3], axis: 0 } };
    const tensors: Tensor[] = [
      { name: 'x', type: 'int8', shape: [2, 3, 2], ...scaled },
      int32('at', [2, 2], positions && [...positions]),
      { name: 'y', type: 'int8', shape: [2, 2], ...scaled },
    ];
    const own = foldShapes(tensors, [{ op: 'GATHER_ND', inputs: [0, 1], outputs: [2], options: {} }]);
    expect(own.operators.map(({ op }) => op)).toEqual(names);
    const inputs = positions ? [0] : [0, 1];
    const graph: Graph = { ...own, name: '', description: '', inputs, outputs: [2] };
    const x = Int8Array.from({ length: 12 }, (_, i) => i);
    const given = positions ? [x] : [x, Int32Array.of(1, 2, 0, 1)];
    expect([...createInterpreter(graph).run(given)[0]!]).toEqual([10, 11, 2, 3]);
  });

  it('reads an EMBEDDING_LOOKUP as a GATHER, unless it also converts', () => {
    const fold = (type: 'float32' | 'int8') =>
      foldShapes(
        [
          int32('ids', [3]),
          { name: 'table', type: 'float32', shape: [2, 2], data: Float32Array.of(1, 2, 3, 4) },
          { name: 'y', type, shape: [3, 2] },
        ],
        [{ op: 'EMBEDDING_LOOKUP', inputs: [0, 1], outputs: [2], options: {} }],
      );
    const graph: Graph = { ...fold('float32'), name: '', description: '', inputs: [0], outputs: [2] };
    expect([...createInterpreter(graph).run([Int32Array.of(1, 0, 1)])[0]!]).toEqual([3, 4, 1, 2, 3, 4]);
    expect(refusal(() => fold('int8'))).toBe(
      'AIOT_TFLITE_UNSUPPORTED: operator 0: EMBEDDING_LOOKUP is not supported',
    );
  });

  it('computes the shape of a BROADCAST_ARGS', () => {
    const tensors = [int32('a', [2], [3, 1]), int32('b', [3], [2, 1, 5]), int32('y', [3])];
    const own = foldShapes(tensors, [{ op: 'BROADCAST_ARGS', inputs: [0, 1], outputs: [2], options: {} }]);
    expect(own).toMatchObject({ operators: [], tensors: [{}, {}, { data: Int32Array.of(2, 3, 5) }] });
  });

  it.each([
    ['int8', 4],
    ['float32', 65],
  ] as const)('rejects a CUMSUM on %s over %i values', (type, count) => {
    const x = (name: string): Tensor => ({ name, type, shape: [1, count] });
    const operator = { op: 'CUMSUM' as const, inputs: [0, 1], outputs: [2], options: {} };
    expect(refusal(() => foldShapes([x('x'), int32('axis', [], [1]), x('y')], [operator]))).toBe(
      'AIOT_TFLITE_UNSUPPORTED: operator 0: CUMSUM is not supported: use at most 64 values, on float32',
    );
  });

  it('stores the zeros of a ZEROS_LIKE, and rejects it on int8', () => {
    const fold = (type: 'float32' | 'int8') => {
      const tensor = (name: string): Tensor => ({ name, type, shape: [1, 3] });
      const operator = { op: 'ZEROS_LIKE' as const, inputs: [0], outputs: [1], options: {} };
      return foldShapes([tensor('x'), tensor('y')], [operator]);
    };
    expect(fold('float32')).toMatchObject({ operators: [], tensors: [{}, { data: new Float32Array(3) }] });
    expect(refusal(() => fold('int8'))).toBe(
      'AIOT_TFLITE_UNSUPPORTED: operator 0: ZEROS_LIKE is not supported',
    );
  });

  it('is rejected with the name, index and possible replacement of an unknown operator', () => {
    // LOGISTIC's code (14) is replaced by POW's (78) in both fields of the operator code.
    const file = bytesOf(oneOpGraphs.LOGISTIC!(seededRandom(1)));
    const wide = file.indexOf(Buffer.from([14, 0, 0, 0, 2, 0, 0, 0]));
    expect(wide).toBeGreaterThan(0);
    file[wide] = 78;
    expect(refusal(() => readTflite(file))).toBe(
      'AIOT_TFLITE_UNSUPPORTED: operator 0: POW is not supported: use MUL',
    );
  });

  it.each([
    [16, 'LSTM is not supported: use convolutions over time'],
    [32, 'CUSTOM is not supported: convert without custom and Flex operators'],
    [209, 'STABLEHLO_CASE is not supported'],
    [210, 'BUILTIN_210 is not supported'],
  ])('is rejected with the name of operator code %s', (code, expected) => {
    const file = bytesOf(oneOpGraphs.LOGISTIC!(seededRandom(1)));
    const wide = file.indexOf(Buffer.from([14, 0, 0, 0, 2, 0, 0, 0]));
    file.writeInt32LE(code, wide);
    expect(refusal(() => readTflite(file))).toContain(`AIOT_TFLITE_UNSUPPORTED: operator 0: ${expected}`);
  });

  it('is either read or rejected with an error, wherever it is truncated or changed', () => {
    const operators = [
      'MEAN',
      'STRIDED_SLICE',
      'SPLIT',
      'CONCATENATION',
      'PADV2',
      'TRANSPOSE',
      'ADD',
    ] as const;
    const single = operators.map((op) => bytesOf(oneOpGraphs[op]!(seededRandom(2))));
    const files = [good, bytesOf(cnn(seededRandom(1))), Buffer.from(openBatchFile()), ...single];
    const damage = fc.record({
      file: fc.constantFrom(...files),
      cut: fc.option(fc.double({ min: 0, max: 1, noNaN: true }), { freq: 4 }),
      flips: fc.array(
        fc.tuple(fc.double({ min: 0, max: 0.999, noNaN: true }), fc.integer({ min: 1, max: 255 })),
        {
          maxLength: 4,
        },
      ),
    });
    const property = fc.property(damage, ({ file, cut, flips }) => {
      const bytes = Buffer.from(cut === null ? file : file.subarray(0, Math.floor(file.length * cut)));
      // Most of a file is data, where a flip has no effect, so half of the flips go to the tables at its start.
      flips.forEach(([where, mask], index) => {
        const at = Math.floor((index % 2 ? 0.3 : 1) * where * bytes.length);
        if (bytes.length > 0) bytes[at]! ^= mask;
      });
      expect(refusal(() => createInterpreter(readTflite(bytes)))).toMatch(/^AIOT_TFLITE_|^nothing/);
    });
    fc.assert(property, { numRuns: runs(4000), seed: 42 });
  });
});

describe('an inconsistent graph', () => {
  const graphWith = (change: (graph: Graph) => void) => {
    const graph = structuredClone(mlp(seededRandom(1), [4, 6, 3]));
    change(graph);
    return graph;
  };

  it.each<[string, (graph: Graph) => void, string]>([
    [
      'data that does not fill its shape',
      (g) => g.tensors[1]!.shape.push(2),
      'tensor 1 (t1): expected 48 elements, got 24',
    ],
    [
      'data of the wrong type',
      (g) => {
        g.tensors[1]!.type = 'int16';
      },
      'tensor 1 (t1): its data is not an array of int16',
    ],
    [
      'an input that no operator produces',
      (g) => {
        g.operators[0]!.inputs[0] = 5;
      },
      'operator 0 (FULLY_CONNECTED): its input, tensor 5, is not produced by an earlier operator',
    ],
    [
      'an output that no operator produces',
      (g) => {
        g.outputs[0] = 99;
      },
      'outputs: tensor 99 is not produced by any operator',
    ],
    [
      'operators in the wrong order',
      (g) => {
        g.operators.reverse();
      },
      'is not produced by an earlier operator',
    ],
    [
      'the wrong number of scales',
      (g) => {
        g.tensors[1]!.quantization!.scale.pop();
        g.tensors[1]!.quantization!.zeroPoint.pop();
      },
      '5 scales do not match dimension 0 of [6,4]',
    ],
    [
      'a softmax with the wrong scale',
      (g) => {
        g.tensors.at(-1)!.quantization!.scale[0] = 1 / 128;
      },
      'operator 2 (SOFTMAX): expected an output of scale 0.00390625, zero point -128',
    ],
    [
      'weights with a zero point',
      (g) => {
        g.tensors[1]!.quantization!.zeroPoint[2] = 1;
      },
      'expected symmetric int8 weights',
    ],
    [
      'a float bias',
      (g) => {
        Object.assign(g.tensors[3]!, { type: 'float32', data: new Float32Array(6) });
        Object.assign(g.tensors[2]!, {});
      },
      'expected an int32 bias, got float32',
    ],
    [
      'a zero point out of range',
      (g) => {
        g.tensors[0]!.quantization!.zeroPoint[0] = 200;
      },
      'the zero point 200 of t0 does not fit int8',
    ],
  ])('is not written: %s', (_name, change, reason) => {
    expect(refusal(() => writeTflite(graphWith(change)))).toContain(reason);
  });
});

describe('operators whose inputs share a scale', () => {
  const concatenation = (change: (graph: Graph) => void) => {
    const b = new GraphBuilder(seededRandom(1));
    const x = b.activation([1, 4], 0.1, 3);
    const parts = Array.from({ length: 3 }, () => b.like(x, [1, 4]));
    for (const part of parts) b.tensors[part]!.data = new Int8Array(4);
    const inputs = [x, ...parts];
    const options = { axis: 1, activation: 'none' } as const;
    b.op({ op: 'CONCATENATION', inputs, outputs: [b.like(x, [1, 16])], options });
    const graph = structuredClone(b.graph(x, 4));
    change(graph);
    return graph;
  };

  it.each<[string, (graph: Graph) => void, string]>([
    [
      'an input with a different scale',
      (g) => {
        g.tensors[2]!.quantization = { scale: [0.5], zeroPoint: [3], axis: 0 };
      },
      'operator 0 (CONCATENATION): expected inputs and outputs to have the same scale and zero point',
    ],
    [
      'a missing input',
      (g) => {
        g.operators[0]!.inputs[2] = -1;
      },
      'operator 0 (CONCATENATION): its input, tensor -1, is not produced by an earlier operator',
    ],
    [
      'more inputs than TFLite Micro supports',
      (g) => g.operators[0]!.inputs.push(...new Array(8).fill(1)),
      'expected at most 10 inputs, got 12',
    ],
    [
      'a fused activation',
      (g) => {
        g.operators[0]!.options = { axis: 1, activation: 'relu' };
      },
      'expected no fused activation, got relu',
    ],
  ])('are not written with %s', (_name, change, reason) => {
    expect(refusal(() => writeTflite(concatenation(() => {})))).toBe('nothing was refused');
    expect(refusal(() => writeTflite(concatenation(change)))).toContain(reason);
  });
});

describe('files from TensorFlow’s converter', () => {
  const cases: [string, Record<string, number>][] = [
    ['f32', { FULLY_CONNECTED: 4, LOGISTIC: 1 }],
    ['dyn', { FULLY_CONNECTED: 4, LOGISTIC: 1 }],
    ['f16', { DEQUANTIZE: 8, FULLY_CONNECTED: 4, LOGISTIC: 1 }],
    ['int8', { FULLY_CONNECTED: 4, LOGISTIC: 1 }],
    ['i16x8', { FULLY_CONNECTED: 4, LOGISTIC: 1 }],
    [
      'har_cnn_f32',
      { EXPAND_DIMS: 5, CONV_2D: 3, RESHAPE: 5, MAX_POOL_2D: 2, MEAN: 1, FULLY_CONNECTED: 1, SOFTMAX: 1 },
    ],
    [
      'har_cnn_int8',
      { EXPAND_DIMS: 5, CONV_2D: 3, RESHAPE: 5, MAX_POOL_2D: 2, MEAN: 1, FULLY_CONNECTED: 1, SOFTMAX: 1 },
    ],
  ];
  it.each(cases)(
    '%s is read completely, and is unchanged after it is written and read again',
    (name, operators) => {
      const graph = readTflite(motorFile(`${name}.tflite`));
      const counts: Record<string, number> = {};
      for (const { op } of graph.operators) counts[op] = (counts[op] ?? 0) + 1;
      expect(counts).toEqual(operators);
      const written = bytesOf(graph);
      const back = readTflite(written);
      expect(back).toEqual(graph);
      expect(bytesOf(back).equals(written)).toBe(true);
    },
  );

  it('match the converter’s dump in scales, shapes and options', () => {
    const { tensors, operators, inputs, outputs } = readTflite(motorFile('int8.tflite'));
    expect([inputs, outputs]).toEqual([[0], [13]]);
    expect(operators[0]).toEqual({
      op: 'FULLY_CONNECTED',
      inputs: [0, 8, 7],
      outputs: [9],
      options: { activation: 'relu', keepNumDims: false },
    });
    expect(tensors[8]).toMatchObject({ type: 'int8', shape: [60, 4] });
    expect(tensors[8]!.quantization!.scale).toHaveLength(60);
    expect(tensors[7]).toMatchObject({ type: 'int32', shape: [60] });
    expect(tensors[13]!.quantization).toEqual({ scale: [1 / 256], zeroPoint: [-128], axis: 0 });
  });
});

/** A 3 × 3 convolution with a dilation of 2, as written by TensorFlow's converter. */
function dilatedChain(name: string, paddings: readonly number[], crops: readonly number[]): Graph {
  const b = new GraphBuilder(seededRandom(4));
  const height = name === 'valid' ? 7 : 8;
  const rows = height + paddings[0]! + paddings[1]!;
  const list = (values: readonly number[]) =>
    b.add({ type: 'int32', shape: [2, 2], data: Int32Array.from(values) });
  const float = (shape: number[]) => b.add({ type: 'float32', shape });
  const data = Float32Array.from({ length: 3 * 9 * 2 }, (_, i) => Math.cos(i));
  const weights = b.add({ type: 'float32', shape: [3, 3, 3, 2], data });
  const [x, block] = [float([1, height, height, 2]), b.int32s(2, 2)];
  const split = float([4, rows / 2, rows / 2, 2]);
  const between = float([4, rows / 2 - 2, rows / 2 - 2, 3]);
  const side = rows - 4 - crops[1]!;
  const y = float([1, side, side, 3]);
  b.op({ op: 'SPACE_TO_BATCH_ND', inputs: [x, block, list(paddings)], outputs: [split], options: {} });
  const plain = { strideH: 1, strideW: 1, dilationH: 1, dilationW: 1, activation: 'none' } as const;
  b.op({
    op: 'CONV_2D',
    inputs: [split, weights],
    outputs: [between],
    options: { ...plain, padding: 'valid' },
  });
  return b.graph(
    x,
    b.op({ op: 'BATCH_TO_SPACE_ND', inputs: [between, block, list(crops)], outputs: [y], options: {} }),
  );
}
