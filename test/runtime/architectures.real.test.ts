import { describe, expect, it } from 'vitest';
import { seededRandom } from '../../src/lib/core/index.js';
import { elementCount, type Graph } from '../../src/lib/formats/index.js';
import { createInterpreter } from '../../src/lib/runtime/index.js';
import { architectures, quantized } from '../support/architectures.js';
import { chanceInputs, long, tensorsInTflm, tensorsOnDevice } from '../support/every-tensor.js';
import { withInt16Activations } from '../support/int16x8.js';
import { describeReal } from '../support/real.js';
import { runInPython } from '../support/tflite.js';

/** Networks of each kind, and inputs of each. On int8 even the short form is the whole claim: 40 networks, 2,000 inputs. */
const [perKind, runs] = long ? [10, 2000] : [4, 2000];
const wideRuns = long ? 2000 : 200;

/** TFLite Micro has no REDUCE_MAX of int16. */
const hasInt16 = ({ operators }: Graph) => operators.every(({ op }) => op !== 'REDUCE_MAX');

describeReal('tflm', 'small networks of chance sizes, every tensor of them, against TFLite Micro', () => {
  const kinds = Object.keys(architectures) as (keyof typeof architectures)[];
  describe.each(kinds.flatMap((kind) => [[kind, 'int8'] as const, [kind, 'int16'] as const]))(
    '%s',
    (kind, type) => {
      it(
        `on ${type} is the same bit for bit`,
        () => {
          const int8 = Array.from({ length: perKind }, (_, seed) => quantized(kind, 100 + seed));
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

describeReal('litert', 'the same networks in LiteRT', () => {
  it.each(Object.keys(architectures) as (keyof typeof architectures)[])(
    '%s gives the device’s int8 outputs but for its floating-point rounding',
    (kind) => {
      const jobs = Array.from({ length: perKind }, (_, seed) => {
        const graph = quantized(kind, 100 + seed);
        return { graph, input: chanceInputs(graph, seededRandom(seed), runs), reference: true };
      });
      let [values, equal, worst] = [0, 0, 0];
      runInPython('litert', jobs).forEach(({ output }, index) => {
        const { graph, input } = jobs[index]!;
        const interpreter = createInterpreter(graph);
        const size = elementCount(interpreter.inputTensor.shape);
        let at = 0;
        for (let start = 0; start < input.length; start += size)
          for (const value of interpreter.invoke(input.subarray(start, start + size))) {
            const step = Math.abs(value - output[at++]!);
            values += 1;
            if (step === 0) equal += 1;
            worst = Math.max(worst, step);
          }
        expect(at).toBe(output.length);
      });
      if (long) process.stderr.write(`${kind}: ${equal} of ${values} equal, worst ${worst}\n`);
      // TFLite Micro itself is up to 3 steps from LiteRT, in a few of a hundred outputs.
      expect(worst).toBeLessThanOrEqual(3);
      expect(equal / values).toBeGreaterThan(0.95);
    },
    long ? 600_000 : 60_000,
  );
});
