import { describe, expect, it } from 'vitest';
import { seededRandom } from '../../src/lib/core/numbers.js';
import type { Graph } from '../../src/lib/formats/tflite/graph.js';
import { importTflite } from '../../src/lib/formats/tflite/read.js';
import { sliceAxes } from '../../src/lib/formats/tflite/shapes.js';
import { writeTflite } from '../../src/lib/formats/tflite/write.js';
import { createInterpreter } from '../../src/lib/runtime/interpreter/interpreter.js';
import { motorFile } from '../support/motor-files.js';
import { oneOpGraphs } from '../support/one-op-graphs.js';
import { openBatchFile } from '../support/open-batch.js';

describe('a file with a dynamic batch size', () => {
  it('is read with a fixed batch and folded shape arithmetic, and reports the folding', () => {
    const { graph, notes } = importTflite(openBatchFile());
    expect(notes).toEqual(['3 operators that only computed shapes became constants']);
    expect(graph.operators.map(({ op }) => op)).toEqual(['RESHAPE', 'RELU']);
    expect(graph.tensors[graph.operators[0]!.inputs[1]!]!.data).toEqual(Int32Array.of(1, 24));
    expect(graph.tensors).toHaveLength(4);
  });

  describe('from TensorFlow’s converter', () => {
    it('reports the input and its fixed batch', () => {
      expect(importTflite(motorFile('f32.tflite')).notes).toEqual([
        'input serving_default_input_layer:0 has the dynamic shape [-1,4]: its batch is fixed to 1',
      ]);
    });
  });
});

describe('a transposed convolution whose output shape is an input', () => {
  const constant = oneOpGraphs.TRANSPOSE_CONV!(seededRandom(4));
  const size = constant.operators[0]!.inputs[0]!;
  const changed = (change: (graph: Graph) => Graph): Graph => {
    const tensors = constant.tensors.map((tensor, index) => {
      const { data, ...rest } = tensor;
      return index === size ? rest : tensor;
    });
    return change({ ...constant, tensors, inputs: [size, ...constant.inputs] });
  };

  it('is read with the shape of the output, without this input', () => {
    const { graph, notes } = importTflite(writeTflite(changed((given) => given)));
    const [x] = graph.inputs;
    expect(graph.inputs).toHaveLength(1);
    expect(notes).toEqual([
      `t${size} is no longer an input: it only sets the output shape of a TRANSPOSE_CONV, which the file fixes`,
    ]);
    const input = new Int8Array(graph.tensors[x!]!.shape.reduce((count, each) => count * each, 1)).fill(7);
    expect(createInterpreter(graph).invoke(input)).toEqual(createInterpreter(constant).invoke(input));
  });

  const ints = (name: string, ...values: number[]): Graph['tensors'][number] => ({
    ...{ name, type: 'int32', shape: [values.length] },
    ...(values.length > 0 ? { data: Int32Array.from(values) } : {}),
  });
  /** The shape is computed from a new input by these operators, which get the input, a constant of ones and the result. */
  const computed = (chain: (x: number, ones: number, y: number, more: number) => Graph['operators']) =>
    changed((given) => {
      const x = given.tensors.length;
      const computing = { ...ints('count'), shape: [4] };
      const tensors = [
        ...given.tensors,
        { ...computing, name: 'asked' },
        ints('ones', 1, 1, 1, 1),
        { ...computing, name: 'more' },
      ];
      const operators = [...chain(x, x + 1, size, x + 2), ...given.operators];
      return { ...given, tensors, operators, inputs: [x, ...given.inputs.filter((each) => each !== size)] };
    });
  const plain = { activation: 'none' } as const;

  it.each<[string, number, Graph]>([
    [
      'arithmetic',
      2,
      computed((x, ones, y, more) => [
        { op: 'ADD', inputs: [x, ones], outputs: [more], options: plain },
        { op: 'MUL', inputs: [more, ones], outputs: [y], options: plain },
      ]),
    ],
    [
      'an operator that does not run on int32',
      1,
      computed((x, ones, y) => [{ op: 'FLOOR_MOD', inputs: [x, ones], outputs: [y], options: {} }]),
    ],
  ])('is read without the operators and the input of a shape computed by %s', (_name, count, file) => {
    const { graph, notes } = importTflite(writeTflite(file));
    expect(graph.operators.map(({ op }) => op)).toEqual(['TRANSPOSE_CONV']);
    expect(graph.inputs.map((index) => graph.tensors[index]!.type)).toEqual(['int8']);
    expect(graph.tensors.map(({ name }) => name)).not.toContain('asked');
    expect(notes).toEqual([
      'asked is no longer an input: it only sets the output shape of a TRANSPOSE_CONV, which the file fixes',
      count === 1
        ? '1 operator that only computed the output shape of a TRANSPOSE_CONV is removed'
        : `${count} operators that only computed the output shape of a TRANSPOSE_CONV are removed`,
    ]);
    const elements = graph.tensors[graph.inputs[0]!]!.shape.reduce((all, each) => all * each, 1);
    const input = new Int8Array(elements).fill(7);
    expect(createInterpreter(graph).invoke(input)).toEqual(createInterpreter(constant).invoke(input));
  });

  it('keeps operators of the shape whose results are also an output', () => {
    const file = computed((x, ones, y, more) => [
      { op: 'ADD', inputs: [x, ones], outputs: [more], options: plain },
      { op: 'MUL', inputs: [more, ones], outputs: [y], options: plain },
    ]);
    const more = file.tensors.length - 1;
    const { graph } = importTflite(writeTflite({ ...file, outputs: [...file.outputs, more] }));
    expect(graph.operators.map(({ op }) => op)).toEqual(['ADD', 'TRANSPOSE_CONV']);
    expect(graph.inputs).toHaveLength(2);
    const mod = computed((x, ones, y) => [{ op: 'FLOOR_MOD', inputs: [x, ones], outputs: [y], options: {} }]);
    const asked = writeTflite({ ...mod, outputs: [...mod.outputs, size] });
    expect(() => importTflite(asked)).toThrow(/operator 0: FLOOR_MOD is not supported/);
  });

  it('keeps the input if another operator reads it', () => {
    const graph = changed((given) => {
      const twin = given.tensors.length;
      const tensors = [...given.tensors, { ...given.tensors[size]!, name: 'twin' }];
      const operators: Graph['operators'] = [
        ...given.operators,
        { op: 'RESHAPE', inputs: [size], outputs: [twin], options: { newShape: [4] } },
      ];
      return { ...given, tensors, operators, outputs: [...given.outputs, twin] };
    });
    const read = importTflite(writeTflite(graph));
    expect(read.graph.inputs).toHaveLength(2);
    expect(read.notes).toEqual([]);
  });

  it('is rejected if the shape of the output does not follow from the input', () => {
    const wrong = changed((given) => {
      const tensors = given.tensors.map((tensor, index) =>
        index === given.outputs[0] ? { ...tensor, shape: tensor.shape.map((each) => each + 40) } : tensor,
      );
      return { ...given, tensors };
    });
    expect(() => createInterpreter(importTflite(writeTflite(wrong)).graph)).toThrow(
      /operator 0 \(TRANSPOSE_CONV\)/,
    );
  });
});

