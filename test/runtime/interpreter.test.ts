import { describe, expect, it } from 'vitest';
import { seededRandom } from '../../src/lib/core/numbers.js';
import type { Graph } from '../../src/lib/formats/tflite/graph.js';
import { readTflite } from '../../src/lib/formats/tflite/read.js';
import { refusalOfMicro } from '../../src/lib/model/inspect/costs.js';
import { arenaBytes, planArena } from '../../src/lib/runtime/arena.js';
import { createInterpreter } from '../../src/lib/runtime/interpreter/interpreter.js';
import { floatView } from '../../src/lib/runtime/litert.js';
import { FloatNetwork } from '../support/float-network.js';
import { GraphBuilder } from '../support/graph-builder.js';
import { mixedTypeGraphs } from '../support/mixed-type-graphs.js';
import { motorFile, motorRows } from '../support/motor-files.js';
import { cnn, mlp } from '../support/networks.js';

describe('models from TensorFlow’s converter', () => {
  it.each([
    ['f32', 1e-6],
    // float16 weights are compared with LiteRT's outputs for the float32 model.
    ['f16', 1e-3],
  ])('%s matches LiteRT’s probabilities', (name, tolerance) => {
    const interpreter = createInterpreter(readTflite(motorFile(`${name}.tflite`)));
    for (const { x, y } of motorRows('f32.litert.pred.csv'))
      expect(Math.abs(interpreter.invoke(x)[0]! - y)).toBeLessThan(tolerance);
  });

  it('int8 stays within six steps of LiteRT’s floating-point rounding, and mostly matches exactly', () => {
    const interpreter = createInterpreter(readTflite(motorFile('int8.tflite')));
    const { scale, zeroPoint } = interpreter.inputTensors[0]!.quantization!;
    const rows = motorRows('int8.litert.pred.csv');
    const steps = rows.map(({ x, y }) => {
      const q = Int8Array.from(x, (value) =>
        Math.min(127, Math.max(-128, Math.round(value / scale[0]!) + zeroPoint[0]!)),
      );
      return Math.abs(interpreter.invoke(q)[0]! + 128 - y * 256);
    });
    expect(Math.max(...steps)).toBeLessThanOrEqual(6);
    expect(steps.filter((step) => step === 0).length / rows.length).toBeGreaterThan(0.98);
  });

  it('a dynamic-range model is rejected, naming the operator', () => {
    const reason = 'operator 1 (FULLY_CONNECTED): no support for input 1 of type int8';
    const graph = readTflite(motorFile('dyn.tflite'));
    expect(() => createInterpreter(graph)).toThrow(
      expect.objectContaining({ code: 'AIOT_TFLITE_UNSUPPORTED', message: reason }),
    );
  });
});

