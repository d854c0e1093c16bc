import { mkdirSync, mkdtempSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { seededRandom } from '../../src/lib/core/numbers.js';
import { checkGraph } from '../../src/lib/formats/tflite/check.js';
import type { Graph } from '../../src/lib/formats/tflite/graph.js';
import { importTflite, readTflite } from '../../src/lib/formats/tflite/read.js';
import { writeTflite } from '../../src/lib/formats/tflite/write.js';
import { readOnnx } from '../../src/lib/model/import/onnx/read.js';
import { simplifyGraph } from '../../src/lib/model/network/simplify.js';
import { createInterpreter } from '../../src/lib/runtime/interpreter/interpreter.js';
import { floatOpGraphs } from '../../test/support/float-op-graphs.js';
import { oneOpGraphs } from '../../test/support/one-op-graphs.js';
import {
  externalTensor,
  graphMessage,
  type OnnxNodeText,
  type OnnxText,
  onnxFile,
  onnxFunctions,
} from '../../test/support/onnx-file.js';
import { mendedOnnx } from '../mend.js';
import type { Seed, Target } from '../types.js';

// The targets read, simplify and write networks as `aiot model import` does. An input may take 2 s and 300 MiB, including the 64 MiB
// that the process itself needs.
const limits = { timeMs: 2000, memoryMiB: 236, peakMiB: 236, longest: 16_384 };

/** A model for each operator of the runtime and each tensor type. */
function everyOperator(): Seed[] {
  const random = seededRandom(5);
  const graphs: Graph[] = [];
  for (const make of Object.values(oneOpGraphs))
    for (const type of ['int8', 'int16'] as const) graphs.push(make(random, type));
  for (const make of Object.values(floatOpGraphs)) graphs.push(make(random));
  return graphs.map((graph) => writeTflite(graph)).filter(({ length }) => length <= limits.longest);
}

const node = (
  op: string,
  inputs: string,
  outputs: string,
  attributes: OnnxNodeText['attributes'] = {},
): OnnxNodeText => ({ op, inputs: inputs.split(' '), outputs: outputs.split(' '), attributes });

const floats = (...shape: number[]) => {
  const count = shape.reduce((a, b) => a * b, 1);
  return { shape, values: Array.from({ length: count }, (_, k) => ((k * 7) % 11) / 8 - 0.5) };
};
const whole = (...values: number[]) => ({ shape: [values.length], values, type: 'int64' as const });
const small = (...values: number[]) => ({ shape: [values.length], values, type: 'int8' as const });

/** The body of a Loop, which collects a row in each step. */
function repeated(): Uint8Array {
  return graphMessage({
    inputs: { i: [], go: [], h: [1, 2] },
    outputs: ['more', 'next', 'row'],
    nodes: [
      node('Less', 'i last', 'more'),
      node('Erf', 'h', 'next'),
      node('Gather', 'next zero', 'row', { axis: 0 }),
    ],
    constants: {
      last: { shape: [], values: [9], type: 'int64' },
      zero: { shape: [], values: [0], type: 'int64' },
    },
  });
}

/** Models with the operators that exporters write, and models that abuse the format. */
function onnxModels(): OnnxText[] {
  const image = { x: [1, 2, 5, 5] };
  const branch = (factor: string) =>
    graphMessage({ inputs: {}, outputs: ['z'], nodes: [node('Mul', `x ${factor}`, 'z')] });
  const chain = (op: string, inputs: string, count: number): OnnxNodeText[] =>
    Array.from({ length: count }, (_, k) =>
      node(op, `${k === 0 ? 'x' : `t${k - 1}`}${inputs}`, k === count - 1 ? 'y' : `t${k}`),
    );
  return [
    {
      inputs: image,
      outputs: ['y'],
      nodes: [
        node('Conv', 'x w b', 'c', { pads: [1, 1, 1, 1], kernel_shape: [3, 3], strides: [2, 2] }),
        node('BatchNormalization', 'c s s s v', 'n'),
        node('Relu', 'n', 'r'),
        node('MaxPool', 'r', 'p', { kernel_shape: [2, 2], pads: [1, 0, 1, 0] }),
        node('AveragePool', 'p', 'a', { kernel_shape: [2, 2], auto_pad: 'SAME_UPPER', count_include_pad: 1 }),
        node('GlobalAveragePool', 'a', 'g'),
        node('Flatten', 'g', 'f'),
        node('Gemm', 'f dense', 'd', { transB: 1 }),
        node('Softmax', 'd', 'y'),
      ],
      constants: {
        ...{ w: floats(4, 2, 3, 3), b: floats(4), s: floats(4), dense: floats(3, 4) },
        v: { shape: [4], values: [1, 2, 3, 4] },
      },
    },
    {
      inputs: { x: ['batch', 4, 6] },
      outputs: ['y'],
      nodes: [
        node('Shape', 'x', 's'),
        node('Gather', 's zero', 'n'),
        node('Concat', 'n rest', 'target', { axis: 0 }),
        node('Reshape', 'x target', 'flat'),
        node('Unsqueeze', 'flat zero', 'u'),
        node('Transpose', 'u', 't', { perm: [0, 2, 1] }),
        node('Pad', 't pads', 'p', { mode: 'edge' }),
        node('Slice', 'p first last axes', 'c'),
        node('Tile', 'c times', 'm'),
        node('Split', 'm', 'left right', { axis: 1 }),
        node('Expand', 'left wide', 'e'),
        node('ReduceMean', 'e', 'y', { axes: [-1], keepdims: 0 }),
      ],
      constants: {
        ...{ zero: whole(0), rest: whole(-1), pads: whole(0, 1, 0, 0, 1, 0), times: whole(1, 2, 1) },
        ...{ first: whole(1), last: whole(-1), axes: whole(1), wide: whole(2, 1, 1) },
      },
    },
    {
      inputs: { x: [3, 1, 4] },
      outputs: ['y'],
      nodes: [node('GRU', 'x w r', 'all last', { hidden_size: 2 }), node('Squeeze', 'last zero', 'y')],
      constants: { w: floats(1, 6, 4), r: floats(1, 6, 2), zero: whole(0) },
    },
    {
      inputs: { x: [3, 1, 4] },
      outputs: ['y'],
      nodes: [node('LSTM', 'x w r', 'y', { hidden_size: 2, direction: 'reverse' })],
      constants: { w: floats(1, 8, 4), r: floats(1, 8, 2) },
    },
    {
      inputs: image,
      outputs: ['y'],
      nodes: [
        node('Resize', 'x  scales', 'r', { mode: 'linear', coordinate_transformation_mode: 'half_pixel' }),
        node('ConvTranspose', 'r w', 'c', { strides: [2, 2], kernel_shape: [2, 2] }),
        node('DepthToSpace', 'c', 'd', { blocksize: 2 }),
        node('InstanceNormalization', 'd one one', 'y'),
      ],
      constants: { scales: { shape: [4], values: [1, 1, 2, 1.5] }, w: floats(2, 4, 2, 2), one: floats(1) },
    },
    {
      inputs: { x: [1, 3] },
      outputs: ['y'],
      nodes: [
        node('QuantizeLinear', 'x s z', 'q'),
        node('DequantizeLinear', 'q s z', 'd'),
        node('DequantizeLinear', 'w ws', 'k', { axis: 1 }),
        node('MatMul', 'd k', 'm'),
        node('LayerNormalization', 'm g', 'l'),
        node('Clip', 'l low high', 'y'),
      ],
      constants: {
        ...{ s: { shape: [], values: [0.1] }, z: { shape: [], values: [3], type: 'int8' } },
        ...{ w: { ...small(1, 2, 3, 4, 5, 6), shape: [3, 2] }, ws: floats(2), g: floats(2) },
        ...{ low: { shape: [], values: [0] }, high: { shape: [], values: [6] } },
      },
    },
    {
      inputs: { x: [1, 2] },
      outputs: ['y'],
      nodes: [
        node('Equal', 'one two', 'is'),
        {
          ...node('If', 'is', 'y'),
          attributes: { then_branch: { graph: branch('f') }, else_branch: { graph: branch('g') } },
        },
      ],
      constants: { one: whole(1), two: whole(2), f: floats(1), g: floats(2) },
    },
    {
      inputs: { x: [1, 2] },
      outputs: ['y'],
      nodes: [
        node('Gelu', 'x', 'g'),
        {
          op: 'Loop',
          inputs: ['steps', '', 'g'],
          outputs: ['z', 'all'],
          attributes: { body: { graph: repeated() } },
        },
        node('Concat', 'z all', 'y', { axis: 0 }),
      ],
      constants: { steps: { shape: [], values: [3], type: 'int64' } },
      opset: 20,
    },
    {
      inputs: { x: [1, 2] },
      outputs: ['y'],
      nodes: [node('Mul', 'x inside', 'a'), node('Add', 'a near', 'y')],
      tensors: [
        externalTensor('inside', [2], { location: 'weights.bin', offset: '4', length: '8' }),
        externalTensor('near', [2], { location: 'sub/weights.bin' }),
      ],
    },
    // Files outside the folder, referenced by each kind of path.
    ...['../secret.bin', 'link.bin', 'sub/../../secret.bin', 'folder/secret.bin', '/dev/zero'].map(
      (location): OnnxText => ({
        inputs: { x: [1, 2] },
        outputs: ['y'],
        nodes: [node('Mul', 'x w', 'y')],
        tensors: [externalTensor('w', [2], { location })],
      }),
    ),
    { inputs: { x: [1, 2] }, outputs: ['y'], nodes: [node('Add', 'x y', 't'), node('Relu', 't', 'y')] },
    { inputs: { x: [1, 8] }, outputs: ['y'], nodes: chain('Mul', ' f', 200), constants: { f: floats(8) } },
    { inputs: { x: [1, 8] }, outputs: ['y'], nodes: chain('Add', ' x', 200) },
    { inputs: { x: [1, 65_536, 16] }, outputs: ['y'], nodes: [node('ReduceMax', 'x', 'y', { axes: [-2] })] },
  ];
}

/** Value in the file outside the model's folder; must not appear in any imported model. */
const secret = 5.031_25;

let folder: string | undefined;

/** Returns the path for a model, in a folder with data files and links; another file is outside the folder. */
function modelPath(): string {
  if (folder === undefined) {
    const outer = mkdtempSync(join(tmpdir(), 'aiot-fuzz-onnx-'));
    folder = join(outer, 'model');
    mkdirSync(join(folder, 'sub'), { recursive: true });
    const data = (value: number) => Float32Array.of(value, value, value, value);
    for (const place of ['weights.bin', 'sub/weights.bin']) writeFileSync(join(folder, place), data(1.5));
    writeFileSync(join(outer, 'secret.bin'), data(secret));
    symlinkSync(join(outer, 'secret.bin'), join(folder, 'link.bin'));
    symlinkSync(outer, join(folder, 'folder'));
  }
  return join(folder, 'model.onnx');
}

async function importOnnx(input: Buffer): Promise<Uint8Array> {
  const { graph } = await readOnnx(modelPath(), input, { shapes: new Map(), values: new Map() });
  if (graph.tensors.some(({ data }) => data?.includes(secret as never)))
    throw new TypeError('a file outside the folder was read');
  return writeTflite(simplifyGraph(graph));
}

/** Targets that read networks made by other programs. */
export const networkTargets: readonly Target[] = [
  {
    name: 'model/onnx',
    seeds: () => [...onnxModels().map((model) => onnxFile(model)), onnxFunctions(12, 4)],
    run: importOnnx,
    mend: mendedOnnx,
    words: [
      'weights.bin',
      'link.bin',
      'folder/secret.bin',
      'location',
      'axes',
      'perm',
      'pads',
      'mode',
      'cubic',
    ],
    ...limits,
  },
  {
    name: 'model/tflite',
    seeds: everyOperator,
    run: (input) => {
      const graph = readTflite(input);
      checkGraph(graph);
      createInterpreter(graph);
    },
    words: ['TFL3'],
    ...limits,
  },
  {
    name: 'model/tflite-import',
    seeds: everyOperator,
    run: (input) => writeTflite(simplifyGraph(importTflite(input).graph)),
    words: ['TFL3'],
    ...limits,
  },
];
