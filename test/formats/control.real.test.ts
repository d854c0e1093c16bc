import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { seededRandom } from '../../src/lib/core/numbers.js';
import { importTflite } from '../../src/lib/formats/tflite/read.js';
import { quantizeGraph } from '../../src/lib/model/quantize/graph/quantize-graph.js';
import { createInterpreter } from '../../src/lib/runtime/interpreter/interpreter.js';
import { root } from '../support/cli.js';
import { runEmittedC } from '../support/emitted-c.js';
import { chanceInputs, long } from '../support/every-tensor.js';
import { describeReal, python } from '../support/real.js';
import { runInPython } from '../support/tflite.js';

const runs = long ? 2000 : 200;
const size = 6;

describeReal(
  'tensorflow',
  'branches and loops that depend on the input, in files of TensorFlow’s converter',
  () => {
    describeReal('litert', 'compared with LiteRT', () => {
      it('yield the results of the branch and the steps that LiteRT takes; in int8, those of TFLite Micro and C', async () => {
        const folder = mkdtempSync(join(tmpdir(), 'aiot-control-'));
        try {
          const script = join(root, 'test', 'support', 'python', 'control_flow.py');
          const { stdout } = await promisify(execFile)(python('tensorflow'), [script, folder]);
          const names = JSON.parse(stdout.trim().split('\n').at(-1)!) as string[];
          const random = seededRandom(3);
          const jobs = names.map((name) => {
            const file = new Uint8Array(readFileSync(join(folder, `${name}.tflite`)));
            const input = Float32Array.from({ length: size * runs }, () => random() * 6 - 3);
            return { name, file, input, graph: importTflite(file).graph };
          });
          const answers = runInPython(
            'litert',
            jobs.map(({ file, input }) => ({ graph: file, input, reference: true })),
          );
          const quantized = jobs.map(({ name, graph, input }, at) => {
            expect(
              graph.operators.some(({ op }) => op === 'SELECT_V2'),
              name,
            ).toBe(true);
            const interpreter = createInterpreter(graph);
            const rows = Array.from({ length: runs }, (_, run) => input.slice(run * size, (run + 1) * size));
            const ours = rows.flatMap((row) => [...interpreter.invoke(row)]);
            const want = new Float32Array(answers[at]!.output.buffer);
            expect(ours).toHaveLength(want.length);
            // Inputs take different branches, or different numbers of steps.
            want.forEach((value, i) => {
              expect(Math.abs(value - ours[i]!), `${name}, ${i}`).toBeLessThan(
                2e-5 * Math.max(1, Math.abs(value)),
              );
            });
            return {
              graph: quantizeGraph(graph, rows, { mode: 'int8', calibration: 'min-max' }).graph,
              name,
            };
          });
          // Loop counters are whole numbers, for which TFLite Micro has no SELECT_V2; but no result needs them.
          const own = quantized.map(({ graph }) => ({
            graph,
            input: chanceInputs(graph, random, runs) as Int8Array,
          }));
          const outputs = runInPython('tflm', own).map(({ output }) => output);
          own.forEach(({ graph, input }, at) => {
            const interpreter = createInterpreter(graph);
            const ours = Array.from({ length: runs }, (_, run) => [
              ...interpreter.invoke(input.subarray(run * size, (run + 1) * size)),
            ]).flat();
            expect(Int8Array.from(ours), quantized[at]!.name).toEqual(outputs[at]);
          });
          expect(runEmittedC(own)).toEqual(outputs);
        } finally {
          rmSync(folder, { recursive: true, force: true });
        }
      }, 600_000);
    });
  },
);