describe('a slice', () => {
  const masks = { beginMask: 0, endMask: 0, shrinkAxisMask: 0 };
  // Equivalent to slicing range(10) in Python.
  it.each<[string, number[], object, number[]]>([
    ['[2:7:2]', [2, 7, 2], {}, [2, 4, 6]],
    ['[-3:]', [-3, 0, 1], { endMask: 1 }, [7, 8, 9]],
    ['[:-8]', [0, -8, 1], { beginMask: 1 }, [0, 1]],
    ['[::-4]', [0, 0, -4], { beginMask: 1, endMask: 1 }, [9, 5, 1]],
    ['[5:1:-2]', [5, 1, -2], {}, [5, 3]],
    ['[4:99]', [4, 99, 1], {}, [4, 5, 6, 7, 8, 9]],
    ['[7:3]', [7, 3, 1], {}, []],
    ['[-2]', [-2, 0, 1], { shrinkAxisMask: 1 }, [8]],
  ])('%s matches Python', (_name, [begin, end, step], change, expected) => {
    const [axis] = sliceAxes([10], [[begin!], [end!], [step!]], { ...masks, ...change })!;
    expect(Array.from({ length: axis!.count }, (_, i) => axis!.first + i * axis!.step)).toEqual(expected);
  });

  it('is undefined with a stride of zero or a missing element', () => {
    expect(sliceAxes([3], [[0], [1], [0]], masks)).toBeUndefined();
    expect(sliceAxes([3], [[3], [4], [1]], { ...masks, shrinkAxisMask: 1 })).toBeUndefined();
  });
});
