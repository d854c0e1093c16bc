import { setImmediate } from 'node:timers/promises';
import { beforeEach, describe, expect, it } from 'vitest';
import { seededRandom } from '../../src/lib/core/numbers.js';
import type { Graph, OperatorName } from '../../src/lib/formats/tflite/graph.js';
import { readTflite } from '../../src/lib/formats/tflite/read.js';
import { createInterpreter } from '../../src/lib/runtime/interpreter/interpreter.js';
import { architectures, inputSize, quantizedOf, severalEnds } from '../support/architectures.js';
import { runEmittedC } from '../support/emitted-c.js';
import { engineKinds } from '../support/engine-kinds.js';
import { chanceInputs, long } from '../support/every-tensor.js';
import { expectRecorded, operatorsOn } from '../support/judged.js';
import { motorFile } from '../support/motor-files.js';
import { oneOpGraphs } from '../support/one-op-graphs.js';
import { describeReal } from '../support/real.js';
import { runInPython } from '../support/tflite.js';

const makers = { ...architectures, ...severalEnds, ...engineKinds };
const [files, networks, runs] = long ? [60, 12, 500] : [2, 1, 100];
const bounded = { timeout: long ? 1_200_000 : 60_000 };

type Job = {
  name: string;
  graph: Graph;
  input: Int8Array;
};

const networkJobs = (): Job[] =>
  Object.entries(makers).flatMap(([kind, make]) =>
    Array.from({ length: networks }, (_, seed) => {
      const graph = quantizedOf(make, 900 + seed);
      return {
        name: `${kind} ${seed}`,
        graph,
        input: chanceInputs(graph, seededRandom(seed), runs) as Int8Array,
      };
    }),
  );

const isInt8 = ({ tensors, inputs, outputs }: Graph) =>
  [...inputs, ...outputs].every((index) => tensors[index]!.type === 'int8');

const operatorJobs = (): Job[] =>
  (Object.keys(oneOpGraphs) as OperatorName[]).flatMap((op) => {
    const random = seededRandom(31);
    return Array.from({ length: files }, (_, at) => ({
      name: `${op} ${at}`,
      graph: oneOpGraphs[op]!(random),
    }))
      .filter(({ graph }) => isInt8(graph))
      .map((job) => ({ ...job, input: chanceInputs(job.graph, random, runs) as Int8Array }));
  });

function answersOf({ graph, input }: Job): Int8Array {
  const interpreter = createInterpreter(graph);
  const size = inputSize(graph);
  const all: number[] = [];
  for (let at = 0; at < input.length; at += size)
    all.push(...interpreter.invoke(input.subarray(at, at + size)));
  return Int8Array.from(all);
}

function expectSame(jobs: Job[], ours: Int8Array[], theirs: Int8Array[]): void {
  jobs.forEach(({ name }, index) => {
    expect(Buffer.from(ours[index]!.buffer).equals(Buffer.from(theirs[index]!.buffer)), name).toBe(true);
  });
}

describeReal('cc', 'generated C in a C compiler', () => {
  // Compilations block the process, so the test runner gets a turn between tests.
  beforeEach(() => setImmediate());

  const sanitized = ['-O0', '-fsanitize=address,undefined', '-fno-sanitize-recover=all'];

  it('matches the interpreter bit for bit on every operator', bounded, () => {
    const jobs = operatorJobs();
    expectSame(jobs, runEmittedC(jobs, sanitized), jobs.map(answersOf));
  });

  let made: { jobs: Job[]; ours: Int8Array[] } | undefined;
  const ran = () => {
    if (made === undefined) {
      const jobs = networkJobs();
      made = { jobs, ours: runEmittedC(jobs, sanitized) };
    }
    return made;
  };

  it('matches the interpreter bit for bit on every model kind, without sanitizer errors', bounded, () => {
    const { jobs, ours } = ran();
    expectSame(jobs, ours, jobs.map(answersOf));
  });

  it('matches the interpreter bit for bit on every operator without vector extensions', bounded, () => {
    const jobs = operatorJobs();
    expectSame(jobs, runEmittedC(jobs, ['-O0', '-DMODEL_WIDE=0']), jobs.map(answersOf));
  });

  it.each([
    '-O2',
    '-O2 -DMODEL_CLONES= -fsanitize=undefined -fno-sanitize-recover=all',
    '-O3 -static',
    '-Os',
    '-O2 -DMODEL_WIDE=0',
    `${sanitized.join(' ')} -DMODEL_WIDE=0`,
  ])('produces the same outputs when compiled with %s', bounded, (flags) => {
    const { jobs, ours } = ran();
    const at = jobs.flatMap((_, index) => (long || index % 6 === 0 ? [index] : []));
    const some = at.map((index) => jobs[index]!);
    expectSame(
      some,
      runEmittedC(some, flags.split(' ')),
      at.map((index) => ours[index]!),
    );
  });

  describeReal('tflm', 'compared with TFLite Micro', () => {
    it('matches bit for bit', bounded, () => {
      const { jobs, ours } = ran();
      const theirs = runInPython('tflm', jobs).map(({ output }) => output);
      expectSame(jobs, ours, theirs);
    });

    it('matches bit for bit on every operator', bounded, async () => {
      const jobs = operatorJobs();
      const theirs = runInPython('tflm', jobs).map(({ output }) => output);
      expectSame(jobs, runEmittedC(jobs, ['-O1']), theirs);
      const graphs = jobs.map(({ graph }) => graph);
      await expectRecorded('c.TFLM.one-operator', operatorsOn('int8', graphs, 2));
    });

    describe('files from TensorFlow’s converter', () => {
      it.each(['int8', 'har_cnn_int8'])('matches bit for bit on %s', bounded, (name) => {
        const graph = readTflite(motorFile(`${name}.tflite`));
        const jobs = [{ name, graph, input: chanceInputs(graph, seededRandom(3), 200) as Int8Array }];
        const theirs = runInPython('tflm', jobs).map(({ output }) => output);
        expectSame(jobs, runEmittedC(jobs, ['-O2']), theirs);
      });
    });
  });
});