describe('an interpreter', () => {
  it('passes the input and every operator’s output to the callback, in order', () => {
    const graph = cnn(seededRandom(1));
    const interpreter = createInterpreter(graph);
    const seen: number[] = [];
    const output = interpreter.invoke(new Int8Array(192), (index, values) => {
      seen.push(index);
      expect(values).toBe(interpreter.tensors[index]);
    });
    expect(seen).toEqual([...graph.inputs, ...graph.operators.map(({ outputs }) => outputs[0])]);
    expect(output).toBe(interpreter.tensors[graph.outputs[0]!]);
  });

  it('produces the same output again after other inputs', () => {
    const interpreter = createInterpreter(cnn(seededRandom(1)));
    const input = Int8Array.from({ length: 192 }, (_, i) => ((i * 31) % 256) - 128);
    const first = interpreter.invoke(input).slice();
    interpreter.invoke(new Int8Array(192).fill(100));
    expect(interpreter.invoke(input)).toEqual(first);
  });

  it('allocates nothing while it runs', () => {
    const interpreter = createInterpreter(mlp(seededRandom(1), [16, 16, 4]));
    const input = new Int8Array(16).fill(3);
    const run = () => {
      for (let i = 0; i < 50_000; i++) interpreter.invoke(input);
    };
    run();
    const before = process.memoryUsage();
    run();
    const after = process.memoryUsage();
    expect(after.arrayBuffers - before.arrayBuffers).toBeLessThan(1e6);
    // One array per inference would be 5 MB; the rest is used by the test runner itself.
    expect(after.heapUsed - before.heapUsed).toBeLessThan(4e6);
  });

  it.each<[string, Int8Array | Float32Array, string]>([
    ['a short input', new Int8Array(3), 'expected 4 values of int8 [1,4], got 3 in Int8Array'],
    [
      'floats instead of bytes',
      new Float32Array(4),
      'expected 4 values of int8 [1,4], got 4 in Float32Array',
    ],
  ])('rejects %s as input', (_name, input, reason) => {
    const interpreter = createInterpreter(mlp(seededRandom(1), [4, 2]));
    expect(() => interpreter.invoke(input)).toThrow(
      expect.objectContaining({ code: 'AIOT_TFLITE_INPUT', message: reason }),
    );
  });

  it('rejects NaN', () => {
    const interpreter = createInterpreter(floatView(mlp(seededRandom(1), [4, 2])));
    expect(() => interpreter.invoke(Float32Array.of(1, 2, Number.NaN, 4))).toThrow(
      expect.objectContaining({
        code: 'AIOT_TFLITE_INPUT',
        message: 'value 2 of the input is NaN, expected a finite number',
      }),
    );
  });

  it.each<[string, (graph: Graph) => void, string]>([
    [
      'an output of the wrong shape',
      (g) => {
        g.tensors[2]!.shape = [1, 7];
      },
      'operator 0 (FULLY_CONNECTED): expected an output of 6 elements, got 7',
    ],
    [
      'a bias of the wrong length',
      (g) => {
        Object.assign(g.tensors[3]!, { shape: [5], data: new Int32Array(5), quantization: undefined });
      },
      'expected a bias of 6 elements, got 5',
    ],
    [
      'weights that do not fit the input',
      (g) => {
        g.tensors[0]!.shape = [1, 5];
      },
      '5 inputs do not divide into rows of 4',
    ],
    [
      'an input that is listed twice',
      (g) => {
        g.inputs.push(0);
      },
      'tensor 0 is listed twice as an input of the model',
    ],
    [
      'no input',
      (g) => {
        g.inputs = [];
      },
      'its input, tensor 0, is not produced by an earlier operator',
    ],
  ])('rejects a model with %s', (_name, change, reason) => {
    const graph = structuredClone(mlp(seededRandom(1), [4, 6, 3]));
    // The tensors of the first layer: input 0, weights 1, output 2, bias 3.
    change(graph);
    expect(() => createInterpreter(graph)).toThrow(
      expect.objectContaining({ message: expect.stringContaining(reason) }),
    );
  });

  it('rejects a softmax that would abort a device’s process', () => {
    const b = new GraphBuilder(seededRandom(1));
    const [x, y] = [b.activation([1, 512]), b.activation([1, 512], 1 / 256, -128)];
    b.op({ op: 'SOFTMAX', inputs: [x], outputs: [y], options: { beta: 1 } });
    expect(() => createInterpreter(b.graph(x, y))).toThrow('a softmax over 512 classes (at most 511)');
  });
});

