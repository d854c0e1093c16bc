import { describe, expect, it } from 'vitest';
import { gaussian, seededRandom } from '../../src/lib/core/index.js';
import { elementCount, type Graph, readTflite, writeTflite } from '../../src/lib/formats/index.js';
import { quantizeGraph } from '../../src/lib/model/quantize/quantize-graph.js';
import { architectures } from '../support/architectures.js';
import { chanceInputs, tensorsInTflm, tensorsOnDevice } from '../support/every-tensor.js';
import { describeReal } from '../support/real.js';

/** With AIOT_LONG=1 as long as the claim asks for; otherwise a sample of it. */
const long = process.env.AIOT_LONG === '1';
const [perKind, runs] = long ? [5, 2000] : [2, 60];

function quantized(kind: keyof typeof architectures, seed: number): Graph {
  const random = seededRandom(seed);
  const float = architectures[kind](random);
  const size = elementCount(float.tensors[0]!.shape);
  const representative = Array.from({ length: 40 }, () =>
    Float32Array.from({ length: size }, () => gaussian(random)),
  );
  return readTflite(writeTflite(quantizeGraph(float, representative)));
}

describeReal('tflm', 'small networks of chance sizes, every tensor of them, against TFLite Micro', () => {
  describe.each(Object.keys(architectures) as (keyof typeof architectures)[])('%s', (kind) => {
    it(
      'is the same bit for bit',
      () => {
        const jobs = Array.from({ length: perKind }, (_, seed) => {
          const graph = quantized(kind, 100 + seed);
          return { graph, input: chanceInputs(graph, seededRandom(seed), runs) };
        });
        tensorsInTflm(jobs).forEach((want, index) => {
          const got = tensorsOnDevice(jobs[index]!);
          expect(got.length).toBe(want.length);
          expect(got.equals(want), `${kind} ${index}`).toBe(true);
        });
      },
      long ? 600_000 : 30_000,
    );
  });
});
