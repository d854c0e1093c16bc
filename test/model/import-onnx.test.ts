import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { seededRandom } from '../../src/lib/core/numbers.js';
import { readTflite } from '../../src/lib/formats/tflite/read.js';
import { writeTflite } from '../../src/lib/formats/tflite/write.js';
import type { OnnxOptions } from '../../src/lib/model/import/onnx/to-graph.js';
import { readSource } from '../../src/lib/model/import/open.js';
import { simplifyGraph } from '../../src/lib/model/network/simplify.js';
import { createInterpreter } from '../../src/lib/runtime/interpreter/interpreter.js';
import { runCli } from '../support/cli.js';
import {
  bytesField,
  externalTensor,
  graphMessage,
  integerField,
  joinBytes,
  nodeMessage,
  type OnnxNodeText,
  type OnnxText,
  onnxFile,
  onnxFunctions,
  tensorMessage,
} from '../support/onnx-file.js';

const folder = mkdtempSync(join(tmpdir(), 'aiot-onnx-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let files = 0;
function save(model: OnnxText | Uint8Array): string {
  const path = join(folder, `m${++files}.onnx`);
  writeFileSync(path, model instanceof Uint8Array ? model : onnxFile(model));
  return path;
}

const asStated: OnnxOptions = { shapes: new Map(), values: new Map() };

async function imported(model: OnnxText | Uint8Array, options: Partial<OnnxOptions> = {}) {
  const found = await readSource(save(model), { ...asStated, ...options });
  return { ...found, graph: simplifyGraph(found.graph) };
}

async function outputs(
  model: OnnxText,
  input: number[],
  options: Partial<OnnxOptions> = {},
): Promise<number[]> {
  const { graph } = await imported(model, options);
  return [...createInterpreter(graph).invoke(Float32Array.from(input))];
}

const node = (
  op: string,
  inputs: string,
  outputs: string,
  attributes: OnnxNodeText['attributes'] = {},
): OnnxNodeText => ({
  op,
  inputs: inputs.split(' '),
  outputs: outputs.split(' '),
  attributes,
});

/** Two channels of 3 × 3, a convolution to 2 channels, and a dense layer that reads channels first. */
function smallCnn(): OnnxText {
  const random = seededRandom(7);
  const values = (count: number) => Array.from({ length: count }, () => random() - 0.5);
  return {
    inputs: { x: ['N', 2, 3, 3] },
    outputs: ['y'],
    nodes: [
      node('Conv', 'x w b', 'c', { pads: [1, 1, 1, 1], kernel_shape: [3, 3] }),
      node('BatchNormalization', 'c scale shift mean variance', 'n'),
      node('Relu', 'n', 'r'),
      node('Flatten', 'r', 'f'),
      node('Gemm', 'f dense bias', 'y', { transB: 1 }),
    ],
    constants: {
      w: { shape: [2, 2, 3, 3], values: values(36) },
      b: { shape: [2], values: values(2) },
      scale: { shape: [2], values: [1.5, 0.5] },
      shift: { shape: [2], values: [0.1, -0.1] },
      mean: { shape: [2], values: [0.2, 0.3] },
      variance: { shape: [2], values: [1, 4] },
      dense: { shape: [3, 18], values: values(54) },
      bias: { shape: [3], values: values(3) },
    },
  };
}

/** The same network, calculated from its definition. */
function smallCnnByHand(
  { constants }: OnnxText,
  x: (c: number, row: number, column: number) => number,
): number[] {
  const at = (name: string) => constants![name]!.values;
  const hidden: number[] = [];
  for (let out = 0; out < 2; out++) {
    for (let row = 0; row < 3; row++) {
      for (let column = 0; column < 3; column++) {
        let sum = at('b')[out]!;
        for (let c = 0; c < 2; c++) {
          for (let i = 0; i < 9; i++) {
            const [y, z] = [row + Math.floor(i / 3) - 1, column + (i % 3) - 1];
            if (y >= 0 && y < 3 && z >= 0 && z < 3) sum += x(c, y, z) * at('w')[(out * 2 + c) * 9 + i]!;
          }
        }
        const normal = (sum - at('mean')[out]!) / Math.sqrt(at('variance')[out]! + 1e-5);
        hidden.push(Math.max(0, normal * at('scale')[out]! + at('shift')[out]!));
      }
    }
  }
  return [0, 1, 2].map((unit) =>
    hidden.reduce((sum, value, k) => sum + value * at('dense')[unit * 18 + k]!, at('bias')[unit]!),
  );
}

const relu: OnnxText = { inputs: { x: [1, 4] }, outputs: ['y'], nodes: [node('Relu', 'x', 'y')] };

describe('importing an ONNX file', () => {
  it('stores images channels last without moving elements, and reorders the weights after a Flatten', async () => {
    const model = smallCnn();
    const { graph, format, writer, axes, notes } = await imported(model);
    expect([format, writer]).toEqual(['onnx', 'test']);
    expect(graph.operators.map(({ op }) => op)).toEqual(['CONV_2D', 'FULLY_CONNECTED']);
    expect(graph.tensors[graph.inputs[0]!]!.shape).toEqual([1, 3, 3, 2]);
    expect(axes).toEqual({ inputs: [[0, 2, 3, 1]], outputs: [undefined] });
    expect(notes).toEqual(['The input x has its channels last: its axes are 0, 2, 3, 1 of the original.']);
    const input = Float32Array.from({ length: 18 }, (_, i) => Math.sin(i));
    const expected = smallCnnByHand(model, (c, row, column) => input[(row * 3 + column) * 2 + c]!);
    createInterpreter(graph)
      .invoke(input)
      .forEach((value, i) => {
        expect(value).toBeCloseTo(expected[i]!, 5);
      });
  });

  it('computes shapes that exporters write as nodes', async () => {
    const model: OnnxText = {
      inputs: { x: ['batch', 2, 3] },
      outputs: ['y'],
      nodes: [
        node('Shape', 'x', 's'),
        node('Gather', 's zero', 'n'),
        node('Unsqueeze', 'n front', 'n1'),
        node('Concat', 'n1 rest', 'target', { axis: 0 }),
        node('Reshape', 'x target', 'flat'),
        node('Mul', 'flat two', 'y'),
      ],
      constants: {
        zero: { shape: [], values: [0], type: 'int64' },
        front: { shape: [1], values: [0], type: 'int64' },
        rest: { shape: [1], values: [-1], type: 'int64' },
        two: { shape: [], values: [2] },
      },
    };
    const { folded, graph } = await imported(model);
    expect(folded).toBe(4);
    expect(graph.tensors[graph.outputs[0]!]!.shape).toEqual([1, 6]);
    expect(await outputs(model, [1, 2, 3, 4, 5, 6])).toEqual([2, 4, 6, 8, 10, 12]);
  });

  it('imports the branch of an If if its condition is known', async () => {
    const branch = (factor: string) =>
      graphMessage({ inputs: {}, outputs: ['z'], nodes: [node('Mul', `x ${factor}`, 'z')] });
    const model: OnnxText = {
      inputs: { x: [1, 2], rate: [] },
      outputs: ['y'],
      nodes: [
        node('Equal', 'rate fast', 'is'),
        {
          ...node('If', 'is', 'y'),
          attributes: { then_branch: { graph: branch('two') }, else_branch: { graph: branch('three') } },
        },
      ],
      constants: {
        fast: { shape: [], values: [16_000] },
        two: { shape: [1], values: [2] },
        three: { shape: [1], values: [3] },
      },
    };
    expect(await outputs(model, [1, 2], { values: new Map([['rate', 16_000]]) })).toEqual([2, 4]);
    expect(await outputs(model, [1, 2], { values: new Map([['rate', 8000]]) })).toEqual([3, 6]);
    await expect(imported(model)).rejects.toThrow(
      'node 1 (If): its condition depends on the input rate; set it with --input rate=VALUE',
    );
    const byData: OnnxText = {
      ...model,
      nodes: [node('ReduceMax', 'x', 'most'), node('Equal', 'most fast', 'is'), ...model.nodes.slice(1)],
    };
    await expect(imported(byData)).rejects.toThrow(
      'node 2 (If): its condition is computed by the model; export the model without branches',
    );
  });

  it('unrolls a Loop with a known number of steps, and collects a value of each step', async () => {
    expect(await outputs(repeated(3), [1, 2])).toEqual([8, 16, 4, 8, 8, 16, 16, 32]);
    // The condition ends it before the last step.
    expect(await outputs(repeated(50, 2), [1, 2])).toEqual([4, 8, 4, 8, 8, 16]);
  });

  it('rejects a Loop whose number of steps the model computes', async () => {
    const model = repeated(3);
    const [loop, ...rest] = model.nodes;
    const nodes = [{ ...loop!, inputs: ['x', '', 'x'] }, ...rest];
    await expect(imported({ ...model, nodes })).rejects.toMatchObject({
      code: 'AIOT_LAYER_UNSUPPORTED',
      message: expect.stringMatching(
        /^node 0 \(Loop\): its number of steps is computed by the model; export/,
      ),
    });
  });

  it('computes Erf and Gelu', async () => {
    // Values of the error function from tables.
    const table = [
      [0, 0],
      [0.5, 0.5204998778],
      [-1, -0.8427007929],
      [2, 0.995322265],
      [-7, -1],
    ] as const;
    const x = table.map(([value]) => value);
    const model = (op: string): OnnxText => ({
      inputs: { x: [1, 5] },
      outputs: ['y'],
      nodes: [node(op, 'x', 'y')],
      opset: 20,
    });
    const got = await outputs(model('Erf'), x);
    table.forEach(([, value], i) => {
      expect(Math.abs(got[i]! - value)).toBeLessThan(1e-6);
    });
    const scaled = x.map((value) => value * Math.SQRT2);
    (await outputs(model('Gelu'), scaled)).forEach((value, i) => {
      expect(value).toBeCloseTo((scaled[i]! / 2) * (1 + table[i]![1]), 5);
    });
    const added: OnnxText = {
      ...model('Erf'),
      nodes: [node('Erf', 'c', 'e'), node('Add', 'x e', 'y')],
      constants: { c: { shape: [1, 5], values: x } },
    };
    (await outputs(added, [0, 0, 0, 0, 0])).forEach((value, i) => {
      expect(value).toBeCloseTo(table[i]![1], 7);
    });
  });

  it('reads weights from a data file beside the model', async () => {
    writeFileSync(join(folder, 'weights.bin'), new Uint8Array(Float32Array.of(9, 3, -2).buffer));
    const tensors = [externalTensor('w', [2], { location: 'weights.bin', offset: '4', length: '8' })];
    const model: OnnxText = {
      inputs: { x: [1, 2] },
      outputs: ['y'],
      nodes: [node('Mul', 'x w', 'y')],
      tensors,
    };
    expect(await outputs(model, [10, 10])).toEqual([30, -20]);
  });

  it('reads quantized weights as real numbers, and leaves the scales of activations to quantize', async () => {
    const model: OnnxText = {
      inputs: { x: [1, 2] },
      outputs: ['y'],
      nodes: [
        node('QuantizeLinear', 'x s z', 'q'),
        node('DequantizeLinear', 'q s z', 'd'),
        node('DequantizeLinear', 'wq ws', 'w'),
        node('MatMul', 'd w', 'y'),
      ],
      constants: {
        s: { shape: [], values: [0.1] },
        z: { shape: [], values: [0], type: 'int8' },
        ws: { shape: [], values: [0.5] },
        wq: { shape: [2, 1], values: [4, -6], type: 'int8' },
      },
    };
    const { notes } = await imported(model);
    expect(notes).toEqual([
      'The scales of 1 quantized activations were left out: aiot model quantize determines its own from data, and --keep-scales keeps them.',
    ]);
    expect(await outputs(model, [1, 10])).toEqual([2 - 30]);
  });

  it('multiplies two computed matrices, one of them transposed without moving its elements', async () => {
    const model: OnnxText = {
      inputs: { x: [2, 3] },
      outputs: ['y'],
      nodes: [
        node('Transpose', 'x', 't', { perm: [1, 0] }),
        node('MatMul', 'x t', 'm'),
        node('Gemm', 'm m c', 'y', { transB: 1, alpha: { float: 0.5 } }),
      ],
      constants: { c: { shape: [2], values: [1, 2] } },
    };
    const { graph } = await imported(model);
    expect(graph.operators.map(({ op, options }) => [op, options])).toEqual([
      ['BATCH_MATMUL', { adjX: false, adjY: true }],
      ['BATCH_MATMUL', { adjX: false, adjY: true }],
      ['MUL', expect.anything()],
      ['ADD', expect.anything()],
    ]);
    // x xᵀ = [[14, 32], [32, 77]]
    const products = [14 * 14 + 32 * 32, 14 * 32 + 32 * 77, 14 * 32 + 32 * 77, 32 * 32 + 77 * 77];
    expect(await outputs(model, [1, 2, 3, 4, 5, 6])).toEqual(
      products.map((value, i) => value / 2 + 1 + (i % 2)),
    );
  });

  describe('elements at constant indices', () => {
    const whole = (shape: number[], ...values: number[]) => ({ shape, values, type: 'int64' as const });
    const model = (op: string, i: ReturnType<typeof whole>, rest: Partial<OnnxText> = {}): OnnxText => ({
      inputs: { x: [2, 3] },
      outputs: ['y'],
      nodes: [node(op, op.startsWith('Gather') ? 'x i' : 'x i u', 'y')],
      ...rest,
      constants: { i, ...rest.constants },
    });
    const updates = (shape: number[], ...values: number[]) => ({ constants: { u: { shape, values } } });
    const reducing = (reduction: string) => [node('ScatterND', 'x i u', 'y', { reduction })];
    const twice = whole([3, 1], 1, 0, 1);
    const rows = updates([3, 3], 10, 20, 30, 40, 50, 60, -1, -2, -3);
    const x = [1, 2, 3, 4, 5, 6];

    // The results are those of the operators' definitions, by hand.
    it.each<[string, OnnxText, number[]]>([
      ['GatherElements', model('GatherElements', whole([2, 3], 1, 0, -1, 0, -2, 1)), [4, 2, 6, 1, 2, 6]],
      ['GatherND of elements', model('GatherND', whole([2, 2], 1, 2, 0, -3)), [6, 1]],
      ['GatherND of rows', model('GatherND', whole([2, 1], 1, 1)), [4, 5, 6, 4, 5, 6]],
      [
        'ScatterElements, in which the last update of an element counts',
        model('ScatterElements', whole([1, 3], 1, 1, 0), {
          nodes: [node('ScatterElements', 'x i u', 'y', { axis: 1 })],
          ...updates([1, 3], 7, 8, 9),
        }),
        [9, 8, 3, 4, 5, 6],
      ],
      ['ScatterND', model('ScatterND', twice, rows), [40, 50, 60, -1, -2, -3]],
      [
        'ScatterND that adds',
        model('ScatterND', twice, { nodes: reducing('add'), ...rows }),
        [41, 52, 63, 13, 23, 33],
      ],
      [
        'ScatterElements of constants, which become a constant',
        {
          ...model('ScatterElements', whole([1, 3], 1, 1, 0)),
          nodes: [
            node('ScatterElements', 'zeros i u', 's', { axis: 1, reduction: 'add' }),
            node('Add', 'x s', 'y'),
          ],
          constants: {
            zeros: { shape: [2, 3], values: [0, 0, 0, 0, 0, 0] },
            i: whole([1, 3], 1, 1, 0),
            u: { shape: [1, 3], values: [7, 8, 9] },
          },
        },
        [10, 17, 3, 4, 5, 6],
      ],
      ...(['max', 'min', 'mul'] as const).map((reduction, k): [string, OnnxText, number[]] => [
        `ScatterND of constants with ${reduction}`,
        {
          ...model('ScatterND', twice),
          nodes: [node('ScatterND', 'c i u', 's', { reduction }), node('Add', 'x s', 'y')],
          constants: {
            c: { shape: [2, 3], values: [1, 1, 1, 2, 2, 2] },
            i: twice,
            u: { shape: [3, 3], values: [3, 3, 3, 0, 0, 0, 5, 5, 5] },
          },
        },
        [
          [2, 3, 4, 9, 10, 11],
          [1, 2, 3, 6, 7, 8],
          [1, 2, 3, 34, 35, 36],
        ][k]!,
      ]),
      [
        'ScatterND of maxima',
        model('ScatterND', twice, { nodes: reducing('max'), ...rows }),
        [40, 50, 60, 10, 20, 30],
      ],
    ])('%s', async (_, given, wanted) => {
      expect(await outputs(given, x)).toEqual(wanted);
    });

    it.each<[string, OnnxText, string, string]>([
      [
        'an index that does not exist',
        model('GatherND', whole([1, 2], 1, 3)),
        'AIOT_FILE_MALFORMED',
        'node 0 (GatherND): the index 3 is outside of 0 to 2',
      ],
      [
        'too few updates',
        model('ScatterND', whole([2, 1], 0, 1), updates([1, 3], 1, 2, 3)),
        'AIOT_FILE_MALFORMED',
        'node 0 (ScatterND): expected updates of [2, 3], got [1, 3]',
      ],
      [
        'updates in another order of axes',
        model('ScatterElements', whole([2, 3], 0, 0, 0, 1, 1, 1), updates([3, 2], 1, 2, 3, 4, 5, 6)),
        'AIOT_FILE_MALFORMED',
        'node 0 (ScatterElements): expected updates of [2, 3], got [3, 2]',
      ],
      [
        'updates of ScatterND with another shape',
        model('ScatterND', whole([1, 2, 1], 0, 1), updates([2, 1, 3], 1, 2, 3, 4, 5, 6)),
        'AIOT_FILE_MALFORMED',
        'node 0 (ScatterND): expected updates of [1, 2, 3], got [2, 1, 3]',
      ],
      [
        'too many updates of one element',
        model('ScatterND', whole([17, 2], ...new Array<number>(34).fill(0)), {
          nodes: reducing('mul'),
          ...updates([17], ...new Array<number>(17).fill(2)),
        }),
        'AIOT_LAYER_UNSUPPORTED',
        'it updates an element more than 16 times',
      ],
      [
        'computed indices',
        {
          ...model('GatherND', whole([1], 0)),
          inputs: { x: [2, 3] },
          nodes: [node('ArgMax', 'x', 'i'), node('GatherND', 'x i', 'y')],
          constants: {},
        },
        'AIOT_LAYER_UNSUPPORTED',
        'its index is computed by the model',
      ],
    ])('rejects %s', async (_, given, code, message) => {
      await expect(imported(given)).rejects.toMatchObject({
        code,
        message: expect.stringContaining(message),
      });
    });
  });

  it('rejects a product of matrices that do not fit', async () => {
    const model: OnnxText = {
      inputs: { x: [2, 3] },
      outputs: ['y'],
      nodes: [node('MatMul', 'x x', 'y')],
      constants: {},
    };
    await expect(imported(model)).rejects.toMatchObject({
      code: 'AIOT_FILE_MALFORMED',
      message: expect.stringContaining('[2, 3] cannot be multiplied by [2, 3]'),
    });
  });

  it('keeps negative values if only output_dtype states that integers are signed', async () => {
    const quantizedTo = (output_dtype: number): OnnxText => ({
      inputs: { x: [1, 3] },
      outputs: ['y'],
      nodes: [
        node('QuantizeLinear', 'x s', 'q', { output_dtype }),
        node('DequantizeLinear', 'q s', 'd'),
        node('Neg', 'd', 'y'),
      ],
      constants: { s: { shape: [], values: [0.5] } },
    });
    const [uint8, int16] = [2, 5];
    expect(await outputs(quantizedTo(int16), [1, 0, -2])).toEqual([-1, -0, 2]);
    expect(await outputs(quantizedTo(uint8), [1, 0, -2])).toEqual([-1, -0, -0]);
  });

  it('creates neither the file nor its folder if a model is rejected', async () => {
    const model: OnnxText = {
      inputs: { x: [1, 3] },
      outputs: ['y'],
      nodes: [node('Relu', 'x', 'r'), node('NonZero', 'r', 'y')],
    };
    const out = join(folder, 'rejected');
    const { code, stderr } = await runCli(['model', 'import', save(model), '--out', out]);
    expect(stderr).toContain('node 1 (NonZero)');
    expect(code).toBe(2);
    expect(existsSync(out)).toBe(false);
  });

  it('keeps the integers and scales of a quantized file with --keep-scales', async () => {
    const model: OnnxText = {
      inputs: { x: [1, 2] },
      outputs: ['y'],
      nodes: [
        node('QuantizeLinear', 'x s z', 'q'),
        node('DequantizeLinear', 'q s z', 'd'),
        node('DequantizeLinear', 'wq ws', 'w'),
        node('MatMul', 'd w', 'm'),
        node('QuantizeLinear', 'm t zt', 'p'),
        node('DequantizeLinear', 'p t zt', 'y'),
      ],
      constants: {
        s: { shape: [], values: [0.125] },
        z: { shape: [], values: [3], type: 'int8' },
        t: { shape: [], values: [0.25] },
        zt: { shape: [], values: [-5], type: 'int8' },
        ws: { shape: [], values: [0.5] },
        wq: { shape: [2, 2], values: [4, -6, 1, 3], type: 'int8' },
      },
    };
    const out = join(folder, 'kept.tflite');
    const { code, json } = await runCli([
      'model',
      'import',
      save(model),
      '--keep-scales',
      '--out',
      out,
      '--json',
    ]);
    expect({ code, json }).toMatchObject({ code: 0, json: { notes: [], operators: ['FULLY_CONNECTED'] } });
    const graph = readTflite(readFileSync(out));
    const [x, w, y] = [graph.inputs[0]!, graph.operators[0]!.inputs[1]!, graph.outputs[0]!].map(
      (index) => graph.tensors[index]!,
    );
    expect([x!.quantization, y!.quantization]).toEqual([
      { scale: [0.125], zeroPoint: [3], axis: 0 },
      { scale: [0.25], zeroPoint: [-5], axis: 0 },
    ]);
    // Each row is a column of the file's weights, which are all multiples of the step.
    const real = Array.from(w!.data as Int8Array, (q, i) => q * w!.quantization!.scale[i >> 1]!);
    real.forEach((value, i) => {
      expect(value).toBeCloseTo([2, 0.5, -3, 1.5][i]!, 6);
    });
    // x = [1.25, −0.5] is 2·1.25 − 0.5·0.5 = 2.25 and −3·1.25 − 1.5·0.5 = −4.5: 9 and −18 steps.
    expect([...createInterpreter(graph).invoke(Int8Array.of(13, -1))]).toEqual([4, -23]);
  });

  it('refuses to keep scales that a file does not have', async () => {
    const { code, stderr } = await runCli(['model', 'import', save(relu), '--keep-scales', '--out', folder]);
    expect(code).not.toBe(0);
    expect(stderr).toContain('AIOT_QUANTIZE_UNFIT');
    expect(stderr).toContain('without --keep-scales');
  });

  it('imports several inputs and outputs in the order of the file, or the chosen outputs', async () => {
    const model: OnnxText = {
      inputs: { b: [1, 2], a: [1, 2] },
      outputs: ['sum', 'same', 'b'],
      nodes: [node('Sub', 'a b', 'd'), node('Relu', 'd', 'sum'), node('Identity', 'sum', 'same')],
    };
    const run = async (options: Partial<OnnxOptions> = {}) => {
      const { graph } = await imported(model, options);
      const interpreter = createInterpreter(graph);
      const names = (tensors: readonly { name: string }[]) => tensors.map(({ name }) => name).join(' ');
      const outputs = interpreter.run([Float32Array.of(1, 5), Float32Array.of(4, 3)]);
      const values = outputs.map((output) => [...output]);
      return { names: [names(interpreter.inputTensors), names(interpreter.outputTensors)], values };
    };
    const all = await run();
    expect(all.names).toEqual(['b a', 'sum same b']);
    expect(all.values).toEqual([
      [3, 0],
      [3, 0],
      [1, 5],
    ]);
    const told = await runCli([
      'model',
      'import',
      save(model),
      '--out',
      join(folder, 'all.tflite'),
      '--json',
    ]);
    expect((told.json as { notes: string[] }).notes).toEqual([
      'The model has 2 inputs and 3 outputs. To keep one of each, fix inputs with --input NAME=VALUE, choose an output with --output NAME, and carry states with --state INPUT=OUTPUT.',
    ]);
    expect((await run({ outputs: ['same'] })).values).toEqual([[3, 0]]);
    await expect(imported(model, { outputs: ['other'] })).rejects.toThrow(
      'the model has no output other; its outputs are sum, same, b',
    );
  });

  it('names the inputs and outputs that exist, and rejects text', async () => {
    const path = save(smallCnn());
    const text = join(folder, 'notes.onnx');
    writeFileSync(text, 'version https://git-lfs.github.com/spec/v1\n');
    const cases = [
      [[path, '--input', 'nope:1x3'], 'AIOT_USAGE', /no input nope; its inputs are x/, '--input x:SIZExSIZE'],
      [[path, '--output', 'nope'], 'AIOT_USAGE', /no output nope; its outputs are y/, '--output y'],
      [[text], 'AIOT_FILE_MALFORMED', /expected an ONNX, Keras or .tflite file, got text/, ''],
    ] as const;
    for (const [argv, code, message, next] of cases) {
      const { json } = await runCli(['model', 'import', ...argv, '--json']);
      expect(json).toMatchObject({
        error: { code, message: expect.stringMatching(message), next: expect.stringContaining(next) },
      });
    }
  });

  it('names the node whose output has no float numbers, and imports that output if it is chosen', async () => {
    const model: OnnxText = {
      inputs: { x: [1, 5] },
      outputs: ['o'],
      outputTypes: { o: 'int64' },
      nodes: [{ ...node('ArgMax', 'x', 'o', { axis: 1 }), name: 'best' }],
    };
    const path = save(model);
    const { json } = await runCli(['model', 'import', path, '--json']);
    expect(json).toMatchObject({
      error: {
        code: 'AIOT_LAYER_UNSUPPORTED',
        message: expect.stringContaining('node 0 (best, ArgMax): its output o has no float numbers'),
        next: expect.stringContaining('--output o'),
      },
    });
    const { graph } = await imported(model, { outputs: ['o'] });
    expect([...createInterpreter(graph).run([Float32Array.of(1, 4, 9, 2, 3)])[0]!]).toEqual([2]);
  });

  it('writes NAME.tflite into a folder, and prints the inputs, outputs, operators and folded nodes', async () => {
    const path = save(smallCnn());
    const out = join(folder, 'out');
    const { code, json } = await runCli(['model', 'import', path, '--out', out, '--json']);
    const name = path.slice(folder.length + 1, -'.onnx'.length);
    expect(code).toBe(0);
    expect(json).toMatchObject({
      file: join(out, `${name}.tflite`),
      format: 'onnx',
      inputs: [{ name: 'x', shape: [1, 3, 3, 2], axes: [0, 2, 3, 1] }],
      outputs: [{ name: 'y', shape: [1, 3] }],
      operators: ['CONV_2D', 'FULLY_CONNECTED'],
      folded: 0,
    });
    const { readFile } = await import('node:fs/promises');
    expect(readTflite(await readFile(join(out, `${name}.tflite`))).operators.length).toBe(2);
  });

  it('imports a model with a batch for one example, unless its nodes contain the batch size', async () => {
    const model: OnnxText = {
      inputs: { x: [8, 2, 3] },
      outputs: ['y'],
      outputShapes: { y: [8, 6] },
      nodes: [node('Relu', 'x', 'a'), node('Flatten', 'a', 'y')],
    };
    const single = { shapes: new Map([['x', [1, 2, 3]]]) };
    const whole = await imported(model);
    expect(whole.notes).toContain(
      'The input x is 8x2x3. If 8 is the batch size of the export, import the model for one example with --input x:1x2x3.',
    );
    const { graph, notes } = await imported(model, single);
    expect([graph.inputs, graph.outputs].map(([end]) => graph.tensors[end!]!.shape)).toEqual([
      [1, 2, 3],
      [1, 6],
    ]);
    expect(notes).toEqual([]);
    const fixed = {
      ...model,
      nodes: [node('Relu', 'x', 'a'), node('Reshape', 'a s', 'y')],
      constants: { s: wholes(8, -1) },
    };
    await expect(imported({ ...fixed, constants: { s: wholes(1, -1) } }, single)).resolves.toBeDefined();
    await expect(imported(fixed, { shapes: new Map([['x', [4, 2, 3]]]) })).rejects.toThrow(
      'node 1 (Reshape): it contains the batch size 8, so --input cannot change it; export the model with a batch of 4, or a dynamic one',
    );
    const added = {
      ...model,
      nodes: [node('Add', 'x c', 'y')],
      constants: { c: { shape: [8, 1, 1], values: Array(8).fill(1) } },
    };
    const stated = { added, joined: { ...added, nodes: [node('Concat', 'x c', 'y', { axis: 1 })] } };
    for (const [name, op] of [
      ['added', 'Add'],
      ['joined', 'Concat'],
    ] as const)
      await expect(imported({ ...stated[name], outputShapes: {} }, single)).rejects.toThrow(
        `node 0 (${op}): it contains the batch size 8, so --input cannot change it`,
      );
    const tiled: OnnxText = {
      ...model,
      nodes: [node('ReduceMean', 'x', 'm', { axes: [0] }), node('Tile', 'm times', 'y')],
      constants: { times: wholes(8, 1, 1) },
    };
    for (const outputShapes of [{ y: [8, 2, 3] }, {}] as Record<string, number[]>[])
      await expect(imported({ ...tiled, outputShapes }, single)).rejects.toThrow(
        'the output y: it is [8, 2, 3], although --input changes the batch from 8 to 1; export the model with a batch of 1, or a dynamic one',
      );
    await expect(imported(model, { shapes: new Map([['x', [1, 2, 4]]]) })).rejects.toMatchObject({
      message: '--input x: expected 8x2x3, got 1x2x4',
      next: 'Of the sizes that the file states, only the batch can be changed.',
    });
  });

  it.each<[string, (number | string)[], string, string]>([
    ['a name', ['time', 'batch', 2], 'timexbatchx2', 'x:SIZEx1x2'],
    ['the layer that reads it', ['t', 'any', 2], 'txanyx2', 'x:SIZEx1x2'],
    ['a name before the layer', ['batch', 't', 2], 'batchxtx2', 'x:1xSIZEx2'],
  ])('finds the batch of a recurrent model’s input by %s', async (_, shape, stated, example) => {
    const model: OnnxText = {
      inputs: { x: shape },
      outputs: ['y'],
      nodes: [node('RNN', 'x w r', 'y', { hidden_size: 1 })],
      constants: { w: { shape: [1, 1, 2], values: [1, 1] }, r: { shape: [1, 1, 1], values: [1] } },
    };
    await expect(imported(model)).rejects.toMatchObject({
      message: `the input x: its shape is ${stated}`,
      next: `Specify it with --input ${example}.`,
    });
  });

  it.each([
    [1, node('Identity', 'x', 'y'), [-1, 2, 3, 4]],
    [1, node('ArgMax', 'x', 'y', { axis: 1, keepdims: 0 }), [3]],
    [9, node('ArgMin', 'x', 'y', { axis: 1, keepdims: 0 }), [0]],
    [5, node('Reshape', 'x s', 'y'), [-1, 2, 3, 4]],
    [6, node('Relu', 'x', 'y'), [0, 2, 3, 4]],
    [7, node('Add', 'x x', 'y'), [-2, 4, 6, 8]],
    [9, node('MatMul', 'x m', 'y'), [8]],
  ])('reads operator set %i for operators whose semantics are unchanged', async (opset, made, expected) => {
    const constants = { s: wholes(1, 4), m: { shape: [4, 1], values: [1, 1, 1, 1] } };
    expect(await outputs({ ...relu, nodes: [made], opset, constants }, [-1, 2, 3, 4])).toEqual(expected);
  });

  it.each<[string, OnnxText | Uint8Array, string, RegExp]>([
    [
      'an operator that is not supported',
      { ...relu, nodes: [{ ...node('NonMaxSuppression', 'x', 'y'), name: 'boxes' }] },
      'AIOT_LAYER_UNSUPPORTED',
      /^node 0 \(boxes, NonMaxSuppression\): NonMaxSuppression is not supported; compute it outside the model$/,
    ],
    [
      'an operator after others that is not supported',
      { ...relu, nodes: [node('Relu', 'x', 'a'), node('Det', 'a', 'y')] },
      'AIOT_LAYER_UNSUPPORTED',
      /^node 1 \(Det\): Det is not supported; replace it, or export the model up to the node before it$/,
    ],
    [
      'an operator set newer than any',
      { ...relu, opset: 99 },
      'AIOT_LAYER_UNSUPPORTED',
      /^the model: it uses operator set 99, expected 1 to 23; export it with opset_version 17$/,
    ],
    [
      'an operator that had other inputs in the model’s operator set',
      { ...relu, nodes: [node('Clip', 'x', 'y')], opset: 9 },
      'AIOT_LAYER_UNSUPPORTED',
      /^node 0 \(Clip\): Clip of operator set 9 is not supported, expected 11 to 23; export it with opset_version 17$/,
    ],
    [
      'an old operator on constants',
      {
        ...relu,
        nodes: [node('Slice', 'c', 'a', { starts: [0], ends: [1] }), node('Add', 'x a', 'y')],
        constants: { c: vector(1, 2) },
        opset: 9,
        producer: 'skl2onnx',
      },
      'AIOT_LAYER_UNSUPPORTED',
      /^node 0 \(Slice\): Slice of operator set 9 is not supported, expected 11 to 23; export it with target_opset 17$/,
    ],
    [
      'a dynamic dimension besides the batch',
      { ...relu, inputs: { x: ['N', 'time'] } },
      'AIOT_LAYER_UNSUPPORTED',
      /the input x: its shape is Nxtime/,
    ],
    [
      'nodes that depend on each other',
      { ...relu, nodes: [node('Add', 'x b', 'a'), node('Relu', 'a', 'b'), node('Relu', 'b', 'y')] },
      'AIOT_FILE_MALFORMED',
      /depends on itself/,
    ],
    [
      'a tensor that no node computes',
      { ...relu, nodes: [node('Relu', 'q', 'y')] },
      'AIOT_FILE_MALFORMED',
      /q is neither an input/,
    ],
    [
      'a constant of a giant shape',
      {
        ...relu,
        nodes: [node('ConstantOfShape', 'big', 'c'), node('Add', 'x c', 'y')],
        constants: { big: { shape: [3], values: [1e6, 1e6, 1e6], type: 'int64' } },
      },
      'AIOT_FILE_MALFORMED',
      /has more than 67108864 elements/,
    ],
    [
      'an axis that does not exist',
      { ...relu, nodes: [node('Concat', 'x x', 'y', { axis: -3 })] },
      'AIOT_FILE_MALFORMED',
      /node 0 \(Concat\): axis -3 does not exist: the tensor has 2 dimensions/,
    ],
    [
      'a permutation with axes that do not exist',
      { ...relu, nodes: [node('Transpose', 'x', 'y', { perm: [0, 5] })] },
      'AIOT_FILE_MALFORMED',
      /\[0, 5\] is not an order of 2 axes/,
    ],
    [
      'a message that ends early',
      onnxFile(relu).subarray(0, 30),
      'AIOT_FILE_MALFORMED',
      /extends past its end|index out of range/,
    ],
  ])('rejects %s, with its location and a fix', async (_, model, code, message) => {
    await expect(imported(model)).rejects.toMatchObject({ code, message: expect.stringMatching(message) });
  });

  it('says how to state a shape', async () => {
    await expect(imported({ ...relu, inputs: { x: ['N', 'time'] } })).rejects.toMatchObject({
      next: 'Specify it with --input x:1xSIZE.',
    });
  });

  it('gives dimensions with the same name the same size', async () => {
    const model: OnnxText = {
      inputs: { x: ['batch', 'width'], state: [1, 'batch', 'width'] },
      outputs: ['y'],
      nodes: [node('Add', 'x state', 'y')],
    };
    const shapesOf = async (shapes: Record<string, number[]>) => {
      const { graph } = await imported(model, { shapes: new Map(Object.entries(shapes)) });
      return graph.inputs.map((input) => graph.tensors[input]!.shape);
    };
    expect(await shapesOf({ x: [2, 5] })).toEqual([
      [2, 5],
      [1, 2, 5],
    ]);
    expect(await shapesOf({ state: [1, 1, 3] })).toEqual([
      [1, 3],
      [1, 1, 3],
    ]);
    await expect(shapesOf({})).rejects.toThrow('the input x: its shape is batchxwidth');
    await expect(shapesOf({ x: [1, 5], state: [1, 1, 1] })).rejects.toMatchObject({
      message: '--input state: the dimension width is 1, but 5 in another input',
      next: 'Specify the same size for both.',
    });
  });

  it.each([
    ['a first dimension that another input has elsewhere', { x: ['T', 2], mask: ['T', 'T'] }, 'mask', 'TxT'],
    ['a length named N', { x: [1, 3, 'N'], mask: [1, 3, 1] }, 'x', '1x3xN'],
  ])('does not take %s for a batch', async (_, inputs, name, shape) => {
    const nodes = [node('MatMul', name === 'x' ? 'x x' : 'mask x', 'y')];
    await expect(imported({ inputs, outputs: ['y'], nodes } as OnnxText)).rejects.toThrow(
      `the input ${name}: its shape is ${shape}`,
    );
  });

  it.each([
    ['../secret.bin', "outside the model's folder"],
    ['/etc/hostname', "outside the model's folder"],
    ['sub/../../secret.bin', "outside the model's folder"],
    ['link.bin', "outside the model's folder"],
    ['', "outside the model's folder"],
    ['missing.bin', 'does not exist beside the model'],
    ['sub', 'is not a regular file'],
  ])('does not read external data from %j', async (location, message) => {
    const inner = join(folder, 'inner');
    mkdirSync(join(inner, 'sub'), { recursive: true });
    writeFileSync(join(folder, 'secret.bin'), new Uint8Array(64));
    rmSync(join(inner, 'link.bin'), { force: true });
    symlinkSync(join(folder, 'secret.bin'), join(inner, 'link.bin'));
    const path = join(inner, 'model.onnx');
    const tensors = [externalTensor('w', [2], { location })];
    writeFileSync(path, onnxFile({ ...relu, nodes: [node('Mul', 'x w', 'y')], tensors }));
    await expect(readSource(path)).rejects.toMatchObject({
      code: 'AIOT_FILE_MALFORMED',
      message: expect.stringContaining(message),
    });
  });

  it('rejects messages whose objects would exhaust the memory, within two seconds of processor time', async () => {
    const began = process.cpuUsage();
    const nothing = Buffer.alloc(4_000_000, Buffer.from([0x0a, 0x00]));
    const deep = Array.from({ length: 100 }).reduce<Uint8Array>(
      (inner) => nodeAround(inner),
      joinBytes(integerField(1, 1)),
    );
    for (const graph of [nothing, deep]) {
      const bytes = joinBytes(integerField(1, 8), bytesField(7, graph));
      await expect(imported(bytes)).rejects.toMatchObject({
        code: 'AIOT_FILE_MALFORMED',
        message: expect.stringMatching(/more than 100000 messages|nested more than 48 deep/),
      });
    }
    // Elapsed time would include other programs.
    expect(process.cpuUsage(began).user / 1e6).toBeLessThan(2);
  });

  it.each(Object.entries(bombs))('rejects %s within two seconds of processor time', async (_, bomb) => {
    const { model, message } = bomb();
    const path = save(model);
    const began = process.cpuUsage();
    await expect(readSource(path)).rejects.toMatchObject({
      code: expect.stringMatching(/^AIOT_(FILE_MALFORMED|LAYER_UNSUPPORTED)$/),
      message: expect.stringMatching(message),
    });
    expect(process.cpuUsage(began).user / 1e6).toBeLessThan(2);
  });

  it('imports a model of 10,000 operators', { timeout: 30_000 }, async () => {
    const { graph } = await imported(repeatedMul(10_000));
    expect(graph.operators).toHaveLength(10_000);
  });

  it('reads each of 2,000 mutated files, or rejects it with an error code', { timeout: 60_000 }, async () => {
    const whole = onnxFile(smallCnn());
    const random = seededRandom(3);
    let refused = 0;
    for (let n = 0; n < 2000; n++) {
      const damaged = Buffer.from(whole);
      const at = Math.floor(random() * damaged.length);
      if (n % 4 === 0) damaged.fill(Math.floor(random() * 256), at, Math.min(at + 4, damaged.length));
      else
        damaged[Math.floor(random() * (n % 2 === 0 ? damaged.length : 300))]! ^=
          1 << Math.floor(random() * 8);
      try {
        const { graph } = await imported(new Uint8Array(n % 7 === 0 ? damaged.subarray(0, at) : damaged));
        createInterpreter(graph);
      } catch (error) {
        refused += 1;
        expect(error).toMatchObject({
          code: expect.stringMatching(/^AIOT_(FILE_MALFORMED|LAYER_UNSUPPORTED)$/),
        });
      }
    }
    expect(refused).toBeGreaterThan(300);
  });
});

describe('importing an ONNX file with states', () => {
  const importWith = async (model: OnnxText, ...states: string[]) => {
    const path = save(model);
    const out = path.replace('.onnx', '.tflite');
    const named = states.flatMap((state) => ['--state', state]);
    const { code, json } = await runCli(['model', 'import', path, '--out', out, ...named, '--json']);
    return { code, json: json as { inputs: unknown[]; outputs: unknown[]; notes: string[] }, out };
  };

  it('carries a state from run to run, and resets it', async () => {
    const model: OnnxText = {
      inputs: { x: [1, 2], state: [1, 2] },
      outputs: ['y', 'next'],
      nodes: [node('Add', 'x state', 'next'), node('Relu', 'next', 'y')],
    };
    const { json, out } = await importWith(model, 'state=next');
    expect(json.inputs).toEqual([{ name: 'x', shape: [1, 2] }]);
    expect(json.outputs).toEqual([{ name: 'y', shape: [1, 2] }]);
    expect(json.notes).toEqual(['state starts with zeros, then has the previous value of next']);
    const interpreter = createInterpreter(readTflite(readFileSync(out)));
    const run = () => [...interpreter.invoke(Float32Array.of(2, -1))];
    expect([run(), run(), run()]).toEqual([
      [2, 0],
      [4, 0],
      [6, 0],
    ]);
    interpreter.reset();
    expect(run()).toEqual([2, 0]);
    const [plain, again] = [out.replace('.tflite', '-plain.tflite'), out.replace('.tflite', '-again.tflite')];
    await runCli(['model', 'import', out.replace('.tflite', '.onnx'), '--out', plain]);
    await runCli(['model', 'import', plain, '--state', 'state=next', '--out', again]);
    const same = createInterpreter(readTflite(readFileSync(again)));
    expect([1, 2].map(() => [...same.invoke(Float32Array.of(2, -1))])).toEqual([
      [2, 0],
      [4, 0],
    ]);
  });

  it('carries a state whose axes are stored in another order than the output’s', async () => {
    const random = seededRandom(11);
    const shape = [1, 2, 3, 4];
    const model: OnnxText = {
      inputs: { x: shape, state: shape },
      outputs: ['y', 'next'],
      nodes: [
        // The input of a convolution is stored with its channels last, and the result of a Reshape as in the file.
        node('Add', 'x state', 's'),
        node('Conv', 's w', 'c', { kernel_shape: [1, 1] }),
        node('Reshape', 'c flat', 'f'),
        node('Gemm', 'f dense', 'g'),
        node('Reshape', 'g whole', 'next'),
        node('ReduceSum', 'f', 'y', { keepdims: 0 }),
      ],
      constants: {
        w: { shape: [2, 2, 1, 1], values: Array.from({ length: 4 }, () => random()) },
        dense: { shape: [24, 24], values: Array.from({ length: 576 }, () => random() - 0.5) },
        flat: wholes(1, 24),
        whole: wholes(...shape),
      },
    };
    const { graph, axes } = await imported(model);
    expect(axes).toEqual({
      inputs: [
        [0, 2, 3, 1],
        [0, 2, 3, 1],
      ],
      outputs: [undefined, undefined],
    });
    const plain = createInterpreter(graph);
    const { out } = await importWith(model, 'state=next');
    const stateful = createInterpreter(readTflite(readFileSync(out)));
    let state = new Float32Array(24);
    for (let step = 0; step < 3; step++) {
      const x = Float32Array.from({ length: 24 }, () => random() - 0.5);
      const [y, next] = plain.run([x, state]);
      expect([...stateful.invoke(x)]).toEqual([...y!]);
      state = Float32Array.from({ length: 24 }, (_, at) => next![(at % 2) * 12 + Math.floor(at / 2)]!);
    }
  });

  it('rejects names that do not exist, other shapes, and a model of states only', async () => {
    const model: OnnxText = {
      inputs: { x: [1, 2], a: [1, 4] },
      outputs: ['y', 'b'],
      nodes: [node('Relu', 'x', 'y'), node('Relu', 'a', 'b')],
    };
    const cases: [string[], RegExp][] = [
      [['c=b'], /expected INPUT=OUTPUT, got "c=b"/],
      [['a=y'], /a=y: the input is float32 \[1, 4\], but the output is float32 \[1, 2\]/],
      [['a=b', 'a=b'], /a=b is the second state with this input or output/],
      [['a=b', 'x=y'], /needs an input and an output that are no states/],
    ];
    for (const [states, message] of cases) {
      const { code, json, out } = await importWith(model, ...states);
      expect(code).toBe(2);
      expect(json).toMatchObject({ error: { code: 'AIOT_USAGE', message: expect.stringMatching(message) } });
      expect(existsSync(out)).toBe(false);
    }
  });
});

it('importing trees takes time proportional to the number of weights in a leaf', async () => {
  const before = process.cpuUsage();
  const { graph } = await imported(leavesAlone(2, 1, 60_000));
  const { user, system } = process.cpuUsage(before);
  expect(graph.operators.map(({ op }) => op)).toContain('FOREST');
  expect((user + system) / 1e6).toBeLessThan(2);
});

/** Alternates multiplications by one constant with activations that cannot be fused. */
function repeatedMul(count: number): OnnxText {
  const name = (k: number) => (k === 0 ? 'x' : k === count ? 'y' : `t${k}`);
  return {
    inputs: { x: [1, 4] },
    outputs: ['y'],
    nodes: Array.from({ length: count }, (_, k) =>
      k % 2 === 0 ? node('Mul', `${name(k)} c`, name(k + 1)) : node('Sigmoid', name(k), name(k + 1)),
    ),
    constants: { c: { shape: [4], values: [1, 2, 3, 4] } },
  };
}

/** A Loop that doubles x in each step, and collects the doubles of the result. Its body ends it after step `last`. */
function repeated(steps: number, last = steps): OnnxText {
  const body = graphMessage({
    inputs: { i: [], go: [], x_in: [1, 2] },
    outputs: ['more', 'x_out', 'each'],
    nodes: [
      node('Add', 'x_in x_in', 'x_out'),
      node('Mul', 'x_out two', 'each'),
      node('Add', 'i one', 'next'),
      node('Less', 'next last', 'more'),
    ],
    constants: {
      two: { shape: [1], values: [2] },
      one: { shape: [], values: [1], type: 'int64' },
      last: { shape: [], values: [last], type: 'int64' },
    },
  });
  return {
    inputs: { x: [1, 2] },
    outputs: ['y'],
    nodes: [
      {
        op: 'Loop',
        inputs: ['steps', '', 'x'],
        outputs: ['z', 'all'],
        attributes: { body: { graph: body } },
      },
      node('Reshape', 'all wide', 'flat'),
      node('Concat', 'z flat', 'y', { axis: 1 }),
    ],
    constants: {
      steps: { shape: [], values: [steps], type: 'int64' },
      wide: { shape: [2], values: [1, -1], type: 'int64' },
    },
  };
}

interface Bomb {
  model: OnnxText | Uint8Array;
  message: RegExp;
}

/** Small files that would take a lot of time or memory. */
const bombs: Readonly<Record<string, () => Bomb>> = {
  'more operators than a chip could run': () => ({
    model: repeatedMul(10_001),
    message: /more than 10000 operators/,
  }),
  'nested functions with 4^12 calls': () => ({
    model: onnxFunctions(12, 4),
    message: /functions are too large in total/,
  }),
  'a node with 300,000 unknown inputs': () => ({
    model: {
      inputs: { x: [1, 2] },
      outputs: ['y'],
      nodes: [{ ...node('Sum', 'x', 'y'), inputs: Array.from({ length: 300_000 }, (_, k) => `u${k}`) }],
    },
    message: /is neither an input, a constant nor the output/,
  }),
  'a concatenation of long constants without elements': () => ({
    model: folding('Concat', new Array(1000).fill('e').join(' '), { axis: 1 }),
    message: /does not depend on an input/,
  }),
  'a sum over constants without elements': () => ({
    model: folding('ReduceSum', 'e', { axes: [1] }),
    message: /constants have more than \d+ elements/,
  }),
  'a list of axes that is too long, used by many nodes': () => ({
    model: {
      ...folding('ReduceMean', 'e list'),
      tensors: [emptyTensor, tensorMessage('list', [5000], new Array(5000).fill(0), 'int64')],
    },
    message: /a list of at most 4096 numbers, got 5000/,
  }),
  'a shape of many dimensions': () => ({
    model: {
      inputs: { x: [1, 2] },
      outputs: ['y'],
      nodes: [node('Unsqueeze', 'x list', 'y')],
      constants: { list: { shape: [900], values: new Array(900).fill(0).map((_, k) => k), type: 'int64' } },
    },
    message: /dimensions, got 902/,
  }),
  'a large matrix for resizing': () => ({
    model: {
      inputs: { x: [1, 1, 65_536, 1] },
      outputs: ['y'],
      nodes: [{ ...node('Resize', 'x', 'y', { mode: 'linear' }), inputs: ['x', '', '', 'sizes'] }],
      constants: { sizes: { shape: [4], values: [1, 1, 60_000, 1], type: 'int64' } },
    },
    message: /more than \d+ numbers as weights/,
  }),
  'one constant that many layers need in another order': () => ({
    model: {
      inputs: { x: [1, 32, 8, 8] },
      outputs: ['y'],
      nodes: Array.from({ length: 600 }, (_, k) =>
        node('Conv', `${k === 0 ? 'x' : `t${k}`} w`, k === 599 ? 'y' : `t${k + 1}`, { pads: [1, 1, 1, 1] }),
      ),
      constants: { w: { shape: [32, 32, 3, 3], values: new Array(9216).fill(0.1) } },
    },
    message: /more than \d+ numbers as weights/,
  }),
  'a loop of a billion steps': () => ({
    model: repeated(1e9),
    message: /^node 0 \(Loop\): it has too many steps \(4096 reached\)|more than 10000 operators/,
  }),
  'a recurrent layer with a million time steps': () => ({
    model: {
      inputs: { x: [1_000_000, 1, 1] },
      outputs: ['y'],
      nodes: [node('RNN', 'x w r', 'y', { hidden_size: 1 })],
      constants: { w: { shape: [1, 1, 1], values: [1] }, r: { shape: [1, 1, 1], values: [1] } },
    },
    message: /it has 1000000 time steps/,
  }),
  'trees whose leaves have 4096 outputs each': () => ({
    model: leavesAlone(3000, 4096, 0),
    message: /more than \d+ numbers as weights/,
  }),
};

/** Trees of a single leaf, and weights that all belong to the first one. */
function leavesAlone(trees: number, targets: number, weights: number): OnnxText {
  const zeros = (count: number) => new Array<number>(count).fill(0);
  return {
    inputs: { x: [1, 2] },
    outputs: ['y'],
    nodes: [
      {
        ...node('TreeEnsembleRegressor', 'x', 'y', {
          n_targets: targets,
          nodes_modes: { strings: new Array(trees).fill('LEAF') },
          nodes_treeids: zeros(trees).map((_, tree) => tree),
          ...Object.fromEntries(
            ['nodes_nodeids', 'nodes_featureids', 'nodes_truenodeids', 'nodes_falsenodeids'].map((name) => [
              name,
              zeros(trees),
            ]),
          ),
          nodes_values: { floats: zeros(trees) },
          target_weights: { floats: zeros(weights) },
          target_treeids: zeros(weights),
          target_nodeids: zeros(weights),
          target_ids: zeros(weights),
        }),
        domain: 'ai.onnx.ml',
      },
    ],
  };
}

/** A constant of 67 million rows without columns, which has no elements. */
const emptyTensor = tensorMessage('e', [2 ** 26, 0], []);

/** A graph with a node that is computed during the import. */
function folding(op: string, inputs: string, attributes: OnnxNodeText['attributes'] = {}): OnnxText {
  return {
    inputs: { x: [1, 2] },
    outputs: ['y'],
    nodes: [node(op, inputs, 'y', attributes)],
    tensors: [emptyTensor],
  };
}

/** A graph with a node that has another graph as an attribute. */
function nodeAround(graph: Uint8Array): Uint8Array {
  return bytesField(
    1,
    nodeMessage({ op: 'If', inputs: [], outputs: [], attributes: { then_branch: { graph } } }),
  );
}

it('the writer of the test files stores a tensor as its readers expect', () => {
  // Field 1 (a size), 2 (the type), 8 (the name), 9 (little-endian bytes).
  expect([...tensorMessage('w', [1], [1])]).toEqual([8, 1, 16, 1, 66, 1, 119, 74, 4, 0, 0, 128, 63]);
});

/** A model with one node, and constants after its input x. */
const single = (
  op: string,
  shape: number[],
  constants: NonNullable<OnnxText['constants']>,
  attributes: OnnxNodeText['attributes'] = {},
  inputs = ['x', ...Object.keys(constants)].join(' '),
): OnnxText => ({
  inputs: { x: shape },
  outputs: ['y'],
  nodes: [node(op, inputs, 'y', attributes)],
  constants,
  opset: 18,
});

const vector = (...values: number[]) => ({ shape: [values.length], values });
const wholes = (...values: number[]) => ({ ...vector(...values), type: 'int64' as const });

/** A share of 10 elements. */
const resizedTo = (scale: number, mode = 'asymmetric'): OnnxText =>
  single(
    'Resize',
    [1, 1, 1, 10],
    { roi: vector(), scales: vector(1, 1, 1, scale) },
    { mode: 'nearest', coordinate_transformation_mode: mode, nearest_mode: 'floor' },
  );

/** Two numbers as integers, with one such value before and two after them. */
const paddedIntegers = (value: number): OnnxText => ({
  ...single('Pad', [1, 2], {
    pads: wholes(0, 1, 0, 2),
    value: { shape: [], values: [value], type: 'int64' },
  }),
  nodes: [
    node('Cast', 'x', 'whole', { to: 7 }),
    node('Pad', 'whole pads value', 'padded'),
    node('Cast', 'padded', 'y', { to: 1 }),
  ],
});

describe('importing rarer uses of ONNX operators', () => {
  const cases: [string, OnnxText, number[], number[]][] = [
    [
      'dilated max pools, whose padding never wins',
      single('MaxPool', [1, 1, 6], {}, { kernel_shape: [2], dilations: [3], pads: [1, 1] }),
      [-9, -8, -1, -7, -2, -3],
      // Positions −1 and 2, 0 and 3, 1 and 4, 2 and 5, 3 and 6.
      [-1, -7, -2, -1, -7],
    ],
    [
      'dilated average pools, which count only the elements inside',
      single('AveragePool', [1, 1, 6], {}, { kernel_shape: [2], dilations: [3], pads: [1, 1] }),
      [10, 20, 30, 40, 50, 60],
      [30, 25, 35, 45, 40],
    ],
    [
      'average pools that count the zeros, also in windows without other elements',
      single('AveragePool', [1, 1, 4], {}, { kernel_shape: [2], pads: [2, 2], count_include_pad: 1 }),
      [0, 1, 2, 3],
      [0, 0, 0.5, 1.5, 2.5, 1.5, 0],
    ],
    [
      'average pools of volumes',
      single('AveragePool', [1, 1, 2, 2, 2], {}, { kernel_shape: [2, 1, 2] }),
      [1, 2, 3, 4, 5, 6, 7, 8],
      [(1 + 2 + 5 + 6) / 4, (3 + 4 + 7 + 8) / 4],
    ],
    [
      'max pools of volumes',
      single('MaxPool', [1, 1, 2, 2, 2], {}, { kernel_shape: [2, 2, 1] }),
      [1, 2, 3, 4, 5, -6, 7, -8],
      [7, 4],
    ],
    ['padding of integers by a value', paddedIntegers(7), [1.5, -2.5], [7, 1, -2, 7, 7]],
    [
      'values of the type of others',
      {
        ...single('CastLike', [1, 2], {}),
        nodes: [
          node('Cast', 'x', 'whole', { to: 7 }),
          node('CastLike', 'x whole', 'a'),
          node('CastLike', 'two whole', 'b'),
          node('Mul', 'a b', 'product'),
          node('CastLike', 'product x', 'real'),
          node('CastLike', 'two three', 'folded'),
          node('Cast', 'folded', 'c', { to: 1 }),
          node('Mul', 'real c', 'all'),
          node('Greater', 'x zero', 'positive'),
          node('CastLike', 'whole positive', 'other'),
          node('Where', 'other all zero', 'y'),
        ],
        constants: { two: vector(2.7), three: wholes(3), zero: vector(0) },
      },
      [-5.9, 0.9],
      // −5 · 2 · 2; 0.9 becomes 0, which is false.
      [-20, 0],
    ],
    [
      'padding with the opposite side',
      single('Pad', [1, 3], { pads: wholes(0, 2, 0, 4) }, { mode: 'wrap' }),
      [1, 2, 3],
      [2, 3, 1, 2, 3, 1, 2, 3, 1],
    ],
    [
      'powers by several constants',
      single('Pow', [1, 6], { n: vector(3, 0, 2, 0.5, -1, 4) }),
      [-2, 0, -3, 4, 4, -1],
      [-8, 1, 9, 2, 0.25, 1],
    ],
    [
      'a power whose square overflows beside a smaller one',
      single('Pow', [1, 2], { n: vector(1, 16) }),
      [1000, 2],
      [1000, 65_536],
    ],
    [
      'a power of 0, which is 1 also for a value that overflows',
      {
        ...single('Pow', [1, 2], { n: vector(0, 0) }),
        nodes: [node('Exp', 'x', 'large'), node('Pow', 'large n', 'y')],
      },
      [1000, 3],
      [1, 1],
    ],
    [
      'powers by computed exponents',
      single('Pow', [1, 4], {}, {}, 'x x'),
      [-3, 0, 2, 0.25],
      [-1 / 27, 1, 4, Math.SQRT1_2],
    ],
    [
      'powers of a constant',
      single('Pow', [1, 3], { base: vector(10) }, {}, 'base x'),
      [2, 0, -1],
      [100, 1, 0.1],
    ],
    [
      'the values above the main diagonal',
      single('Trilu', [1, 2, 3], {}),
      [1, 2, 3, 4, 5, 6],
      [1, 2, 3, 0, 5, 6],
    ],
    [
      'the values up to another diagonal',
      single('Trilu', [1, 3, 2], { k: { shape: [], values: [-1], type: 'int64' } }, { upper: 0 }),
      [1, 2, 3, 4, 5, 6],
      [0, 0, 3, 0, 5, 6],
    ],
    [
      'a constant whose values below a diagonal are removed',
      {
        ...single('Trilu', [1, 4], {}),
        nodes: [
          node('Trilu', 'ones', 'mask'),
          node('Reshape', 'mask size', 'flat'),
          node('Add', 'x flat', 'y'),
        ],
        constants: { ones: { shape: [2, 2], values: [1, 1, 1, 1] }, size: wholes(1, 4) },
      },
      [10, 20, 30, 40],
      [11, 21, 30, 41],
    ],
    [
      'scores that a sum with −∞ hides',
      {
        ...single('Softmax', [1, 3], {}),
        nodes: [
          node('Log', 'zeros', 'mask'),
          node('Add', 'x mask', 's'),
          node('Softmax', 's', 'y', { axis: -1 }),
        ],
        constants: { zeros: vector(1, 0, 1) },
      },
      [2, 5, 2],
      [0.5, 0, 0.5],
    ],
    [
      'smoothed smaller images',
      single(
        'Resize',
        [1, 1, 1, 4],
        { roi: vector(), scales: vector(1, 1, 1, 0.5) },
        { mode: 'linear', antialias: 1 },
      ),
      [8, 16, 24, 32],
      // The weights of the elements around 0.5 are 1, 3, 3 and 1 eighths; the first one is repeated at the end.
      [(1 * 8 + 3 * 8 + 3 * 16 + 1 * 24) / 8, (1 * 16 + 3 * 24 + 3 * 32 + 1 * 32) / 8],
    ],
    [
      'smoothed smaller images without elements outside of them',
      single(
        'Resize',
        [1, 1, 1, 4],
        { roi: vector(), scales: vector(1, 1, 1, 0.5) },
        { mode: 'linear', antialias: 1, exclude_outside: 1 },
      ),
      [8, 16, 24, 32],
      // The weights above, without those of the elements outside.
      [(3 * 8 + 3 * 16 + 1 * 24) / 7, (1 * 16 + 3 * 24 + 3 * 32) / 7],
    ],
    // Of 0.7 and 0.6, the nearest single-precision numbers are smaller and larger. The expected values are ONNX Runtime's.
    ['sizes in single precision', resizedTo(0.7), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9], [0, 1, 2, 4, 5, 7, 8]],
    ['positions in single precision', resizedTo(0.6), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9], [0, 1, 3, 5, 6, 8]],
    [
      'centers in single precision',
      resizedTo(0.6, 'half_pixel'),
      [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
      [0, 2, 3, 5, 6, 8],
    ],
    [
      'symmetric centers in single precision',
      resizedTo(1.4, 'half_pixel_symmetric'),
      [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
      [0, 0, 1, 2, 2, 3, 4, 4, 5, 6, 7, 7, 8, 9],
    ],
    [
      'sizes that keep the proportions',
      single(
        'Resize',
        [1, 1, 1, 2],
        { roi: vector(), scales: vector(), sizes: wholes(2, 8) },
        { mode: 'nearest', keep_aspect_ratio_policy: 'not_larger', axes: [2, 3] },
      ),
      [3, 5],
      [3, 3, 5, 5, 3, 3, 5, 5],
    ],
    [
      'parts of images, with a value outside of them',
      single(
        'Resize',
        [1, 1, 1, 3],
        { roi: vector(0, 0, 0, 0.5, 1, 1, 1, 1.5), scales: vector(), sizes: wholes(1, 1, 1, 3) },
        {
          mode: 'linear',
          coordinate_transformation_mode: 'tf_crop_and_resize',
          extrapolation_value: { float: 9 },
        },
      ),
      [1, 2, 3],
      [2, 3, 9],
    ],
  ];
  it.each(cases)('computes %s', async (_, model, input, expected) => {
    const got = await outputs(model, input);
    expect(got.map((value) => Number(value.toFixed(4)))).toEqual(
      expected.map((value) => Number(value.toFixed(4))),
    );
  });

  it('rejects padding of integers by a number that int32 cannot contain', async () => {
    await expect(imported(paddedIntegers(2 ** 40))).rejects.toMatchObject({
      code: 'AIOT_LAYER_UNSUPPORTED',
      message: expect.stringContaining('numbers that int32 cannot contain'),
    });
  });

  it.each<[string, number[], OnnxNodeText['attributes']]>([
    ['MaxPool', [1, 1, 4], { kernel_shape: [1], pads: [1, 0] }],
    ['MaxPool', [1, 1, 4, 4], { kernel_shape: [2, 2], pads: [0, 0, 0, 2] }],
    ['MaxPool', [1, 1, 4, 4, 4], { kernel_shape: [1, 2, 2], pads: [1, 0, 0, 0, 0, 0] }],
    ['MaxPool', [1, 1, 1], { kernel_shape: [2], dilations: [2], pads: [1, 1] }],
    ['AveragePool', [1, 1, 4], { kernel_shape: [2], pads: [2, 0] }],
    ['AveragePool', [1, 1, 4], { kernel_shape: [2], dilations: [3], pads: [4, 0] }],
  ])('rejects a %s of %j with %j, which has a window without elements', async (op, shape, attributes) => {
    await expect(imported(single(op, shape, {}, attributes))).rejects.toMatchObject({
      code: 'AIOT_FILE_MALFORMED',
      message: expect.stringContaining(`node 0 (${op}): a window contains only padding`),
    });
  });

  it('broadcasts a power by its exponents, without a constant of the whole shape', async () => {
    const n = { shape: [3000], values: new Array<number>(3000).fill(2) };
    const { graph } = await imported(single('Pow', [3000, 1], { n }));
    expect(graph.tensors[graph.outputs[0]!]!.shape).toEqual([3000, 3000]);
    expect(Math.max(...graph.tensors.map(({ data }) => data?.length ?? 0))).toBe(3000);
  });

  it('computes convolutions of volumes, also in groups', async () => {
    const random = seededRandom(3);
    const values = (count: number) => Array.from({ length: count }, () => random() - 0.5);
    const [x, w] = [values(2 * 3 * 4 * 2), values(4 * 1 * 2 * 2 * 1)];
    const model = single(
      'Conv',
      [1, 2, 3, 4, 2],
      { w: { shape: [4, 1, 2, 2, 1], values: w } },
      {
        group: 2,
        strides: [1, 2, 1],
        pads: [1, 0, 0, 0, 0, 0],
      },
    );
    const expected: number[] = [];
    for (let out = 0; out < 4; out++)
      for (let d = 0; d < 3; d++)
        for (let h = 0; h < 2; h++)
          for (let column = 0; column < 2; column++) {
            let sum = 0;
            for (const [i, j] of [
              [0, 0],
              [0, 1],
              [1, 0],
              [1, 1],
            ] as const) {
              const [depth, row] = [d - 1 + i, 2 * h + j];
              const weight = w[out * 4 + i * 2 + j]!;
              if (depth >= 0) sum += weight * x[((Math.floor(out / 2) * 3 + depth) * 4 + row) * 2 + column]!;
            }
            expected.push(sum);
          }
    const { graph, axes } = await imported(model);
    // The file's volumes are stored as they are; only images are stored channels last.
    expect(axes).toEqual({ inputs: [undefined], outputs: [undefined] });
    const got = createInterpreter(graph).invoke(Float32Array.from(x));
    expect([...got].map((value) => value.toFixed(5))).toEqual(expected.map((value) => value.toFixed(5)));
  });

  it('computes with integers, and rejects constants that int32 cannot contain', async () => {
    const model = (most: number): OnnxText => ({
      inputs: { x: [1, 4] },
      outputs: ['y'],
      nodes: [
        node('Cast', 'x', 'i', { to: 7 }),
        node('Mul', 'i three', 'm'),
        node('Max', 'm low', 'a'),
        node('Min', 'a high', 'b'),
        node('Greater', 'i zero', 'positive'),
        node('Where', 'positive b zero', 'w'),
        node('Cast', 'w', 'y', { to: 1 }),
      ],
      constants: {
        three: wholes(3),
        low: wholes(4),
        high: wholes(most),
        zero: wholes(0),
      },
    });
    expect(await outputs(model(10), [-5.9, 1.9, 3, 7])).toEqual([0, 4, 9, 10]);
    await expect(imported(model(2 ** 40))).rejects.toMatchObject({
      code: 'AIOT_LAYER_UNSUPPORTED',
      message: expect.stringContaining('numbers that int32 cannot contain'),
    });
  });

  it('keeps an output without elements, as LiteRT and TFLite Micro read it, and explains it', async () => {
    const model: OnnxText = {
      inputs: { x: [1, 6] },
      outputs: ['y', 'rest'],
      nodes: [
        node('Neg', 'x', 'y'),
        node('Slice', 'x starts ends axes', 'none'),
        node('Add', 'none one', 'rest'),
      ],
      constants: {
        starts: wholes(7),
        ends: wholes(9),
        axes: wholes(1),
        one: { shape: [1], values: [1] },
      },
    };
    const { graph, notes } = await imported(model);
    expect(notes).toEqual(['The output rest is [1, 0]: it has no elements.']);
    const got = createInterpreter(readTflite(writeTflite(graph))).run([Float32Array.of(1, 2, 3, 4, 5, 6)]);
    expect(got).toEqual([Float32Array.of(-1, -2, -3, -4, -5, -6), new Float32Array(0)]);
    const chosen = {
      ...model,
      constants: { ...model.constants, two: wholes(2) },
      nodes: [
        ...model.nodes.slice(0, 2),
        node('Equal', 'none one', 'never'),
        node('Slice', 'x axes two axes', 'second'),
        node('Where', 'never second one', 'rest'),
      ],
    };
    const { graph: choosing } = await imported(chosen);
    expect(choosing.tensors[choosing.outputs[1]!]!.type).toBe('float32');
    const relu = { ...model, nodes: [...model.nodes, node('Softmax', 'none', 'r')], outputs: ['r'] };
    await expect(imported(relu)).rejects.toThrow(
      /node 3 \(Softmax\): it computes \[1, 0\], which has no elements; export the model without this node$/,
    );
  });

  it('combines dimensions beyond six, and rejects operators for which it cannot', async () => {
    const shape = [1, 2, 1, 3, 2, 1, 2, 2];
    const wide: OnnxText = {
      inputs: { x: shape },
      outputs: ['y'],
      nodes: [node('Neg', 'x', 'n'), node('Transpose', 'n', 'y', { perm: [0, 1, 2, 7, 4, 5, 6, 3] })],
    };
    const { graph, notes } = await imported(wide);
    expect(notes).toEqual([
      'The input x is [1, 2, 1, 3, 2, 1, 2, 2] in the original and [1, 2, 1, 3, 2, 4] here: its last 3 dimensions are combined, with the same order of elements.',
      'The output y is [1, 2, 1, 2, 2, 1, 2, 3] in the original and [1, 2, 1, 2, 2, 6] here: its last 3 dimensions are combined, with the same order of elements.',
    ]);
    expect(
      Math.max(...readTflite(writeTflite(simplifyGraph(graph))).tensors.map((t) => t.shape.length)),
    ).toBe(6);
    const input = Array.from({ length: 48 }, (_, k) => k + 1);
    const want = [0, 1].flatMap((a) =>
      [0, 1].flatMap((d) =>
        [0, 1].flatMap((b) =>
          [0, 1].flatMap((c) => [0, 1, 2].map((k) => -(((a * 3 + k) * 2 + b) * 4 + c * 2 + d + 1))),
        ),
      ),
    );
    expect(await outputs(wide, input)).toEqual(want);
    const largest = {
      ...wide,
      nodes: [node('ArgMax', 'x', 'i', { axis: 3 }), node('Cast', 'i', 'y', { to: 1 })],
    };
    await expect(imported({ ...largest, inputs: { x: [2, 2, 2, 2, 2, 2, 2] } })).rejects.toThrow(
      /node 0 \(ArgMax\): it needs tensors of 7 dimensions/,
    );
    await expect(imported({ ...wide, inputs: { x: [1, ...shape] } })).rejects.toMatchObject({
      next: expect.stringContaining('at most 8 dimensions'),
    });
  });

  it('omits the empty rest of a Split', async () => {
    const model: OnnxText = {
      inputs: { x: [1, 2] },
      outputs: ['y'],
      nodes: [
        node('Split', 'x sizes', 'a b', { axis: 1 }),
        node('Neg', 'a', 'n'),
        node('Concat', 'n b', 'y', { axis: 1 }),
      ],
      constants: { sizes: wholes(2, 0) },
    };
    expect(await outputs(model, [1, -2])).toEqual([-1, 2]);
  });

  /** One unit whose gates depend on its cell only, because all other weights are 0. */
  const peephole = (states: number[], attributes: OnnxNodeText['attributes'] = {}): OnnxText => ({
    inputs: { x: [2, 1, 1] },
    outputs: ['h'],
    nodes: [node('LSTM', 'x w r b  h0 c0 p', 'h', { hidden_size: 1, ...attributes })],
    constants: {
      w: { shape: [1, 4, 1], values: [0, 0, 0, 1] },
      r: { shape: [1, 4, 1], values: [0, 0, 0, 0] },
      b: { shape: [1, 8], values: [0, 0, 0, 0, 0, 0, 0, 0] },
      h0: { shape: states, values: states[2] === 1 ? [0] : [0, 0] },
      c0: { shape: states, values: states[2] === 1 ? [0.5] : [0.5, 0.5] },
      p: { shape: [1, 3], values: [1, 2, 3] },
    },
  });

  it('computes an LSTM whose gates see its cell', async () => {
    const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));
    let cell = 0.5;
    const expected = [0.3, -0.7].map((x) => {
      cell = sigmoid(3 * cell) * cell + sigmoid(cell) * Math.tanh(x);
      return sigmoid(2 * cell) * Math.tanh(cell);
    });
    const got = await outputs(peephole([1, 1, 1]), [0.3, -0.7]);
    expect(got.map((value) => value.toFixed(5))).toEqual(expected.map((value) => value.toFixed(5)));
  });

  it.each([
    ['GRU', 3],
    ['LSTM', 4],
  ] as const)(
    'unrolls a %s whose steps share their weights, also in int8 and in C code',
    async (op, gates) => {
      const [steps, inputs, units] = [12, 5, 16];
      const random = seededRandom(5);
      const chance = (...shape: number[]) => ({
        shape,
        values: Array.from({ length: shape.reduce((a, b) => a * b) }, () => random() - 0.5),
      });
      const path = save({
        inputs: { x: [steps, 1, inputs] },
        outputs: ['h'],
        nodes: [node(op, 'x w r b', 'all h', { hidden_size: units, linear_before_reset: 1 })],
        constants: {
          w: chance(1, gates * units, inputs),
          r: chance(1, gates * units, units),
          b: chance(1, 2 * gates * units),
        },
      });
      const out = path.replace('.onnx', '.tflite');
      expect(await runCli(['model', 'import', path, '--out', out, '--output', 'h'])).toMatchObject({
        code: 0,
      });
      const weights = gates * units * (inputs + units + 2);
      const valuesIn = (file: string) => {
        const { tensors } = readTflite(readFileSync(file));
        return tensors.reduce((sum, { data, type }) => sum + (type === 'int32' ? 0 : (data?.length ?? 0)), 0);
      };
      // Besides the weights, the file has a few constants such as zeros.
      expect(valuesIn(out)).toBeLessThan(1.1 * weights);
      const rows = join(folder, `${op}.csv`);
      const row = () => Array.from({ length: steps * inputs }, () => random().toFixed(3)).join();
      const head = Array.from({ length: steps * inputs }, (_, k) => `x${k}`).join();
      writeFileSync(rows, `${head}\n${Array.from({ length: 30 }, row).join('\n')}\n`);
      const code = join(folder, `${op}-c`);
      const argv = ['model', 'quantize', out, '--data', rows, '--emit', 'c', '--out', code, '--json'];
      expect(await runCli(argv)).toMatchObject({ code: 0 });
      expect(valuesIn(join(code, 'model.tflite'))).toBeLessThan(1.1 * weights);
      const source = readFileSync(join(code, 'model.c'), 'utf8');
      expect(source.match(/^static const \w+ weights\w*\[/gm)!.length).toBeLessThanOrEqual(3);
      const tables = source.match(/^static const \w+ \w+\[[^=]*= \{[^;]*;/gm)!;
      expect(new Set(tables.map((text) => text.replace(/^static const (\w+) \w+/, '$1'))).size).toBe(
        tables.length,
      );
    },
  );

  it('rejects an initial state of another size, as after PyTorch’s export of an LSTM with proj_size', async () => {
    await expect(imported(peephole([1, 1, 2]))).rejects.toMatchObject({
      code: 'AIOT_FILE_MALFORMED',
      message: expect.stringMatching(
        /^.*node 0 \(LSTM\): expected an initial state of shape \[1, 1, 1\], got \[1, 1, 2\]/,
      ),
    });
    await expect(
      imported(peephole([1, 1, 1], { activations: { strings: ['Sine', 'Tanh', 'Tanh'] } })),
    ).rejects.toMatchObject({
      code: 'AIOT_LAYER_UNSUPPORTED',
      message: expect.stringContaining('the activation Sine is not supported'),
    });
  });
});
