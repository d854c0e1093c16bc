import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, expect, it } from 'vitest';
import { AiotError } from '../../src/lib/core/errors.js';
import { seededRandom } from '../../src/lib/core/numbers.js';
import { importTflite } from '../../src/lib/formats/tflite/read.js';
import { writeTflite } from '../../src/lib/formats/tflite/write.js';
import { createInterpreter } from '../../src/lib/runtime/interpreter/interpreter.js';
import { root } from '../support/cli.js';
import { chanceInputs } from '../support/every-tensor.js';
import { describeReal, python } from '../support/real.js';
import { runInPython } from '../support/tflite.js';

const runs = 5;

/** Reads a network and runs it; undefined if it is rejected. */
function job(file: Uint8Array, seed: number) {
  try {
    const { graph } = importTflite(file);
    const interpreter = createInterpreter(graph);
    const input = chanceInputs(graph, seededRandom(seed), runs);
    const size = input.length / runs;
    const outputs = Array.from({ length: runs }, (_, run) => {
      const output = interpreter.invoke(input.subarray(run * size, (run + 1) * size)).slice();
      return Buffer.from(output.buffer);
    });
    const counts = { inputs: graph.inputs.length, outputs: graph.outputs.length };
    return { graph: writeTflite(graph), input, ...counts, ours: Buffer.concat(outputs) };
  } catch (error) {
    if (error instanceof AiotError) return undefined;
    throw error;
  }
}

const floats = (bytes: Uint8Array) => new Float32Array(new Uint8Array(bytes).buffer);

/** Returns the largest difference as a share of the value, or of 1 if that is larger. */
function apart(got: Uint8Array, want: Uint8Array): number {
  const [a, b] = [floats(got), floats(want)];
  return b.reduce(
    (most, value, i) => Math.max(most, Math.abs(value - a[i]!) / Math.max(1, Math.abs(value))),
    0,
  );
}

describeReal('tensorflow', 'random Keras networks in files of TensorFlow’s converter', () => {
  const folder = mkdtempSync(join(tmpdir(), 'aiot-random-keras-'));
  afterAll(() => {
    rmSync(folder, { recursive: true, force: true });
  });
  const jobsOf = async (count: number, kind: 'float32' | 'int8', ...ends: 'several'[]) => {
    const made = mkdtempSync(join(folder, `${kind}-`));
    const script = join(root, 'test', 'support', 'python', 'random_keras.py');
    // Python takes minutes, during which this process has to answer its runner.
    const args = [script, made, String(count), kind, ...ends];
    await promisify(execFile)(python('tensorflow'), args, { maxBuffer: 2 ** 26 });
    const files = Array.from(
      { length: count },
      (_, at) => new Uint8Array(readFileSync(join(made, `${at}.tflite`))),
    );
    const jobs = files.flatMap((file, at) => job(file, at) ?? []);
    process.stderr.write(`${jobs.length} of ${count} ${kind} networks are accepted\n`);
    return jobs;
  };
  const expectSameBits = (jobs: Awaited<ReturnType<typeof jobsOf>>) => {
    runInPython('tflm', jobs).forEach(({ output }, at) => {
      expect(jobs[at]!.ours.equals(Buffer.from(output.buffer)), `${at}`).toBe(true);
    });
  };

  describeReal('tflm', 'compared with TFLite Micro', () => {
    it('at least 45 of 49 float32 networks are accepted, and all of them match its results', async () => {
      const jobs = await jobsOf(49, 'float32');
      expect(jobs.length).toBeGreaterThanOrEqual(45);
      runInPython('tflm', jobs).forEach(({ output }, at) => {
        expect(apart(jobs[at]!.ours, new Uint8Array(output)), `${at}`).toBeLessThan(2e-5);
      });
    }, 900_000);

    it('at least 40 of 43 int8 networks are accepted, and all of them match it bit for bit', async () => {
      const jobs = await jobsOf(43, 'int8');
      expect(jobs.length).toBeGreaterThanOrEqual(40);
      expectSameBits(jobs);
    }, 900_000);

    it('all int8 networks with several inputs or outputs are accepted, and match it bit for bit', async () => {
      const jobs = await jobsOf(12, 'int8', 'several');
      expect(jobs).toHaveLength(12);
      expect(jobs.filter(({ inputs }) => inputs > 1).length).toBeGreaterThan(1);
      expect(jobs.filter(({ outputs }) => outputs > 1).length).toBeGreaterThan(1);
      expectSameBits(jobs);
    }, 600_000);

    it('all float32 networks with several inputs or outputs are accepted, and match its results', async () => {
      const jobs = await jobsOf(12, 'float32', 'several');
      expect(jobs).toHaveLength(12);
      runInPython('tflm', jobs).forEach(({ output }, at) => {
        expect(apart(jobs[at]!.ours, new Uint8Array(output)), `${at}`).toBeLessThan(2e-5);
      });
    }, 600_000);
  });
});
