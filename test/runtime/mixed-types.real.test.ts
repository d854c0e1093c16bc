import { expect, it } from 'vitest';
import { type Random, seededRandom } from '../../src/lib/core/numbers.js';
import { elementCount, type Graph } from '../../src/lib/formats/tflite/graph.js';
import { importTflite } from '../../src/lib/formats/tflite/read.js';
import { withRealValues } from '../../src/lib/formats/tflite/real-values.js';
import { writeTflite } from '../../src/lib/formats/tflite/write.js';
import { runEmittedC } from '../support/emitted-c.js';
import { chanceInputs, long, tensorsIn, tensorsOnDevice } from '../support/every-tensor.js';
import { mixedTypeGraphs, mixedTypeJobs } from '../support/mixed-type-graphs.js';
import { oneOpGraphs } from '../support/one-op-graphs.js';
import { describeReal } from '../support/real.js';
import { runInPython } from '../support/tflite.js';

const [files, runs] = long ? [100, 500] : [20, 20];

/** A TRANSPOSE_CONV whose output shape is the model's second input. */
function sizedByInput(random: Random, type: 'int8' | 'int16' | 'float32'): Graph {
  const made = oneOpGraphs.TRANSPOSE_CONV!(random, type === 'int16' ? 'int16' : 'int8');
  const graph = type === 'float32' ? withRealValues(made) : made;
  const size = graph.operators[0]!.inputs[0]!;
  const tensors = graph.tensors.map(({ data, ...rest }, index) =>
    index === size || data === undefined ? rest : { ...rest, data },
  );
  return { ...graph, tensors, inputs: [...graph.inputs, size] };
}

describeReal('tflm', 'a TRANSPOSE_CONV whose output shape is an input', () => {
  it.each(['int8', 'int16', 'float32'] as const)('matches TFLite Micro bit for bit: %s', (type) => {
    const random = seededRandom(71);
    const jobs = Array.from({ length: files }, (_, seed) => {
      const file = writeTflite(sizedByInput(random, type));
      const { graph, notes } = importTflite(file);
      expect(notes.join()).toContain(
        'it only sets the output shape of a TRANSPOSE_CONV, which the file fixes',
      );
      return { file, graph, input: chanceInputs(graph, seededRandom(seed), runs) };
    });
    // TFLite Micro does not read the second input, so this test does not set it.
    const answers = runInPython(
      'tflm',
      jobs.map(({ file, input }) => ({ graph: file, input })),
    );
    answers.forEach(({ output }, index) => {
      const { graph, input } = jobs[index]!;
      const [x, y] = [graph.inputs[0]!, graph.outputs[0]!].map((place) => graph.tensors[place]!.shape);
      expect(graph.inputs).toHaveLength(1);
      expect(output.length).toBeGreaterThanOrEqual((elementCount(y!) * input.length) / elementCount(x!));
      expect(tensorsOnDevice({ graph, input }).equals(Buffer.from(output.buffer)), `${index}`).toBe(true);
    });
  });
});

describeReal('tflm', 'operators that yield another integer type than they read', () => {
  const jobs = Object.keys(mixedTypeGraphs).map((name) => mixedTypeJobs(name, seededRandom(72), files, runs));

  it('match TFLite Micro bit for bit', () => {
    const all = jobs.flat();
    const wrong = tensorsIn('tflm', all).flatMap((want, index) =>
      tensorsOnDevice(all[index]!).equals(want) ? [] : [`${all[index]!.name} ${index % files}`],
    );
    expect(wrong).toEqual([]);
  });

  describeReal('cc', 'as generated C', () => {
    it('match TFLite Micro bit for bit', async () => {
      const all = jobs.flatMap((own) => own.slice(0, long ? files : 4));
      const answers = runInPython('tflm', all);
      const ours = await runEmittedC(all, [
        '-O2',
        '-fsanitize=address,undefined',
        '-fno-sanitize-recover=all',
      ]);
      const wrong = ours.flatMap((output, index) =>
        Buffer.from(output.buffer).equals(Buffer.from(answers[index]!.output.buffer))
          ? []
          : [`${all[index]!.name} ${index}`],
      );
      expect(wrong).toEqual([]);
    }, 240_000);
  });
});
