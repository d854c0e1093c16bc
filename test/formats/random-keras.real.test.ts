import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
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
    return { file, graph: writeTflite(graph), input, ours: Buffer.concat(outputs) };
  } catch (error) {
    if (error instanceof AiotError) return undefined;
    throw error;
  }
}

const floats = (bytes: Uint8Array) => new Float32Array(new Uint8Array(bytes).buffer);

/** The largest difference as a share of the value, or of 1 if that is larger. */
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
  const jobsOf = (count: number, kind: 'float32' | 'int8') => {
    const script = join(root, 'test', 'support', 'python', 'random_keras.py');
    execFileSync(python('tensorflow'), [script, folder, String(count), kind], { stdio: 'pipe' });
    const files = Array.from(
      { length: count },
      (_, at) => new Uint8Array(readFileSync(join(folder, `${at}.tflite`))),
    );
    return files.flatMap((file, at) => job(file, at) ?? []);
  };

  describeReal('tflm', 'compared with TFLite Micro', () => {
    it('at least 45 of 49 float32 networks are accepted, and all of them match its results', () => {
      const jobs = jobsOf(49, 'float32');
      expect(jobs.length).toBeGreaterThanOrEqual(45);
      runInPython('tflm', jobs).forEach(({ output }, at) => {
        expect(apart(jobs[at]!.ours, new Uint8Array(output)), `${at}`).toBeLessThan(2e-5);
      });
    }, 900_000);

    it('at least 40 of 43 int8 networks are accepted, and all of them match it bit for bit', () => {
      const jobs = jobsOf(43, 'int8');
      expect(jobs.length).toBeGreaterThanOrEqual(40);
      runInPython('tflm', jobs).forEach(({ output }, at) => {
        expect(jobs[at]!.ours.equals(Buffer.from(output.buffer)), `${at}`).toBe(true);
      });
    }, 900_000);
  });
});
