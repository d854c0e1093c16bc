import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { seededRandom } from '../../src/lib/core/numbers.js';
import type { OperatorName } from '../../src/lib/formats/tflite/graph.js';
import { outlineTflite } from '../../src/lib/formats/tflite/outline.js';
import { importTflite } from '../../src/lib/formats/tflite/read.js';
import { createInterpreter } from '../../src/lib/runtime/interpreter/interpreter.js';
import { inputSize } from '../support/architectures.js';
import { root } from '../support/cli.js';
import { chanceInputs } from '../support/every-tensor.js';
import { expectRecorded } from '../support/judged.js';
import { describeReal, python } from '../support/real.js';
import { runInPython } from '../support/tflite.js';

const runs = 20;
/** Operators for which LiteRT has no reference kernel. */
const optimizedOnly: string[] = ['CEIL', 'ELU', 'ROUND'];

/** Operators that the reader replaces, with the operators that appear in their place. */
const replaced: Readonly<Record<string, readonly OperatorName[]>> = {
  ADD_N: ['ADD', 'ADD', 'ADD'],
  CUMSUM: ['UNPACK', 'ADD', 'PACK'],
  'CUMSUM-exclusive': ['UNPACK', 'ADD', 'PACK'],
  'CUMSUM-vector': ['UNPACK', 'ADD', 'PACK'],
  'GATHER_ND-computed': ['MUL', 'SPLIT', 'ADD', 'GATHER'],
  'GATHER_ND-rows': ['GATHER'],
  GATHER_ND: ['GATHER'],
  L2_POOL_2D: ['SQUARE', 'AVERAGE_POOL_2D', 'SQRT'],
  FLOOR_DIV: ['DIV', 'FLOOR'],
  ZEROS_LIKE: [],
  IF: ['SELECT_V2'],
  REDUCE_PROD: ['RESHAPE'],
  SELECT: ['SELECT_V2'],
  SHAPE: ['RESHAPE'],
  TILE: ['CONCATENATION'],
  WHILE: ['SELECT_V2'],
};

/** The replaced operator in a file, without the variant. */
const operatorOf = (name: string) => name.split('-')[0]!;

/** The mean in an L2_POOL_2D is rounded in another place than in TFLite Micro. */
const roundedOtherwise = new Set<string>(['L2_POOL_2D']);

async function converterFiles(): Promise<{ op: OperatorName; file: Uint8Array }[]> {
  const folder = mkdtempSync(join(tmpdir(), 'aiot-converter-operators-'));
  try {
    const script = join(root, 'test', 'support', 'python', 'converter_operators.py');
    const { stdout } = await promisify(execFile)(python('tensorflow'), [script, folder]);
    const names = JSON.parse(stdout.trim().split('\n').at(-1)!) as OperatorName[];
    return names.map((op) => ({ op, file: new Uint8Array(readFileSync(join(folder, `${op}.tflite`))) }));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Returns the largest difference, as a share of the value, or of 1 if that is larger. */
function apart(got: Float32Array, want: Float32Array): number {
  expect(got).toHaveLength(want.length);
  return want.reduce(
    (most, value, i) => Math.max(most, Math.abs(value - got[i]!) / Math.max(1, Math.abs(value))),
    0,
  );
}

/** Positions of the largest of each 4 values, the depth of the images in converter_operators.py. */
function positionsIn(values: readonly number[]): number[] {
  return Array.from({ length: values.length / 4 }, (_, at) => {
    const group = values.slice(at * 4, at * 4 + 4);
    return group.indexOf(Math.max(...group));
  });
}

describeReal('tensorflow', 'a file with each operator, written by TensorFlow', () => {
  describeReal('litert', 'in LiteRT', () => {
    it('contains the operator, and produces the same outputs in the device interpreter', async () => {
      const jobs = (await converterFiles()).map(({ op, file }, seed) => {
        const { graph } = importTflite(file);
        return { op, graph, file, input: chanceInputs(graph, seededRandom(seed), runs) };
      });
      const outputs = runInPython(
        'litert',
        jobs.map(({ op, file, input }) => ({ graph: file, input, reference: !optimizedOnly.includes(op) })),
      );
      jobs.forEach(({ op, graph, file, input }, index) => {
        // The device interpreter yields the values instead of a final ARG_MAX.
        const own = graph.operators.map((operator) => operator.op);
        if (op in replaced) {
          expect(own, op).toEqual(expect.arrayContaining([...replaced[op]!]));
          expect(own, op).not.toContain(op);
          const stored = outlineTflite(file).operators.map(({ op: name }) => name);
          expect(stored, op).toContain(operatorOf(op));
        } else if (op !== 'ARG_MAX') expect(own, op).toContain(op);
        const interpreter = createInterpreter(graph);
        const size = inputSize(graph);
        const ours = Array.from({ length: runs }, (_, run) => [
          ...interpreter.invoke(input.subarray(run * size, (run + 1) * size)),
        ]).flat();
        const theirs = outputs[index]!.output.buffer;
        if (op === 'ARG_MAX') expect(positionsIn(ours), op).toEqual([...new Int32Array(theirs)]);
        else expect(apart(Float32Array.from(ours), new Float32Array(theirs)), op).toBeLessThan(2e-5);
      });
      await expectRecorded(
        'read.LiteRT.converter-operators',
        jobs.map(({ op }) => op).filter((op) => !(op in replaced)),
      );
      await expectRecorded('replaced.LiteRT.converter-operators', Object.keys(replaced).map(operatorOf));
    }, 300_000);

    describeReal('tflm', 'and in TFLite Micro', () => {
      it('operators that the reader replaces yield the same bits, except for the rounding of means', async () => {
        const files = (await converterFiles()).filter(({ op }) => op in replaced);
        const jobs = files.map(({ op, file }, seed) => {
          const { graph } = importTflite(file);
          return { op, graph, file, input: chanceInputs(graph, seededRandom(seed), runs) as Float32Array };
        });
        const outputs = runInPython(
          'tflm',
          jobs.map(({ file, input }) => ({ graph: file, input })),
        );
        const identical = jobs.filter(({ op, graph, input }, index) => {
          // TFLite Micro has no kernel for some of these operators.
          if (outputs[index]!.output.length === 0) return false;
          const interpreter = createInterpreter(graph);
          const size = inputSize(graph);
          const ours = Array.from({ length: runs }, (_, run) => [
            ...interpreter.invoke(input.subarray(run * size, (run + 1) * size)),
          ]).flat();
          const theirs = new Float32Array(outputs[index]!.output.buffer);
          if (roundedOtherwise.has(op)) expect(apart(Float32Array.from(ours), theirs), op).toBeLessThan(2e-5);
          else expect(ours, op).toEqual([...theirs]);
          return !roundedOtherwise.has(op);
        });
        await expectRecorded(
          'replaced.TFLM.converter-operators',
          identical.map(({ op }) => operatorOf(op)),
        );
      }, 300_000);
    });
  });
});
