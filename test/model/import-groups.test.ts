import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { gaussian, seededRandom } from '../../src/lib/core/numbers.js';
import { elementCount } from '../../src/lib/formats/tflite/graph.js';
import { readTflite } from '../../src/lib/formats/tflite/read.js';
import { writeTflite } from '../../src/lib/formats/tflite/write.js';
import { readSource } from '../../src/lib/model/import/open.js';
import { simplifyGraph } from '../../src/lib/model/network/simplify.js';
import { trainableOf } from '../../src/lib/model/quantize/finetune.js';
import { quantizeGraph } from '../../src/lib/model/quantize/graph/quantize-graph.js';
import { createInterpreter } from '../../src/lib/runtime/interpreter/interpreter.js';
import { floatView } from '../../src/lib/runtime/litert.js';

const folder = mkdtempSync(join(tmpdir(), 'aiot-groups-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

type Tf = typeof import('@tensorflow/tfjs-core');
let tf: Tf;
beforeAll(async () => {
  const { loadTfjs } = await import('../../src/lib/model/engine/tfjs/load.js');
  ({ tf } = await loadTfjs('cpu'));
});

interface Settings {
  filters: number;
  kernel_size: number[];
  groups: number;
  strides?: number[];
  dilation_rate?: number[];
  padding?: 'same' | 'valid';
}

/**
 * Writes a model.json with one grouped layer in the format of Keras's converter: the kernel is [… window, in ÷
 * groups, out].
 */
function save(name: string, input: number[], settings: Settings, kernelShape: number[]) {
  const at = join(folder, name.replaceAll(' ', '-'));
  mkdirSync(at, { recursive: true });
  const random = seededRandom(settings.filters);
  const kernel = Float32Array.from({ length: elementCount(kernelShape) }, () => gaussian(random));
  const bias = Float32Array.from({ length: settings.filters }, () => gaussian(random));
  writeFileSync(join(at, 'a.bin'), Buffer.concat([Buffer.from(kernel.buffer), Buffer.from(bias.buffer)]));
  const config = { name: 'grouped', batch_input_shape: [null, ...input], use_bias: true, ...settings };
  const layers = [{ class_name: input.length === 2 ? 'Conv1D' : 'Conv2D', config }];
  const weights = [
    { name: 'grouped/kernel', shape: kernelShape, dtype: 'float32' },
    { name: 'grouped/bias', shape: [settings.filters], dtype: 'float32' },
  ];
  const json = {
    format: 'layers-model',
    modelTopology: { class_name: 'Sequential', config: { name: 'one', layers } },
    weightsManifest: [{ paths: ['a.bin'], weights }],
  };
  writeFileSync(join(at, 'model.json'), JSON.stringify(json));
  return { at, kernel, bias };
}

const pair = (values: number[] | undefined): [number, number] =>
  values === undefined ? [1, 1] : values.length === 1 ? [1, values[0]!] : [values[0]!, values[1]!];

/** Convolves the channels of each group with TensorFlow.js, and concatenates the results. */
function expected(
  x: Float32Array,
  input: number[],
  settings: Settings,
  kernel: Float32Array,
  bias: Float32Array,
) {
  const { filters, groups, kernel_size, strides, dilation_rate, padding = 'valid' } = settings;
  const image = input.length === 2 ? [1, 1, ...input] : [1, ...input];
  const [own, made] = [image[3]! / groups, filters / groups];
  const [whole, weights] = [
    tf.tensor4d(x, image as [number, number, number, number]),
    tf.tensor4d(kernel, [...pair(kernel_size), own, filters]),
  ];
  const parts = Array.from({ length: groups }, (_, g) =>
    tf.conv2d(
      tf.slice(whole, [0, 0, 0, g * own], [-1, -1, -1, own]),
      tf.slice(weights, [0, 0, 0, g * made], [-1, -1, -1, made]) as typeof weights,
      pair(strides),
      padding,
      'NHWC',
      pair(dilation_rate),
    ),
  );
  return Float32Array.from(tf.add(tf.concat(parts, 3), tf.tensor1d(bias)).dataSync());
}

const cases: [name: string, input: number[], settings: Settings, kernel: number[]][] = [
  ['Conv1D in two groups', [12, 4], { filters: 6, kernel_size: [3], groups: 2, padding: 'same' }, [3, 2, 6]],
  [
    'Conv1D of one channel a group',
    [9, 3],
    { filters: 6, kernel_size: [2], groups: 3, strides: [2] },
    [2, 1, 6],
  ],
  ['Conv2D in two groups', [7, 6, 4], { filters: 4, kernel_size: [3, 2], groups: 2 }, [3, 2, 2, 4]],
  [
    'Conv2D in four groups, dilated',
    [8, 8, 8],
    { filters: 12, kernel_size: [2, 2], groups: 4, dilation_rate: [2, 2], padding: 'same' },
    [2, 2, 2, 12],
  ],
];

describe('importing a grouped convolution', () => {
  it.each(cases)('%s matches the groups computed separately', async (name, input, settings, kernelShape) => {
    const { at, kernel, bias } = save(name, input, settings, kernelShape);
    const simple = simplifyGraph((await readSource(at)).graph);
    const random = seededRandom(3);
    const draw = () => Float32Array.from({ length: elementCount(input) }, () => gaussian(random));
    const interpreter = createInterpreter(readTflite(writeTflite(simple)));
    const x = draw();
    const wanted = expected(x, input, settings, kernel, bias);
    const got = interpreter.invoke(x);
    expect(got).toHaveLength(wanted.length);
    wanted.forEach((value, i) => {
      expect(got[i]).toBeCloseTo(value, 4);
    });
    const rows = Array.from({ length: 60 }, draw);
    const int8 = quantizeGraph(simple, rows, { mode: 'int8', calibration: 'min-max' }).graph;
    const quantized = createInterpreter(floatView(readTflite(writeTflite(int8)))).invoke(x);
    const size = Math.sqrt(wanted.reduce((sum, value) => sum + value ** 2, 0));
    const error = Math.sqrt(wanted.reduce((sum, value, i) => sum + (value - quantized[i]!) ** 2, 0));
    expect(error / size).toBeLessThan(0.05);
  });

  it.each<[string, Partial<Settings>, number[], RegExp]>([
    [
      'groups that do not divide the channels',
      { groups: 3 },
      [3, 2, 6],
      /groups is 3, but there are 4 channels and 6 filters/,
    ],
    [
      'groups that do not divide the filters',
      { groups: 4 },
      [3, 1, 6],
      /groups is 4, but there are 4 channels and 6 filters/,
    ],
    ['no groups', { groups: 0 }, [3, 2, 6], /groups is 0, but there are 4 channels and 6 filters/],
    [
      'weights for a different number of groups',
      { groups: 2 },
      [3, 4, 6],
      /3 over 2 channels, but its weights are \[3, 4, 6\]/,
    ],
  ])('rejects %s', async (name, changes, kernelShape, message) => {
    const settings = { filters: 6, kernel_size: [3], groups: 2, ...changes };
    const { at } = save(name, [12, 4], settings, kernelShape);
    await expect(readSource(at)).rejects.toMatchObject({
      code: 'AIOT_FILE_MALFORMED',
      message: expect.stringMatching(message),
    });
  });

  it('produces a model that training rejects because it has no gradient', async () => {
    const [name, input, settings, kernelShape] = cases[2]!;
    const { graph } = await readSource(save(`${name} to train`, input, settings, kernelShape).at);
    expect(() => trainableOf(graph)).toThrow(/a grouped convolution \(4 channels, 2 per group\)/);
  });
});
