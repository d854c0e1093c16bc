import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { AiotError } from '../../src/lib/core/errors.js';
import { seededRandom } from '../../src/lib/core/numbers.js';
import type { OperatorName } from '../../src/lib/formats/tflite/graph.js';
import { operatorRows, rowOf } from '../../src/lib/formats/tflite/operators.js';
import { outlineTflite } from '../../src/lib/formats/tflite/outline.js';
import { builtinName, tensorTypeName } from '../../src/lib/formats/tflite/schema.js';
import { writeTflite } from '../../src/lib/formats/tflite/write.js';
import { inspectNetwork } from '../../src/lib/model/inspect/inspect.js';
import { type Inspection, inspectionSchema } from '../../src/lib/model/inspect/inspection.js';
import { planArena } from '../../src/lib/runtime/arena.js';
import { runCli } from '../support/cli.js';
import { motorFolder } from '../support/motor-files.js';
import { cnn, mlp } from '../support/networks.js';
import { fc, runs } from '../support/property.js';
import { linearFile } from './linear.js';
import { temporaryFolder } from './support.js';

async function inspect(file: string) {
  const result = await runCli(['model', 'inspect', file, '--json']);
  return { ...result, value: result.json as Inspection };
}

/** A file whose LOGISTIC operator is replaced with POW. It is valid, but its operator is unknown here. */
function withPow(): Uint8Array {
  const bytes = linearFile([[1, 2]], [0], 'LOGISTIC');
  for (let at = 8; at < bytes.length; at++) {
    if (bytes[at] !== 14) continue;
    const patched = bytes.slice();
    patched[at] = 78;
    try {
      if (outlineTflite(patched).operators[1]?.op === 'POW') return patched;
    } catch {
      // The byte was not the operator code but part of the file's structure.
    }
  }
  throw new Error('no operator code found');
}

describe('aiot model inspect', () => {
  it('reports tensors, operator versions, size, multiply-adds, and the arena of any model', async () => {
    const graph = cnn(seededRandom(2));
    const file = join(await temporaryFolder(), 'cnn.tflite');
    const bytes = writeTflite(graph);
    await writeFile(file, bytes);
    const { value, code } = await inspect(file);
    expect(code).toBe(0);
    expect(inspectionSchema.parse(value)).toEqual(value);
    expect(value).toMatchObject({ kind: 'tflite', bytes: bytes.length, precision: 'int8', bundle: null });
    expect(value.operators.map(({ op, version }) => `${op} ${version}`)).toEqual([
      'EXPAND_DIMS 1',
      'CONV_2D 3',
      'MAX_POOL_2D 2',
      'DEPTHWISE_CONV_2D 3',
      'CONV_2D 3',
      'MEAN 2',
      'RESHAPE 1',
      'FULLY_CONNECTED 4',
      'SOFTMAX 2',
    ]);
    // 30 places × 8 filters × 5 taps × 3 channels; 15 × 8 × 3; 15 × 12 × 8; 12 × 4
    expect(value.macs).toBe(30 * 8 * 5 * 3 + 15 * 8 * 3 + 15 * 12 * 8 + 12 * 4);
    expect(value.inputs).toMatchObject([{ type: 'int8', shape: [1, 64, 3] }]);
    expect(value.outputs).toMatchObject([{ quantization: { scale: [1 / 256], zeroPoint: [-128] } }]);
    const plan = planArena(graph);
    expect(value.arena).toMatchObject({ head: plan.head, tail: plan.tail });
    const ends = value.arena!.pieces.map(({ offset, bytes: size }) => offset + size);
    expect(Math.max(...ends)).toBe(plan.head);
    for (const tensor of value.tensors.filter(({ constant }) => constant))
      expect(tensor.bytes).toBe(graph.tensors[tensor.index]!.data!.byteLength);
  });

  it('draws the lifetime and offset of each arena allocation', async () => {
    const file = join(await temporaryFolder(), 'mlp.tflite');
    await writeFile(file, writeTflite(mlp(seededRandom(1), [8, 24, 3])));
    const { stdout } = await runCli(['model', 'inspect', file]);
    expect(stdout.match(/^ +\d+ +\d+ {2}[·█]+/gm)).toEqual([
      '     0      32  ·██·',
      '     0      16  ···█',
      '    32      16  ██··',
      '    32      16  ··██',
    ]);
    expect(stdout).toContain('columns: the inputs, then operators 0 to 2');
    const [, whole, parts] = /^arena (.*) = (.*) of margin/m.exec(stdout)!;
    const bytes = (text: string) => Number(/^[\d\s,.]+/.exec(text)![0].replace(/\D/g, ''));
    expect(parts!.split(' + ').reduce((sum, part) => sum + bytes(part), 0)).toBe(bytes(whole!));
  });

  it('lists unknown operators, and notes that the arena is unknown because of them', async () => {
    const file = join(await temporaryFolder(), 'elu.tflite');
    await writeFile(file, withPow());
    const { value, code } = await inspect(file);
    expect(code).toBe(0);
    expect(value.operators).toMatchObject([
      { op: 'FULLY_CONNECTED', known: true, macs: 2 },
      { op: 'POW', known: false, macs: 0 },
    ]);
    expect(value).toMatchObject({ arenaBytes: null, arena: null, macs: 2 });
    expect(value.notes[0]).toMatch(/its arena is unknown: operator 1: POW is not supported: use MUL/);
    expect((await runCli(['model', 'inspect', file])).stdout).toContain('POW (unknown)');
  });

  it('lists every supported operator as in the schema', () => {
    for (const op of Object.keys(operatorRows) as OperatorName[]) {
      const { code, custom } = rowOf(op);
      expect(builtinName(code)).toBe(custom === undefined ? op : 'CUSTOM');
    }
    expect(builtinName(250)).toBe('BUILTIN_250');
  });

  it('lists every operator and tensor type in the schema', () => {
    expect([0, 16, 129, 161, 162, 202, 203, 205, 209].map(builtinName)).toEqual([
      'ADD',
      'LSTM',
      'CALL_ONCE',
      'RIGHT_SHIFT',
      'STABLEHLO_LOGISTIC',
      'STABLEHLO_TRANSPOSE',
      'DILATE',
      'REDUCE_WINDOW',
      'STABLEHLO_CASE',
    ]);
    const all = Array.from({ length: 210 }, (_, code) => builtinName(code));
    expect(new Set(all).size).toBe(210);
    expect(all.filter((name) => !/^[A-Z][A-Z0-9_]+$/.test(name) || name.startsWith('BUILTIN_'))).toEqual([]);
    expect([17, 19, 22].map((code) => tensorTypeName(code).name)).toEqual(['int4', 'int2', 'float8_e5m2']);
  });

  it.each([
    ['that is truncated', (bytes: Uint8Array) => bytes.slice(0, bytes.length - 200)],
    ['with an offset beyond its end', (bytes: Uint8Array) => Uint8Array.from(bytes).fill(255, 0, 4)],
    ['with only the identifier', () => new TextEncoder().encode('\0\0\0\0TFL3')],
  ])('rejects a file %s, naming the byte offset', async (_name, damage) => {
    const file = join(await temporaryFolder(), 'bad.tflite');
    await writeFile(file, damage(writeTflite(mlp(seededRandom(1), [8, 24, 3]))));
    const { json, code } = await inspect(file);
    expect(json).toMatchObject({ error: { code: 'AIOT_TFLITE_MALFORMED' } });
    expect((json as { error: { message: string } }).error.message).toMatch(/byte \d+/);
    expect(code).toBe(2);
  });

  it('describes any damaged file or rejects it, naming the byte', () => {
    const whole = writeTflite(cnn(seededRandom(5)));
    const damage = fc.array(fc.tuple(fc.nat(whole.length - 1), fc.nat(255)), { minLength: 1, maxLength: 6 });
    fc.assert(
      fc.property(damage, fc.option(fc.nat(whole.length)), (changes, end) => {
        const bytes = whole.slice(0, end ?? whole.length);
        for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value;
        try {
          inspectNetwork(bytes);
        } catch (error) {
          expect(error).toBeInstanceOf(AiotError);
          expect((error as AiotError).code).toBe('AIOT_TFLITE_MALFORMED');
          expect((error as AiotError).message).toMatch(/byte \d+/);
        }
      }),
      { numRuns: runs(50_000, 1500) },
    );
  });
});

