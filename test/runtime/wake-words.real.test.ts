import { expect, it } from 'vitest';
import { seededRandom } from '../../src/lib/core/numbers.js';
import { importTflite } from '../../src/lib/formats/tflite/read.js';
import { createInterpreter } from '../../src/lib/runtime/interpreter/interpreter.js';
import { tensorsInTflm, tensorsOnDevice } from '../support/every-tensor.js';
import { expectRecorded, operatorsOn } from '../support/judged.js';
import { describeReal } from '../support/real.js';
import { runInPython } from '../support/tflite.js';
import { spectra, steps, wakeWords } from '../support/wake-words.js';

describeReal('wakeword', 'real streaming wake-word models', () => {
  describeReal('tflm', 'compared with TFLite Micro', () => {
    it(`produce the same outputs over ${steps} steps, read and written again`, async () => {
      const models = wakeWords();
      expect(models).toHaveLength(4);
      const jobs = models.flatMap(({ name, file }) => {
        const { graph, notes } = importTflite(file);
        expect(notes.join(), name).toContain('uint8 in the file');
        const input = spectra(seededRandom(7));
        return [
          { name, graph: file, input, uint8: true },
          { name, graph, input, uint8: false },
        ];
      });
      const answers = runInPython(
        'tflm',
        jobs.map(({ graph, input }) => ({ graph, input })),
      );
      jobs.forEach(({ name, graph, input, uint8 }, index) => {
        const read = graph instanceof Uint8Array ? importTflite(graph).graph : graph;
        const interpreter = createInterpreter(read);
        const ours = Int8Array.from({ length: steps }, (_, step) => {
          const taken = input.subarray(step * 120, (step + 1) * 120);
          return interpreter.invoke(taken)[0]! + (uint8 ? 128 : 0);
        });
        expect(ours, `${name} ${index}`).toEqual(answers[index]!.output);
      });
      const graphs = models.map(({ file }) => importTflite(file).graph);
      await expectRecorded('read.TFLM.wake-words', operatorsOn('int8', graphs, 1));
    });

    it('produce the same values in every tensor', () => {
      const jobs = wakeWords().map(({ file }) => ({
        graph: importTflite(file).graph,
        input: spectra(seededRandom(8)),
      }));
      const answers = tensorsInTflm(jobs);
      jobs.forEach((job, index) => {
        expect(tensorsOnDevice(job).equals(answers[index]!), job.graph.name).toBe(true);
      });
    });
  });
});