describe('several inputs and outputs', () => {
  /** Joins its second input, a, and its first, b. */
  const joining = () => {
    const n = new FloatNetwork(seededRandom(3));
    const [a, b] = [n.float([1, 2]), n.float([1, 3])];
    const joined = n.concatenation([a, b], 1);
    return n.graph([b, a], [joined, n.unary(joined, 'RELU')]);
  };

  it('are separate arrays, or consecutive parts of one', () => {
    const interpreter = createInterpreter(joining());
    expect(interpreter.inputTensors.map(({ shape }) => shape)).toEqual([
      [1, 3],
      [1, 2],
    ]);
    const [joined, positive] = interpreter.run([Float32Array.of(1, -2, 3), Float32Array.of(-4, 5)]);
    expect([...joined!]).toEqual([-4, 5, 1, -2, 3]);
    expect([...positive!]).toEqual([0, 5, 1, 0, 3]);
    expect([...interpreter.invoke(Float32Array.of(1, 2, 3, -4, -5))]).toEqual([
      -4, -5, 1, 2, 3, 0, 0, 1, 2, 3,
    ]);
  });

  it('are reported to the caller, inputs first', () => {
    const graph = joining();
    const seen: number[] = [];
    createInterpreter(graph).invoke(new Float32Array(5), (index) => seen.push(index));
    expect(seen).toEqual([...graph.inputs, ...graph.outputs]);
  });

  it('may have different types, but not in one array', () => {
    const graph = joining();
    const [first = -1] = graph.inputs;
    const quantization = { scale: [0.5], zeroPoint: [0], axis: 0 };
    const inner = graph.tensors.push({ ...graph.tensors[first]!, name: 'inner' }) - 1;
    graph.tensors[first] = { ...graph.tensors[first]!, type: 'int8', quantization };
    graph.operators.unshift({ op: 'DEQUANTIZE', inputs: [first], outputs: [inner], options: {} });
    graph.operators[1]!.inputs = graph.operators[1]!.inputs.map((at) => (at === first ? inner : at));
    const interpreter = createInterpreter(graph);
    const [joined] = interpreter.run([Int8Array.of(2, 4, 6), Float32Array.of(7, 8)]);
    expect([...joined!]).toEqual([7, 8, 1, 2, 3]);
    expect(() => interpreter.invoke(new Float32Array(5))).toThrow('one array for inputs of several types');
  });

  it.each<[string, Float32Array[], string]>([
    ['missing', [new Float32Array(3)], 'expected 2 inputs (t1, t0), got 1'],
    [
      'too short',
      [new Float32Array(3), new Float32Array(1)],
      'expected 2 values of float32 [1,2], got 1 in Float32Array',
    ],
  ])('are rejected if one is %s', (_, inputs, message) => {
    const graph = joining();
    graph.tensors.forEach((tensor, index) => {
      tensor.name = `t${index}`;
    });
    expect(() => createInterpreter(graph).run(inputs)).toThrow(
      expect.objectContaining({ code: 'AIOT_TFLITE_INPUT', message }),
    );
  });
});

describe('the precision of scale ratios', () => {
  it('changes results by at most one step', () => {
    const graph = mlp(seededRandom(1), [16, 24, 5]);
    const [double, single] = [
      createInterpreter(graph),
      createInterpreter(graph, { ratioPrecision: 'single' }),
    ];
    const random = seededRandom(2);
    for (let run = 0; run < 200; run++) {
      const input = Int8Array.from({ length: 16 }, () => Math.floor(random() * 256) - 128);
      const want = double.invoke(input);
      for (const [index, value] of single.invoke(input).entries())
        expect(Math.abs(value - want[index]!)).toBeLessThanOrEqual(1);
    }
  });
});

describe('the float view of an int8 model', () => {
  it('quantizes inputs and returns real outputs', () => {
    const graph = mlp(seededRandom(1), [4, 6, 3]);
    const [inner, view] = [createInterpreter(graph), createInterpreter(floatView(graph))];
    const { scale, zeroPoint } = inner.inputTensors[0]!.quantization!;
    const q = Int8Array.of(-100, 3, 55, 127);
    const probabilities = view.invoke(Float32Array.from(q, (value) => (value - zeroPoint[0]!) * scale[0]!));
    expect([...probabilities]).toEqual([...inner.invoke(q)].map((value) => (value + 128) / 256));
  });

  it('leaves a float model unchanged', () => {
    const graph = floatView(mlp(seededRandom(1), [4, 6, 3]));
    expect(floatView(graph)).toEqual(graph);
  });
});

describe('the predicted arena', () => {
  it('closely matches TFLite Micro’s report for an MLP of 8, 24, 16, and 5 neurons', () => {
    // Values reported by its 64-bit runtime: head 48, tail 1,856; an arena of 2,326 bytes works.
    const graph = mlp(seededRandom(1), [8, 24, 16, 5]);
    const last = graph.operators.pop()!;
    graph.tensors.pop();
    const plan = planArena({ ...graph, outputs: [last.inputs[0]!] });
    expect(plan.head).toBe(48);
    expect(Math.abs(plan.tail - 1856)).toBeLessThan(1856 * 0.02);
    expect(Math.abs(plan.smallest - 2326)).toBeLessThan(2326 * 0.05);
  });

  it('is a multiple of 16, contains head and tail, and has a small margin', () => {
    const graph = cnn(seededRandom(1));
    const { head, tail, smallest } = planArena(graph);
    expect(smallest).toBeGreaterThanOrEqual(head + tail);
    expect(arenaBytes(graph) % 16).toBe(0);
    expect(arenaBytes(graph)).toBeGreaterThanOrEqual(smallest * 1.03);
  });

  it('keeps concurrently live allocations apart, and lists their tensors', () => {
    const graph = cnn(seededRandom(1));
    const { head, pieces } = planArena(graph);
    const activations = graph.tensors.flatMap(({ data }, index) => (data === undefined ? [index] : []));
    expect(pieces.flatMap(({ tensor }) => tensor ?? [])).toEqual(activations);
    expect(Math.max(...pieces.map(({ offset, bytes }) => offset + bytes))).toBe(head);
    for (const [index, a] of pieces.entries())
      for (const b of pieces.slice(index + 1)) {
        const together = a.first <= b.last && b.first <= a.last;
        const apart = a.offset + a.bytes <= b.offset || b.offset + b.bytes <= a.offset;
        expect(!together || apart).toBe(true);
      }
  });
});