describe('aiot model inspect of files from TensorFlow’s converter', () => {
  // The operator versions are those that TensorFlow's converter wrote.
  it.each([
    ['f32', 12_260, 'float32', ['FULLY_CONNECTED 1', 'LOGISTIC 1'], 2350],
    ['int8', 8048, 'int8', ['FULLY_CONNECTED 4', 'LOGISTIC 2'], 2350],
    ['i16x8', 9456, 'int16x8', ['FULLY_CONNECTED 4', 'LOGISTIC 2'], 2350],
    ['f16', 8368, 'float16', ['DEQUANTIZE 3', 'FULLY_CONNECTED 1', 'LOGISTIC 1'], 2350],
    ['dyn', 7240, 'dynamic', ['FULLY_CONNECTED 12', 'LOGISTIC 1'], 2350],
  ])('%s has %i bytes and is %s', async (name, bytes, precision, versions, macs) => {
    const { value } = await inspect(join(motorFolder, `${name}.tflite`));
    expect(value).toMatchObject({
      bytes,
      precision,
      macs,
      parameters: 2451,
      signatures: ['serving_default'],
    });
    const ops = new Set(value.operators.map(({ op, version }) => `${op} ${version}`));
    expect([...ops]).toEqual(versions);
    const refused = name === 'dyn' || name === 'f16';
    expect(value.arenaBytes === null).toBe(refused);
    expect(value.notes.some((note) => note.startsWith('TFLite Micro has no kernel'))).toBe(refused);
  });
});

it.each([
  ['inspect', []],
  ['fit', []],
  ['quantize', ['--mode', 'float16']],
  ['evaluate', ['--data', 'rows.csv']],
  ['explain', ['--data', 'rows.csv']],
])('model %s explains how to pull a registry version given instead of a file', async (verb, flags) => {
  const { json, code } = await runCli(['model', verb, 'w1@3', ...flags, '--json']);
  expect(json).toEqual({
    error: {
      code: 'AIOT_FILE_NOT_FOUND',
      message: 'expected a .tflite or .aiot file, got the version w1@3 of a registry',
      next: 'Download it first with `aiot model pull w1@3 --out w1-3`.',
      exit: 4,
    },
  });
  expect(code).toBe(4);
  const missing = await runCli(['model', 'inspect', 'gone.tflite', '--json']);
  expect(missing.json).toMatchObject({ error: { message: expect.stringContaining('does not exist') } });
});
