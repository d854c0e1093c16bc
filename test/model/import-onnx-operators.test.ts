import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { seededRandom } from '../../src/lib/core/numbers.js';
import { readSource } from '../../src/lib/model/import/open.js';
import { simplifyGraph } from '../../src/lib/model/network/simplify.js';
import { createInterpreter } from '../../src/lib/runtime/interpreter/interpreter.js';
import { type OnnxNodeText, type OnnxText, onnxFile } from '../support/onnx-file.js';

const folder = mkdtempSync(join(tmpdir(), 'aiot-onnx-operators-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let files = 0;
async function imported(model: OnnxText) {
  const path = join(folder, `m${++files}.onnx`);
  writeFileSync(path, onnxFile(model));
  const found = await readSource(path, { shapes: new Map(), values: new Map() });
  return { ...found, graph: simplifyGraph(found.graph) };
}

/** Each output of a model for one input. */
async function results(model: OnnxText, input: number[]): Promise<number[][]> {
  const { graph } = await imported(model);
  return createInterpreter(graph)
    .run([Float32Array.from(input)])
    .map((output) => Array.from(output));
}

const node = (
  op: string,
  inputs: string,
  outputs: string,
  attributes: OnnxNodeText['attributes'] = {},
): OnnxNodeText => ({ op, inputs: inputs.split(' '), outputs: outputs.split(' '), attributes });

const toFloat = (from: string, to: string) => node('Cast', from, to, { to: 1 });
const toWhole = (from: string, to: string) => node('Cast', from, to, { to: 7 });

describe('ONNX operators on integers and truth values', () => {
  it('computes powers of integers by computed exponents, rounded towards 0', async () => {
    const pairs = [-5, -3, -2, -1, 1, 2, 3, 4, 7, 9].flatMap((base) =>
      [-3, -2, -1, 0, 1, 2, 3, 4, 5].map((exponent) => [base, exponent]),
    );
    const shape = [1, pairs.length];
    const whole: OnnxText = {
      inputs: { x: [2, pairs.length] },
      outputs: ['y'],
      nodes: [
        node('Split', 'x', 'a b'),
        toWhole('a', 'base'),
        toWhole('b', 'exponent'),
        node('Pow', 'base exponent', 'p'),
        toFloat('p', 'y'),
      ],
    };
    const [got] = await results(whole, [...pairs.map(([base]) => base!), ...pairs.map(([, n]) => n!)]);
    // −0 does not exist among integers.
    expect(got).toEqual(pairs.map(([base, n]) => Math.trunc(base! ** n!) + 0));
    const byReal: OnnxText = {
      inputs: { x: shape },
      outputs: ['y'],
      nodes: [node('Pow', 'base x', 'p'), toFloat('p', 'y')],
      constants: {
        base: { shape, values: pairs.map(([base]) => Math.abs(base!)), type: 'int64' },
      },
    };
    const halves = pairs.map(([, n]) => n! / 2);
    expect((await results(byReal, halves))[0]).toEqual(
      pairs.map(([base], at) => Math.trunc(Math.abs(base!) ** halves[at]!)),
    );
  });

  it('converts to int8 and uint8 by dropping the higher bits, and truth values to 1 and 0', async () => {
    const values = [-1000, -257, -256, -129, -128, -1.9, -1, 0, 0.9, 1, 127, 128, 255.5, 256, 70_000];
    const cast = (to: number): OnnxText => ({
      inputs: { x: [1, values.length] },
      outputs: ['y'],
      nodes: [node('Cast', 'x', 'c', { to }), toFloat('c', 'y')],
    });
    expect((await results(cast(2), values))[0]).toEqual([...Uint8Array.from(values)]);
    expect((await results(cast(3), values))[0]).toEqual([...Int8Array.from(values)]);
    const truths: OnnxText = {
      inputs: { x: [1, 3] },
      outputs: ['y'],
      nodes: [node('Cast', 'x', 'b', { to: 9 }), node('Cast', 'b', 'c', { to: 2 }), toFloat('c', 'y')],
    };
    expect((await results(truths, [-3, 0, 0.5]))[0]).toEqual([1, 0, 1]);
  });

  it('quantizes by a scale that the model computes', async () => {
    const model: OnnxText = {
      inputs: { x: [1, 4] },
      outputs: ['y'],
      nodes: [
        node('ReduceMax', 'x', 'm', { keepdims: 0 }),
        node('Div', 'm steps', 'scale'),
        node('QuantizeLinear', 'x scale zero', 'q'),
        node('DequantizeLinear', 'q scale zero', 'y'),
      ],
      constants: {
        steps: { shape: [], values: [100] },
        zero: { shape: [], values: [3], type: 'int8' },
      },
    };
    // The scale is 0.02; −4 and 0.011 are rounded to −128 − 3 and 1 steps.
    const [got] = await results(model, [2, -4, 0.011, 0.5]);
    expect(got!.map((value) => Number(value.toFixed(4)))).toEqual([2, -2.62, 0.02, 0.5]);
  });

  it('restores computed integers by a scale and zero point of each channel', async () => {
    const input = Array.from({ length: 36 }, (_, at) => ((at * 7) % 23) - 11);
    const model = (count: number, attributes: OnnxNodeText['attributes'] = {}): OnnxText => ({
      inputs: { x: [1, 3, 4, 3] },
      outputs: ['y'],
      nodes: [node('Cast', 'x', 'q', { to: 3 }), node('DequantizeLinear', 'q scale zero', 'y', attributes)],
      constants: {
        scale: { shape: [count], values: [0.5, 2, 4, 8].slice(0, count) },
        zero: { shape: [count], values: [1, -2, 3, 4].slice(0, count), type: 'int8' },
      },
    });
    const channelOf = (axis: number | undefined, at: number) =>
      axis === 3 || axis === -1 ? at % 3 : Math.floor(at / 12);
    for (const axis of [undefined, 1, 3, -1]) {
      const [got] = await results(model(3, axis === undefined ? {} : { axis }), input);
      expect(got).toEqual(
        input.map(
          (value, at) => (value - [1, -2, 3][channelOf(axis, at)]!) * [0.5, 2, 4][channelOf(axis, at)]!,
        ),
      );
    }
    await expect(imported(model(4))).rejects.toMatchObject({
      code: 'AIOT_FILE_MALFORMED',
      message: expect.stringContaining('expected 3 scales and zero points along axis 1, got 4'),
    });
    await expect(imported(model(3, { block_size: 2 }))).rejects.toMatchObject({
      code: 'AIOT_LAYER_UNSUPPORTED',
      message: expect.stringContaining('use one scale, or one for each channel'),
    });
  });

  it('keeps the type of a computed zero point when its shape changes', async () => {
    const model = (...nodes: OnnxNodeText[]): OnnxText => ({
      inputs: { x: [1, 3] },
      outputs: ['y'],
      nodes: [
        node('ReduceMin', 'x', 'm', { keepdims: 1 }),
        ...nodes,
        node('QuantizeLinear', 'x scale zero', 'q'),
        node('DequantizeLinear', 'q scale zero', 'y'),
      ],
      constants: {
        one: { shape: [1], values: [1] },
        size: { shape: [1], values: [1], type: 'int64' },
      },
    });
    const scale = node('Add', 'one m', 'a');
    const positive = [node('Abs', 'a', 'b'), node('Reshape', 'b size', 'scale')];
    const toInt8 = node('Cast', 'm', 'z', { to: 3 });
    const kept = model(scale, ...positive, toInt8, node('Reshape', 'z size', 'zero'));
    // The scale is 1 and the zero point −2, so that int8 contains 126 − −2, but nothing below −128 − −2.
    expect((await results(kept, [-2, 200, 5]))[0]).toEqual([-2, 129, 5]);
    const unknown = model(
      scale,
      ...positive,
      toInt8,
      node('Reshape', 'z size', 'r'),
      node('Cast', 'r', 'zero', { to: 6 }),
    );
    await expect(imported(unknown)).rejects.toMatchObject({
      code: 'AIOT_LAYER_UNSUPPORTED',
      message: expect.stringContaining('the type of its computed zero point is unknown'),
    });
  });

  it('no longer wraps integers like int8 after a conversion to int32', async () => {
    const model: OnnxText = {
      inputs: { x: [1, 3] },
      outputs: ['y'],
      nodes: [
        node('Cast', 'x', 'small', { to: 3 }),
        node('Cast', 'small', 'large', { to: 6 }),
        node('CastLike', 'x large', 'c'),
        toFloat('c', 'y'),
      ],
    };
    expect((await results(model, [1, 300, -500]))[0]).toEqual([1, 300, -500]);
  });

  it('reduces truth values to whether any or all are true', async () => {
    const model = (op: string): OnnxText => ({
      inputs: { x: [3, 2] },
      outputs: ['y'],
      nodes: [
        node('Greater', 'x zero', 'b'),
        node(op, 'b', 'r', { axes: [1], keepdims: 0 }),
        toFloat('r', 'y'),
      ],
      constants: { zero: { shape: [], values: [0] } },
    });
    const input = [-1, -2, -1, 2, 1, 2];
    expect((await results(model('ReduceMax'), input))[0]).toEqual([0, 1, 1]);
    expect((await results(model('ReduceMin'), input))[0]).toEqual([0, 0, 1]);
  });
});

describe('further outputs of ONNX operators', () => {
  it.each<[PoolAttributes]>([
    [{ kernel_shape: [3, 3], pads: [1, 1, 1, 1] }],
    [{ kernel_shape: [2, 3], strides: [2, 1], storage_order: 1 }],
    [{ kernel_shape: [2, 2], dilations: [2, 3], pads: [1, 0, 0, 2] }],
  ])('states the positions of the largest values of a MaxPool with %j', async (attributes) => {
    const [height, width] = [5, 6];
    const model: OnnxText = {
      inputs: { x: [2, 2, height, width] },
      outputs: ['y', 'p'],
      nodes: [node('MaxPool', 'x', 'y z', attributes), toFloat('z', 'p')],
    };
    const random = seededRandom(11);
    // Many values are equal: the first position counts.
    const input = Array.from({ length: 4 * height * width }, () => Math.floor(random() * 4) - 2);
    const { graph, axes } = await imported(model);
    const stored = Float32Array.from(input);
    if (axes?.inputs[0])
      input.forEach((value, at) => {
        const [image, place] = [Math.floor(at / (height * width)), at % (height * width)];
        stored[(Math.floor(image / 2) * height * width + place) * 2 + (image % 2)] = value;
      });
    const [largest, places] = createInterpreter(graph).run([stored]);
    const isColumnFirst = attributes.storage_order === 1;
    const found = Array.from(places!, (position) => {
      const [image, place] = [Math.floor(position / (height * width)), position % (height * width)];
      const at = isColumnFirst ? (place % height) * width + Math.floor(place / height) : place;
      return input[image * height * width + at];
    });
    // Whatever the order of the stored axes, each position has its value.
    expect([...found].sort()).toEqual(Array.from(largest!).sort());
    expect(Array.from(places!).sort((a, b) => a - b)).toEqual(
      positionsByHand(input, [height, width], attributes).sort((a, b) => a - b),
    );
  });

  it('rejects the positions in large windows', async () => {
    const model: OnnxText = {
      inputs: { x: [1, 1, 20, 20] },
      outputs: ['p'],
      nodes: [node('MaxPool', 'x', 'y z', { kernel_shape: [9, 9] }), toFloat('z', 'p')],
    };
    await expect(imported(model)).rejects.toMatchObject({
      code: 'AIOT_LAYER_UNSUPPORTED',
      message: expect.stringMatching(/the positions in windows of 81 elements .* use at most 64/),
    });
  });

  it('normalizes by the statistics of the input in training mode, with a note', async () => {
    const model: OnnxText = {
      inputs: { x: [2, 2, 2] },
      outputs: ['y', 'm', 'v'],
      nodes: [node('BatchNormalization', 'x s b mean var', 'y m v', { training_mode: 1 })],
      constants: {
        s: { shape: [2], values: [1, 2] },
        b: { shape: [2], values: [0, 1] },
        mean: { shape: [2], values: [10, 20] },
        var: { shape: [2], values: [1, 2] },
      },
    };
    const { notes } = await imported(model);
    expect(notes.at(-1)).toMatch(/^node 0 \(BatchNormalization\) is in training mode: .*model\.eval\(\)/);
    // The first channel is 1, 3, 5, 7, and the second 2, 2, 6, 6.
    const got = await results(model, [1, 3, 2, 2, 5, 7, 6, 6]);
    const rounded = got.map((list) => list.map((value) => Number(value.toFixed(3))));
    expect(rounded).toEqual([
      [-1.342, -0.447, -1, -1, 0.447, 1.342, 3, 3],
      [9.4, 18.4],
      [1.4, 2.2],
    ]);
  });

  it('rejects a Dropout that drops at random', async () => {
    const model: OnnxText = {
      inputs: { x: [1, 4] },
      outputs: ['y'],
      nodes: [node('Dropout', 'x ratio training', 'y')],
      constants: {
        ratio: { shape: [], values: [0.5] },
        training: { shape: [], values: [1] },
      },
    };
    await expect(imported(model)).rejects.toMatchObject({
      code: 'AIOT_LAYER_UNSUPPORTED',
      message: expect.stringContaining('model.eval()'),
    });
  });
});

type PoolAttributes = Record<'kernel_shape', number[]> &
  Partial<Record<'strides' | 'dilations' | 'pads', number[]> & Record<'storage_order', number>>;

/** The position of the first largest element of each window. */
function positionsByHand(x: number[], [height, width]: [number, number], given: PoolAttributes): number[] {
  const [strides, dilations, pads] = [
    given.strides ?? [1, 1],
    given.dilations ?? [1, 1],
    given.pads ?? [0, 0, 0, 0],
  ];
  const count = (axis: number, size: number) => {
    const reach = dilations[axis]! * (given.kernel_shape[axis]! - 1) + 1;
    return Math.floor((size + pads[axis]! + pads[axis + 2]! - reach) / strides[axis]!) + 1;
  };
  const out: number[] = [];
  for (let image = 0; image < x.length / (height * width); image++)
    for (let top = 0; top < count(0, height); top++)
      for (let left = 0; left < count(1, width); left++) {
        let [most, position] = [Number.NEGATIVE_INFINITY, -1];
        for (let i = 0; i < given.kernel_shape[0]!; i++)
          for (let j = 0; j < given.kernel_shape[1]!; j++) {
            const row = top * strides[0]! - pads[0]! + i * dilations[0]!;
            const column = left * strides[1]! - pads[1]! + j * dilations[1]!;
            if (row < 0 || row >= height || column < 0 || column >= width) continue;
            const value = x[(image * height + row) * width + column]!;
            if (value <= most) continue;
            most = value;
            position =
              image * height * width + (given.storage_order ? column * height + row : row * width + column);
          }
        out.push(position);
      }
  return out;
}

it('computes trees for several rows at once', async () => {
  const model: OnnxText = {
    inputs: { x: [3, 1] },
    outputs: ['y'],
    nodes: [
      {
        ...node('TreeEnsembleRegressor', 'x', 'y', {
          n_targets: 1,
          nodes_treeids: [0, 0, 0],
          nodes_nodeids: [0, 1, 2],
          nodes_featureids: [0, 0, 0],
          nodes_truenodeids: [1, 0, 0],
          nodes_falsenodeids: [2, 0, 0],
          nodes_values: { floats: [0.5, 0, 0] },
          nodes_modes: { strings: ['BRANCH_LEQ', 'LEAF', 'LEAF'] },
          target_treeids: [0, 0],
          target_nodeids: [1, 2],
          target_ids: [0, 0],
          target_weights: { floats: [10, 20] },
        }),
        domain: 'ai.onnx.ml',
      },
    ],
  };
  expect(await results(model, [1, 0.5, 2])).toEqual([[20, 10, 20]]);
});

describe('ONNX operators that select elements', () => {
  const topK = (count: number, attributes: OnnxNodeText['attributes'] = {}, size = 6): OnnxText => ({
    inputs: { x: [1, size] },
    outputs: ['y', 'p'],
    nodes: [node('TopK', 'x k', 'y i', attributes), toFloat('i', 'p')],
    constants: { k: { shape: [1], values: [count], type: 'int64' } },
  });

  it.each([
    ['different values', [3, -1e8, 7, 0, -2, 5]],
    ['equal values', [2, 2, 2, 2, 2, 2]],
    ['zeros', [0, 0, 0, 0, 0, 0]],
    ['large equal values', [-3e7, -3e7, -3e7, -3e7, -3e7, -3e7]],
    ['ties at both ends', [1, 4, 1, 4, 4, 1]],
  ])('sorts %s by TopK, equal ones by position', async (_, input) => {
    const sorted = (sign: number) =>
      input.map((_value, at) => at).sort((a, b) => sign * (input[a]! - input[b]!) || a - b);
    for (const [largest, sign] of [
      [1, -1],
      [0, 1],
    ] as const) {
      const places = sorted(sign);
      expect(await results(topK(6, { largest }), input)).toEqual([places.map((at) => input[at]!), places]);
    }
  });

  it.each<[number[], number, number[]]>([
    [[2, Number.NEGATIVE_INFINITY, -8], 1, [0, 2, 1]],
    [[2, Number.NEGATIVE_INFINITY, -8], 0, [1, 2, 0]],
    [[Number.NEGATIVE_INFINITY, 1, Number.NEGATIVE_INFINITY], 1, [1, 0, 2]],
    [[Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY], 1, [0, 1, 2]],
    [[Number.POSITIVE_INFINITY, 1, Number.POSITIVE_INFINITY], 1, [0, 2, 1]],
    [[Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY], 1, [0, 1, 2]],
    [[Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY], 0, [0, 1, 2]],
    [[Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY], 1, [0, 1, 2]],
  ])('sorts computed infinite values %j (largest: %i) by TopK', async (given, largest, places) => {
    const plain = topK(3, { largest }, 3);
    const model = {
      ...plain,
      nodes: [node('Reciprocal', 'x', 'l'), node('TopK', 'l k', 'y i', { largest }), plain.nodes[1]!],
    };
    const [values, at] = await results(
      model,
      given.map((value) => 1 / value),
    );
    expect(at).toEqual(places);
    expect(values!.map((value) => Number(value.toFixed(4)))).toEqual(places.map((place) => given[place]!));
  });

  it('rejects a TopK of too many values', async () => {
    await expect(imported(topK(7))).rejects.toMatchObject({
      code: 'AIOT_FILE_MALFORMED',
      message: expect.stringContaining('it selects 7 of 6 values'),
    });
    await expect(imported(topK(65, {}, 100))).rejects.toMatchObject({
      code: 'AIOT_LAYER_UNSUPPORTED',
      message: expect.stringContaining('select at most 64'),
    });
  });

  it('finds the largest value of a vector', async () => {
    const model: OnnxText = {
      inputs: { x: [4] },
      outputs: ['y'],
      nodes: [node('ArgMax', 'x', 'i'), toFloat('i', 'y')],
    };
    expect(await results(model, [1, 5, 2, 5])).toEqual([[1]]);
  });
});

describe('ONNX Einsum', () => {
  const einsum = (equation: string, shapes: Record<string, number[]>, constant = false): OnnxText => {
    const names = Object.keys(shapes);
    const counts = names.map((name) => shapes[name]!.reduce((a, b) => a * b, 1));
    const random = seededRandom(5);
    const total = counts.reduce((a, b) => a + b, 0);
    const own = constant ? counts[0]! : total;
    return {
      inputs: { x: [own] },
      outputs: ['y'],
      nodes: [
        ...(constant
          ? [node('Reshape', 'x shape0', names[0]!)]
          : [
              node('Split', 'x sizes', names.map((_, k) => `part${k}`).join(' ')),
              ...names.map((name, k) => node('Reshape', `part${k} shape${k}`, name)),
            ]),
        node('Einsum', names.join(' '), 'y', { equation }),
      ],
      constants: {
        sizes: { shape: [names.length], values: counts, type: 'int64' },
        ...Object.fromEntries(
          names.map((name, k) => [
            `shape${k}`,
            { shape: [shapes[name]!.length], values: shapes[name]!, type: 'int64' as const },
          ]),
        ),
        ...(constant
          ? Object.fromEntries(
              names.slice(1).map((name, k) => [
                name,
                {
                  shape: shapes[name]!,
                  values: Array.from({ length: counts[k + 1]! }, () => random() - 0.5),
                },
              ]),
            )
          : {}),
      },
    };
  };

  it.each<[equation: string, shapes: Record<string, number[]>, written?: string]>([
    ['ij,jk->ki', { a: [2, 3], b: [3, 4] }],
    ['bij,bkj->bik', { a: [2, 3, 4], b: [2, 5, 4] }],
    ['ij,kl->jl', { a: [2, 3], b: [4, 2] }],
    ['i,j->ji', { a: [3], b: [4] }],
    ['ba,bc', { a: [3, 2], b: [3, 4] }],
    ['ij,jk,kl->il', { a: [2, 3], b: [3, 4], c: [4, 2] }],
    ['ijk->ki', { a: [2, 3, 4] }],
    ['ii->i', { a: [3, 3] }],
    ['ii', { a: [3, 3] }],
    ['bii,ij->bj', { a: [2, 3, 3], b: [3, 4] }],
    ['iji->ji', { a: [3, 2, 3] }],
    ['iii->i', { a: [2, 2, 2] }],
    ['...ij,...jk->...ik', { a: [2, 3, 4], b: [2, 4, 5] }, 'bij,bjk->bik'],
    ['i...->...i', { a: [2, 3, 4] }, 'ibc->bci'],
    ['...ij,jk', { a: [2, 5, 3, 4], b: [4, 2] }, 'abij,jk->abik'],
    ['...i,...i->...', { a: [1, 2, 3], b: [2, 3] }, 'abi,bi->ab'],
    ['...i,...i->...', { a: [4, 1, 3], b: [2, 3] }, 'abi,ci->ac'],
    ['...ii->...i', { a: [3, 2, 2] }, 'bii->bi'],
    ['...,...->...', { a: [2, 3], b: [2, 3] }, 'ij,ij->ij'],
  ])('computes %s of %j', async (equation, shapes, written = equation) => {
    for (const constant of [false, true]) {
      const model = einsum(equation, shapes, constant);
      const random = seededRandom(9);
      const input = Array.from({ length: model.inputs.x![0] as number }, () => random() - 0.5);
      const [got] = await results(model, input);
      let at = 0;
      const operands = Object.entries(shapes).map(([name, shape], k) => {
        const count = shape.reduce((a, b) => a * b, 1);
        const values = constant && k > 0 ? model.constants![name]!.values : input.slice(at, at + count);
        at += count;
        return { shape, values };
      });
      const expected = einsumByHand(written, operands);
      expect(got!.map((value) => value.toFixed(4))).toEqual(
        expected.map((value) => (Math.fround(value) + 0).toFixed(4)),
      );
    }
  });

  it.each([
    ['ii->i', { a: [2, 3] }, 'AIOT_FILE_MALFORMED', /i has the sizes 2 and 3/],
    ['...i->i', { a: [2, 2] }, 'AIOT_LAYER_UNSUPPORTED', /"\.\.\.i->i" sums over the axes of an ellipsis/],
    ['..i->i', { a: [2, 2] }, 'AIOT_LAYER_UNSUPPORTED', /the equation "\.\.i->i" is not supported/],
    ['...i,...i->...', { a: [2, 3], b: [4, 3] }, 'AIOT_FILE_MALFORMED', /the ellipsis has the sizes 2 and 4/],
    ['ij,jk->ik', { a: [2, 3], b: [4, 2] }, 'AIOT_FILE_MALFORMED', /j has the sizes 3 and 4/],
    ['ij->k', { a: [2, 3] }, 'AIOT_FILE_MALFORMED', /an unknown or repeated letter/],
    ['ij,jk->i,k', { a: [2, 3], b: [3, 2] }, 'AIOT_FILE_MALFORMED', /an unknown or repeated letter/],
    ['ijk->k', { a: [2, 3] }, 'AIOT_FILE_MALFORMED', /ijk does not fit \[2, 3\]/],
  ])('rejects %s of %j', async (equation, shapes, code, message) => {
    await expect(imported(einsum(equation, shapes as Record<string, number[]>))).rejects.toMatchObject({
      code,
      message: expect.stringMatching(message),
    });
  });

  it('suggests how to replace a product of constants', async () => {
    const model: OnnxText = {
      inputs: { x: [2] },
      outputs: ['y'],
      nodes: [node('Einsum', 'a b x', 'y', { equation: 'ij,jk,k->i' })],
      constants: { a: { shape: [1, 1], values: [2] }, b: { shape: [1, 2], values: [1, 3] } },
    };
    await expect(imported(model)).rejects.toMatchObject({
      code: 'AIOT_LAYER_UNSUPPORTED',
      message: expect.stringContaining('multiply them before the export, or use MatMul'),
    });
  });
});

/** An Einsum from its definition. */
function einsumByHand(equation: string, operands: { shape: number[]; values: number[] }[]): number[] {
  const [left, right] = equation.split('->') as [string, string | undefined];
  const terms = left.split(',');
  const letters = [...new Set(left.replaceAll(',', ''))].sort();
  const sizes = new Map(
    terms.flatMap((term, k) => [...term].map((letter, axis) => [letter, operands[k]!.shape[axis]!])),
  );
  const wanted = right ?? letters.filter((letter) => left.split(letter).length === 2).join('');
  const out = new Array<number>([...wanted].reduce((all, letter) => all * sizes.get(letter)!, 1)).fill(0);
  const place = (term: string, at: Map<string, number>) =>
    [...term].reduce((index, letter) => index * sizes.get(letter)! + at.get(letter)!, 0);
  const walk = (k: number, at: Map<string, number>): void => {
    if (k === letters.length) {
      out[place(wanted, at)]! += terms.reduce(
        (all, term, i) => all * operands[i]!.values[place(term, at)]!,
        1,
      );
      return;
    }
    for (let i = 0; i < sizes.get(letters[k]!)!; i++) walk(k + 1, new Map([...at, [letters[k]!, i]]));
  };
  walk(0, new Map());
  return out;
}

it('rejects a Mod of real numbers without fmod, and running sums and products of long axes', async () => {
  const model = (op: string, size: number, constants: OnnxText['constants'] = {}): OnnxText => ({
    inputs: { x: [size] },
    outputs: ['y'],
    nodes: [node(op, ['x', ...Object.keys(constants)].join(' '), 'y')],
    constants,
  });
  const axis = { shape: [], values: [0], type: 'int64' as const };
  for (const [rejected, message] of [
    [model('Mod', 4, { b: { shape: [1], values: [2] } }), 'for real numbers, fmod must be 1'],
    [model('CumSum', 1025, { axis }), 'use an axis of at most 1024'],
    [model('ReduceProd', 65), 'use an axis of at most 64'],
  ] as const)
    await expect(imported(rejected)).rejects.toMatchObject({ message: expect.stringContaining(message) });
});
