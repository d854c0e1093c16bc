import { expect, it } from 'vitest';
import { seededRandom } from '../../src/lib/core/numbers.js';
import { createInterpreter } from '../../src/lib/runtime/interpreter/interpreter.js';
import { inputSize } from '../support/architectures.js';
import { runEmittedC } from '../support/emitted-c.js';
import { chanceInputs, long } from '../support/every-tensor.js';
import { frontEndGraphs, realFrontEndGraphs, smallFrontEnds } from '../support/front-end-graphs.js';
import { compareFrontEnds } from '../support/front-end-outputs.js';
import { conversionsGraph, requantizedGraph } from '../support/integer-op-graphs.js';
import { expectRecorded } from '../support/judged.js';
import { describeReal } from '../support/real.js';

const size = long ? ([40, 200] as const) : ([2, 20] as const);
const bounded = { timeout: long ? 1_200_000 : 240_000 };
const sanitized = ['-O1', '-fsanitize=address,undefined', '-fno-sanitize-recover=all'];

describeReal('cc', 'generated C of the audio front end', () => {
  it.each(['-O2', '-O3 -DMODEL_WIDE=0', sanitized.join(' ')])(
    'matches the interpreter on networks with int8 inputs and outputs, compiled with %s',
    bounded,
    async (flags) => {
      const random = seededRandom(7);
      const others = [requantizedGraph, requantizedGraph, conversionsGraph, conversionsGraph];
      const jobs = [...Object.values(smallFrontEnds), ...others, ...others].map((make) => {
        const graph = make(random);
        return { graph, input: chanceInputs(graph, random, 30) as Int8Array };
      });
      const ours = await runEmittedC(jobs, flags.split(' '));
      jobs.forEach(({ graph, input }, index) => {
        const interpreter = createInterpreter(graph);
        const step = inputSize(graph);
        const expected: number[] = [];
        for (let at = 0; at < input.length; at += step)
          expected.push(...interpreter.invoke(input.subarray(at, at + step)));
        expect([...ours[index]!], `${index}`).toEqual(expected);
      });
    },
  );

  describeReal('tflm', 'compared with TFLite Micro', () => {
    const judged = new Map<string, number>();

    it.each(Object.keys({ ...frontEndGraphs, ...realFrontEndGraphs }))(
      '%s: computes every tensor of consecutive steps bit for bit',
      bounded,
      async (name) => {
        const graphs = await compareFrontEnds(name, size, (networks) => runEmittedC(networks, sanitized));
        for (const { operators } of graphs)
          for (const { op } of operators) judged.set(op, (judged.get(op) ?? 0) + 1);
      },
    );

    it('has judged every operator of the front end', async () => {
      const often = [...judged].filter(([op, count]) => op.startsWith('SIGNAL_') && count >= 2);
      await expectRecorded('c.TFLM.front-end', often.map(([op]) => op) as never);
    });
  });
});
