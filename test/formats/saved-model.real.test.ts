import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { gaussian, seededRandom } from '../../src/lib/core/numbers.js';
import { writeSavedModel } from '../../src/lib/formats/saved-model.js';
import { elementCount, type Graph } from '../../src/lib/formats/tflite/graph.js';
import { withRealValues } from '../../src/lib/formats/tflite/real-values.js';
import { createInterpreter } from '../../src/lib/runtime/interpreter/interpreter.js';
import { architectures, quantizedOf } from '../support/architectures.js';
import { root } from '../support/cli.js';
import { engineKinds } from '../support/engine-kinds.js';
import { oneOpGraphs } from '../support/one-op-graphs.js';
import { runProgram, told } from '../support/programs.js';
import { describeReal, python } from '../support/real.js';

/** Models built by hand, models described by aiot.yaml, and each operator alone with its options. */
const makers = { ...architectures, ...engineKinds };
const perKind = process.env.AIOT_LONG === '1' ? 12 : 2;
const runs = 4;

interface Case {
  name: string;
  graph: Graph;
}

const {
  READ_VARIABLE: _read,
  ASSIGN_VARIABLE: _assign,
  SVDF: _svdf,
  UNIDIRECTIONAL_SEQUENCE_LSTM: _lstm,
  ...stateless
} = oneOpGraphs;
const seeds = Array.from({ length: perKind }, (_, seed) => 300 + seed);
const cases: Case[] = [
  ...Object.entries(makers).flatMap(([kind, make]) =>
    seeds.flatMap((seed) => [
      { name: `${kind} ${seed}`, graph: make(seededRandom(seed)) },
      { name: `${kind} ${seed} from int8`, graph: quantizedOf(make, seed) },
    ]),
  ),
  ...Object.entries(stateless).flatMap(([op, make]) =>
    seeds.map((seed) => ({ name: `${op} ${seed}`, graph: make(seededRandom(seed)) })),
  ),
];

describeReal('tensorflow', 'TensorFlow with an aiot SavedModel', () => {
  const folder = mkdtempSync(join(tmpdir(), 'aiot-saved-model-'));
  const place = (index: number, ...names: string[]) => join(folder, `${index}`, ...names);
  const inputs = cases.map(({ graph }, index) => {
    const random = seededRandom(index);
    const size = elementCount(graph.tensors[graph.inputs[0]!]!.shape);
    return Float32Array.from({ length: size * runs }, () => gaussian(random));
  });

  beforeAll(async () => {
    cases.forEach(({ graph }, index) => {
      mkdirSync(place(index, 'model'), { recursive: true });
      writeFileSync(place(index, 'model', 'saved_model.pb'), writeSavedModel(graph));
      writeFileSync(place(index, 'input'), new Uint8Array(inputs[index]!.buffer));
    });
    const jobs = join(folder, 'jobs.json');
    writeFileSync(jobs, JSON.stringify(cases.map((_, index) => place(index))));
    const args = [join(root, 'test/support/python/saved_models.py'), jobs];
    const ran = await runProgram(python('tensorflow'), args, { timeoutMs: 170_000 });
    expect(ran.code, told('python', args, ran)).toBe(0);
  }, 180_000);
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it.each(Object.keys({ ...makers, ...stateless }))(
    'loads %s and matches the float model to within 1e-5',
    (kind) => {
      let seen = 0;
      cases.forEach(({ name, graph }, index) => {
        if (!name.startsWith(`${kind} `)) return;
        const interpreter = createInterpreter(withRealValues(graph));
        const size = inputs[index]!.length / runs;
        const theirs = new Float32Array(new Uint8Array(readFileSync(place(index, 'output'))).buffer);
        const ours = Array.from({ length: runs }, (_, run) => [
          ...(interpreter.invoke(inputs[index]!.subarray(run * size, (run + 1) * size)) as Float32Array),
        ]).flat();
        expect(theirs).toHaveLength(ours.length);
        const largest = ours.reduce((most, value) => Math.max(most, Math.abs(value) || 0), 1);
        ours.forEach((value, i) => {
          // Both sides return NaN for the root of a negative number.
          if (Number.isNaN(value)) expect(theirs[i], name).toBeNaN();
          else expect(Math.abs(theirs[i]! - value), name).toBeLessThan(1e-5 * largest);
        });
        seen += 1;
      });
      expect(seen).toBeGreaterThan(0);
    },
  );
});
