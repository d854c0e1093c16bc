import { describe, expect, it } from 'vitest';
import { seededRandom } from '../../src/lib/core/numbers.js';
import type { Graph } from '../../src/lib/formats/tflite/graph.js';
import { createInterpreter } from '../../src/lib/runtime/interpreter/interpreter.js';
import { architectures, inputSize, quantizedOf, severalEnds } from '../support/architectures.js';
import { engineKinds } from '../support/engine-kinds.js';
import { chanceInputs, long, tensorsInTflm, tensorsOnDevice } from '../support/every-tensor.js';
import { withInt16Activations } from '../support/int16x8.js';
import { describeReal } from '../support/real.js';
import { runInPython } from '../support/tflite.js';

/** Models built by hand, and models described by aiot.yaml. */
const makers = { ...architectures, ...severalEnds, ...engineKinds };

/**
 * Number of models of each kind, and of inputs for each model. For int8, the short form already covers the full
 * claim of 40 models and 2,000 inputs.
 */
const [perKind, runs] = long ? [10, 2000] : [4, 2000];
const wideRuns = long ? 2000 : 200;

/** TFLite Micro does not support REDUCE_MAX with int16. */
const hasInt16 = ({ operators }: Graph) => operators.every(({ op }) => op !== 'REDUCE_MAX');

describeReal('tflm', 'small models of random sizes, compared with TFLite Micro tensor by tensor', () => {
  const kinds = Object.keys(makers) as (keyof typeof makers)[];
  describe.each(kinds.flatMap((kind) => [[kind, 'int8'] as const, [kind, 'int16'] as const]))(
    '%s',
    (kind, type) => {
      it(
        `matches bit for bit on ${type}`,
        () => {
          const int8 = Array.from({ length: perKind }, (_, seed) => quantizedOf(makers[kind], 100 + seed));
          const graphs = type === 'int8' ? int8 : int8.filter(hasInt16).map(withInt16Activations);
          expect(graphs.length).toBeGreaterThan(0);
          const jobs = graphs.map((graph, seed) => ({
            graph,
            input: chanceInputs(graph, seededRandom(seed), type === 'int8' ? runs : wideRuns),
          }));
          let values = 0;
          tensorsInTflm(jobs).forEach((want, index) => {
            const got = tensorsOnDevice(jobs[index]!);
            values += type === 'int8' ? got.length : got.length / 2;
            expect(got.length).toBe(want.length);
            expect(got.equals(want), `${kind} ${index}`).toBe(true);
          });
          if (long)
            process.stderr.write(`${kind} ${type}: ${graphs.length} networks, ${values} values, all equal\n`);
        },
        long ? 600_000 : 60_000,
      );
    },
  );
});

/** The distance between int8 outputs: the largest number of steps, and the share of equal values. */
function apart(a: Int8Array, b: Int8Array) {
  expect(a.length).toBe(b.length);
  const steps = a.map((value, i) => Math.abs(value - b[i]!));
  return { worst: Math.max(...steps), equal: steps.filter((step) => step === 0).length / a.length };
}

function outputsOnDevice({
  graph,
  input,
}: {
  graph: Graph;
  input: ReturnType<typeof chanceInputs>;
}): Int8Array {
  const interpreter = createInterpreter(graph);
  const size = inputSize(graph);
  const outputs: number[] = [];
  for (let start = 0; start < input.length; start += size)
    outputs.push(...interpreter.invoke(input.subarray(start, start + size)));
  return Int8Array.from(outputs);
}

describeReal('litert', 'the same models in LiteRT', () => {
  describeReal('tflm', 'and in TFLite Micro', () => {
    it.each(Object.keys(makers) as (keyof typeof makers)[])(
      '%s differs from LiteRT exactly as TFLite Micro does',
      (kind) => {
        const jobs = Array.from({ length: perKind }, (_, seed) => {
          const graph = quantizedOf(makers[kind], 100 + seed);
          const random = seededRandom(seed);
          return { graph, input: chanceInputs(graph, random, wideRuns), reference: true };
        });
        const micro = runInPython('tflm', jobs);
        const total = { worst: 0, equal: 0 };
        runInPython('litert', jobs).forEach(({ output }, index) => {
          const device = apart(outputsOnDevice(jobs[index]!), output);
          expect(device, `${kind} ${index}`).toEqual(apart(micro[index]!.output, output));
          total.worst = Math.max(total.worst, device.worst);
          total.equal += device.equal / jobs.length;
        });
        if (long) process.stderr.write(`${kind}: ${total.equal.toFixed(4)} equal, worst ${total.worst}\n`);
        // The differences are few and small, because both round the same sums, one of them in floating point.
        expect(total.worst).toBeLessThanOrEqual(6);
        expect(total.equal).toBeGreaterThan(0.95);
      },
      long ? 600_000 : 60_000,
    );
  });
});
