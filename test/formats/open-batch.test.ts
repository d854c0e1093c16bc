import { describe, expect, it } from 'vitest';
import { importTflite } from '../../src/lib/formats/tflite/read.js';
import { sliceAxes } from '../../src/lib/formats/tflite/shapes.js';
import { motorFile } from '../support/motor-files.js';
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
