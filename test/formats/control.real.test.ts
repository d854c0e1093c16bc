import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { beforeAll, expect, it } from 'vitest';
import { seededRandom } from '../../src/lib/core/numbers.js';
import type { Graph } from '../../src/lib/formats/tflite/graph.js';
import { importTflite } from '../../src/lib/formats/tflite/read.js';
import { quantizeGraph } from '../../src/lib/model/quantize/graph/quantize-graph.js';
import { createInterpreter } from '../../src/lib/runtime/interpreter/interpreter.js';
import { root } from '../support/cli.js';
import { runEmittedC } from '../support/emitted-c.js';
import { chanceInputs, long } from '../support/every-tensor.js';
import { describeReal, python } from '../support/real.js';
import { runInPythonAsync } from '../support/tflite.js';

/** Number of inputs per model. */
const runs = long ? 2000 : 200;
const size = 6;
const patient = 600_000;

interface Model {
  name: string;
  file: Uint8Array;
  graph: Graph;
  rows: Float32Array[];
}

/** Models with branches and loops, as TensorFlow's converter writes them, and random inputs. */
async function convertedModels(): Promise<Model[]> {
  const folder = mkdtempSync(join(tmpdir(), 'aiot-control-'));
  try {
    const script = join(root, 'test', 'support', 'python', 'control_flow.py');
    const { stdout } = await promisify(execFile)(python('tensorflow'), [script, folder]);
    const random = seededRandom(3);
    return (JSON.parse(stdout.trim().split('\n').at(-1)!) as string[]).map((name) => {
      const file = new Uint8Array(readFileSync(join(folder, `${name}.tflite`)));
      const row = () => Float32Array.from({ length: size }, () => random() * 6 - 3);
      return { name, file, graph: importTflite(file).graph, rows: Array.from({ length: runs }, row) };
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The conditions of a model's selections; those that were both true and false in these runs. */
function conditionsOf(graph: Graph, rows: readonly Float32Array[]): { all: number[]; both: number[] } {
  const all = graph.operators.flatMap(({ op, inputs }) => (op === 'SELECT_V2' ? [inputs[0]!] : []));
  const seen = new Map(all.map((tensor) => [tensor, new Set<number>()]));
  const interpreter = createInterpreter(graph);
  for (const row of rows) interpreter.invoke(row, (tensor, values) => seen.get(tensor)?.add(values[0]!));
  return { all, both: all.filter((tensor) => seen.get(tensor)!.size === 2) };
}

describeReal('tensorflow', 'branches and loops that depend on the input, from TensorFlow’s converter', () => {
  let models: Model[] = [];
  beforeAll(async () => {
    models = await convertedModels();
  }, patient);

  it('have inputs that take each branch, and inputs that end a loop early', () => {
    for (const { name, graph, rows } of models) {
      const { all, both } = conditionsOf(graph, rows);
      expect(both.length, name).toBeGreaterThan(0);
      if (name !== 'halving' && name !== 'settled') expect(both, name).toEqual(all);
    }
  });

  describeReal('litert', 'in float', () => {
    it('yield the results of the branch and of the steps that LiteRT takes', {
      timeout: patient,
    }, async () => {
      const answers = await runInPythonAsync(
        'litert',
        models.map(({ file, rows }) => ({
          graph: file,
          input: Float32Array.from(rows.flatMap((row) => [...row])),
          reference: true,
        })),
      );
      models.forEach(({ name, graph, rows }, at) => {
        const interpreter = createInterpreter(graph);
        const ours = rows.flatMap((row) => [...interpreter.invoke(row)]);
        const want = [...new Float32Array(answers[at]!.output.buffer)];
        expect(ours).toHaveLength(want.length);
        const off = want.map((value, i) => Math.abs(value - ours[i]!) / Math.max(1, Math.abs(value)));
        expect(Math.max(...off), name).toBeLessThan(2e-5);
      });
    });
  });

  // A loop's counter needs SELECT_V2 on int32, which TFLite Micro lacks. No result depends on it, so it is left out.
  describeReal('tflm', 'in int8', () => {
    it('yield the results of TFLite Micro, in the interpreter and in C', { timeout: patient }, async () => {
      const random = seededRandom(4);
      const jobs = models.map(({ graph, rows }) => {
        const quantized = quantizeGraph(graph, rows, { mode: 'int8', calibration: 'min-max' }).graph;
        return { graph: quantized, input: chanceInputs(quantized, random, runs) as Int8Array };
      });
      const outputs = (await runInPythonAsync('tflm', jobs)).map(({ output }) => output);
      jobs.forEach(({ graph, input }, at) => {
        const interpreter = createInterpreter(graph);
        const ours = Array.from({ length: runs }, (_, run) => [
          ...interpreter.invoke(input.subarray(run * size, (run + 1) * size)),
        ]).flat();
        expect(Int8Array.from(ours), models[at]!.name).toEqual(outputs[at]);
      });
      expect(await runEmittedC(jobs)).toEqual(outputs);
    });
  });
});
