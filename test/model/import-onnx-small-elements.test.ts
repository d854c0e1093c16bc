/** Tests ONNX's elements of 4 and 8 bits. Values of codes are from the specification (onnx.ai/onnx/technical/float8.html and float4.html). */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { bitsOf, smallValue, toSmall } from '../../src/lib/model/import/onnx/small-elements.js';
import { readSource } from '../../src/lib/model/import/open.js';
import { createInterpreter } from '../../src/lib/runtime/interpreter/interpreter.js';
import { bytesField, integerField, joinBytes, type OnnxText, onnxFile } from '../support/onnx-file.js';

const folder = mkdtempSync(join(tmpdir(), 'aiot-onnx-small-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function imported(model: OnnxText) {
  const path = join(folder, 'model.onnx');
  writeFileSync(path, onnxFile(model));
  return await readSource(path, { shapes: new Map(), values: new Map() });
}

const types = [
  ...(['float8e4m3fn', 'float8e4m3fnuz', 'float8e5m2', 'float8e5m2fnuz'] as const),
  ...(['float4e2m1', 'int4', 'uint4'] as const),
];

it.each(types)('converts each value of %s to itself', (type) => {
  const values = Array.from({ length: 2 ** bitsOf(type) }, (_, code) => smallValue(type, code));
  const isNegativeZero = (value: number) => Object.is(value, -0);
  const expected = values.map((value) => (type.endsWith('uz') && isNegativeZero(value) ? 0 : value));
  expect(values.map((value) => toSmall(type, value, false))).toEqual(expected);
  expect(new Set(values.map(String)).size).toBeGreaterThan(type.startsWith('float8') ? 240 : 14);
});

it.each([
  ['float8e4m3fn', { 1: 2 ** -9, 8: 2 ** -6, 56: 1, 126: 448, 127: Number.NaN, 184: -1 }],
  ['float8e4m3fnuz', { 1: 2 ** -10, 8: 2 ** -7, 127: 240, 128: Number.NaN }],
  ['float8e5m2', { 1: 2 ** -16, 4: 2 ** -14, 123: 57344, 124: Number.POSITIVE_INFINITY, 125: Number.NaN }],
  ['float8e5m2fnuz', { 1: 2 ** -17, 4: 2 ** -15, 127: 57344, 128: Number.NaN }],
  ['float4e2m1', { 1: 0.5, 2: 1, 3: 1.5, 5: 3, 7: 6, 15: -6 }],
  ['int4', { 7: 7, 8: -8, 15: -1 }],
  ['uint4', { 7: 7, 8: 8, 15: 15 }],
] as const)('reads the codes of %s as specified', (type, values) => {
  const codes = Object.keys(values).map(Number);
  expect(codes.map((code) => smallValue(type, code))).toEqual(Object.values(values));
});

it('rounds to the nearest value, and limits or marks numbers beyond the range', () => {
  const halves = [17, 19, -17, 2 ** -10, 3 * 2 ** -10];
  expect(halves.map((value) => toSmall('float8e4m3fn', value, true))).toEqual([16, 20, -16, 0, 2 ** -8]);
  const beyond = [1e6, -1e6, Number.POSITIVE_INFINITY];
  const of = (type: (typeof types)[number], saturates: boolean) =>
    beyond.map((value) => toSmall(type, value, saturates));
  expect(of('float8e4m3fn', true)).toEqual([448, -448, 448]);
  expect(of('float8e4m3fn', false)).toEqual([Number.NaN, Number.NaN, Number.NaN]);
  expect(of('float8e5m2', false)).toEqual([
    Number.POSITIVE_INFINITY,
    Number.NEGATIVE_INFINITY,
    Number.POSITIVE_INFINITY,
  ]);
  expect(of('float4e2m1', false)).toEqual([6, -6, 6]);
  expect([7.6, -9.5, 0.5, 16.2].map((value) => toSmall('int4', value, true))).toEqual([-8, 6, 1, 0]);
});

/** A constant of int4, two elements in each byte. */
const packed = (name: string, shape: number[], values: number[]) =>
  joinBytes(
    ...shape.map((size) => integerField(1, size)),
    integerField(2, 22),
    bytesField(8, name),
    bytesField(
      9,
      Uint8Array.from(
        { length: Math.ceil(values.length / 2) },
        (_, k) => (values[2 * k]! & 15) | ((values[2 * k + 1] ?? 0) << 4),
      ),
    ),
  );

it('multiplies by weights of int4 with a scale and a zero point for each block of a column', async () => {
  const weights = Array.from({ length: 15 }, (_, k) => (k % 16) - 8);
  const zeros = [1, 0, -1, 2, 0, -3];
  const model: OnnxText = {
    inputs: { x: [1, 5] },
    outputs: ['y'],
    opset: 21,
    nodes: [
      {
        op: 'DequantizeLinear',
        inputs: ['q', 'scale', 'zero'],
        outputs: ['w'],
        attributes: { axis: 0, block_size: 3 },
      },
      { op: 'MatMul', inputs: ['x', 'w'], outputs: ['y'] },
    ],
    constants: { scale: { shape: [2, 3], values: [0.5, 1, 2, 0.25, 4, 1] } },
    tensors: [packed('q', [5, 3], weights), packed('zero', [2, 3], zeros)],
  };
  const { graph } = await imported(model);
  const x = [1, -2, 3, 0.5, 4];
  const scale = model.constants!.scale!.values;
  const expected = [0, 1, 2].map((column) =>
    x.reduce((sum, value, row) => {
      const block = 3 * Math.floor(row / 3) + column;
      return sum + value * (weights[3 * row + column]! - zeros[block]!) * scale[block]!;
    }, 0),
  );
  expect([...createInterpreter(graph).invoke(Float32Array.from(x))]).toEqual(expected);
  const wrong = { ...model, constants: { scale: { shape: [1, 3], values: [1, 1, 1] } } };
  await expect(imported(wrong)).rejects.toThrow(
    'scales of [1, 3] do not match blocks of 3 along axis 0 of [5, 3]',
  );
});
