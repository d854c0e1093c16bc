import { expect, it } from 'vitest';
import { seededRandom } from '../../src/lib/core/numbers.js';
import type { Graph } from '../../src/lib/formats/tflite/graph.js';
import { readTflite } from '../../src/lib/formats/tflite/read.js';
import { writeTflite } from '../../src/lib/formats/tflite/write.js';
import { long, tensorsInTflm, tensorsOnDevice } from '../support/every-tensor.js';
import {
  definedValues,
  frontEndGraphs,
  realFrontEndGraphs,
  soundInputs,
} from '../support/front-end-graphs.js';
import { expectRecorded } from '../support/judged.js';
import { inOneProcess } from '../support/one-process.js';
import { describeReal } from '../support/real.js';

const [files, runs] = long ? [200, 200] : [30, 20];

describeReal('tflm', 'the operators of the audio front end, compared with TFLite Micro', () => {
  const graphs = { ...frontEndGraphs, ...realFrontEndGraphs };
  const names = Object.keys(graphs);
  const answersTo = inOneProcess(
    names,
    (own) => {
      const random = seededRandom(71);
      return Array.from({ length: files }, () => {
        const graph = graphs[own]!(random);
        return { graph, input: soundInputs(graph, random, runs) };
      });
    },
    tensorsInTflm,
  );
  const judged: Graph[] = [];
  it.each(names)(
    '%s: matches bit for bit over consecutive runs',
    (own) => {
      answersTo(own).forEach(({ job, answer }, index) => {
        const defined = (all: Buffer) => definedValues(job.graph, all);
        expect(defined(tensorsOnDevice(job)).equals(defined(answer)), `${index}`).toBe(true);
        // A file does not contain the states, so the reader adds them.
        const read = { graph: readTflite(writeTflite(job.graph)), input: job.input };
        expect(defined(tensorsOnDevice(read)).equals(defined(answer)), `${index}, read`).toBe(true);
        judged.push(job.graph);
      });
    },
    long ? 600_000 : 240_000,
  );

  it('has judged the operators that docs/models.md lists', async () => {
    const counts = new Map<string, number>();
    for (const { operators } of judged)
      for (const { op } of operators) counts.set(op, (counts.get(op) ?? 0) + 1);
    const often = [...counts].filter(([op, count]) => op.startsWith('SIGNAL_') && count >= 20);
    await expectRecorded('signal.TFLM.front-end', often.map(([op]) => op) as never);
  });
});