describe('operators that yield another integer type', () => {
  const softmax = mixedTypeGraphs['SOFTMAX int8 int16']!(seededRandom(3));
  const shares = softmax.operators[0]!.outputs[0]!;
  const changed = (quantization: { scale: number[]; zeroPoint: number[]; axis: number }) => ({
    ...softmax,
    tensors: softmax.tensors.map((tensor, index) =>
      index === shares ? { ...tensor, quantization } : tensor,
    ),
  });

  it('rejects a SOFTMAX to int16 with another scale', () => {
    expect(() => createInterpreter(changed({ scale: [2 ** -15], zeroPoint: [0], axis: 0 }))).toThrow(
      `expected an output of scale ${2 ** -16}, zero point -32768`,
    );
  });

  it('rejects the zero point of its output in operators that do not convert values', () => {
    const { shape, quantization } = softmax.tensors[shares]!;
    const made = softmax.tensors.length;
    const graph: Graph = {
      ...softmax,
      tensors: [...softmax.tensors, { name: 'y', type: 'int16', shape, quantization: quantization! }],
      operators: [softmax.operators[0]!, { op: 'RELU', inputs: [shares], outputs: [made], options: {} }],
      outputs: [made],
    };
    expect(() => createInterpreter(graph)).toThrow('the zero point -32768 of t1 does not fit int16');
  });

  it('divides int8 values at an output scale at which TFLite Micro is undefined', () => {
    const [b, step] = [new GraphBuilder(seededRandom(1)), 0.5];
    const [x, y] = [b.activation([1, 256], 1, -3), b.activation([1, 256], step, 7)];
    const zero = 5;
    const data = Int8Array.from({ length: 256 }, (_, i) => (i === 128 + zero ? 6 : i - 128));
    const quantization = { scale: [1], zeroPoint: [zero], axis: 0 };
    const divisor = b.add({ type: 'int8', shape: [1, 256], data, quantization });
    const options = { activation: 'none' } as const;
    const graph = b.graph(x, b.op({ op: 'DIV', inputs: [x, divisor], outputs: [y], options }));
    expect(refusalOfMicro(graph)).toContain('operator 0 (DIV) are undefined');
    const interpreter = createInterpreter(graph);
    for (const value of [-128, -4, -3, -2, 9, 127]) {
      const quotients = interpreter.invoke(new Int8Array(256).fill(value));
      quotients.forEach((got, i) => {
        const want = (value + 3) / (data[i]! - zero) / step + 7;
        expect(Math.abs(got - Math.min(127, Math.max(-128, want)))).toBeLessThanOrEqual(0.51);
      });
    }
    data[9] = zero;
    expect(() => interpreter.invoke(new Int8Array(256))).toThrow('operator 0 (DIV): a division by 0');
    graph.tensors[y]!.quantization = { scale: [2 ** -24], zeroPoint: [0], axis: 0 };
    expect(refusalOfMicro(graph)).toBeNull();
    expect(() => createInterpreter(graph)).toThrow(`an output scale of ${2 ** -24}`);
  });

  it('rejects a QUANTIZE from int32 to int32, which TFLite Micro lacks', () => {
    const graph = mixedTypeGraphs['QUANTIZE int32 int8']!(seededRandom(3));
    const tensors = graph.tensors.map((tensor) => ({ ...tensor, type: 'int32' as const }));
    expect(() => createInterpreter({ ...graph, tensors })).toThrow(/operator 0 \(QUANTIZE\)/);
  });
});
