import { expect, it } from 'vitest';
import { gaussian, seededRandom } from '../../src/lib/core/numbers.js';
import { elementCount, type Graph } from '../../src/lib/formats/tflite/graph.js';
import { quantizeGraph } from '../../src/lib/model/quantize/graph/quantize-graph.js';
import { chanceInputs, tensorsInTflm, tensorsOnDevice } from '../support/every-tensor.js';
import { lstmNetwork, svdfNetwork } from '../support/float-network.js';
import { describeReal } from '../support/real.js';

function rowsFor(graph: Graph): Float32Array[] {
  const random = seededRandom(7);
  const length = elementCount(graph.tensors[graph.inputs[0]!]!.shape);
  return Array.from({ length: 80 }, () => Float32Array.from({ length }, () => gaussian(random)));
}

describeReal('tflm', 'quantized recurrent layers in TFLite Micro', () => {
  it.each([
    ['LSTM', 'int8', lstmNetwork],
    ['LSTM', 'int16x8', lstmNetwork],
    ['SVDF', 'int8', svdfNetwork],
  ] as const)('%s in %s: every tensor is identical over 40 steps, in 20 models', (_name, mode, make) => {
    const jobs = Array.from({ length: 20 }, (_, seed) => {
      const float = make(seededRandom(200 + seed));
      const { graph } = quantizeGraph(float, rowsFor(float), { mode });
      return { graph, input: chanceInputs(graph, seededRandom(seed), 40) };
    });
    const theirs = tensorsInTflm(jobs);
    jobs.forEach((job, index) => {
      expect(tensorsOnDevice(job).equals(theirs[index]!), `model ${index}`).toBe(true);
    });
  });
});
