import { expect, it } from 'vitest';
import { seededRandom } from '../../src/lib/core/numbers.js';
import { type Graph, hasFrontEnd, type OperatorName } from '../../src/lib/formats/tflite/graph.js';
import { arenaBytes, planArena } from '../../src/lib/runtime/arena.js';
import { architectures, quantizedOf, severalEnds } from '../support/architectures.js';
import { engineKinds } from '../support/engine-kinds.js';
import { chanceInputs, long } from '../support/every-tensor.js';
import { frontEndGraphs, soundInputs } from '../support/front-end-graphs.js';
import { withInt16Activations } from '../support/int16x8.js';
import { oneOpGraphs } from '../support/one-op-graphs.js';
import { describeReal } from '../support/real.js';
import { runInPython } from '../support/tflite.js';

/** Models built by hand, and models described by aiot.yaml. */
const makers = { ...architectures, ...severalEnds, ...engineKinds };

interface Arena {
  /** Sizes as reported by TFLite Micro. */
  head: number;
  tail: number;
  /** Whether the model can be prepared and run in the planned arena, and in one that is a sixth smaller. */
  works: boolean[];
  /** The smallest arena that works; determined only with AIOT_LONG=1. */
  smallest: number | null;
}

const kinds = Object.keys(makers) as (keyof typeof makers)[];
const seeds = long ? [100, 101, 102, 103, 104] : [100, 101, 102];
const hasInt16 = ({ operators }: Graph) => operators.every(({ op }) => op !== 'REDUCE_MAX');
const int8 = () => kinds.flatMap((kind) => seeds.map((seed) => quantizedOf(makers[kind], seed)));
const families: Record<string, () => Graph[]> = {
  'int8 networks': int8,
  'int16x8 networks': () => int8().filter(hasInt16).map(withInt16Activations),
  'float32 networks': () => kinds.flatMap((kind) => seeds.map((seed) => makers[kind](seededRandom(seed)))),
  'one-operator files': () =>
    (Object.keys(oneOpGraphs) as OperatorName[]).flatMap((op) => {
      const random = seededRandom(12);
      return Array.from({ length: 6 }, () => oneOpGraphs[op]!(random));
    }),
  'the audio front end': () =>
    Object.values(frontEndGraphs).flatMap((make) => {
      const random = seededRandom(13);
      return Array.from({ length: 4 }, () => make(random));
    }),
};

describeReal('tflm', 'the planned arena, compared with TFLite Micro’s', () => {
  it.each(Object.keys(families))('fits %s, and is little larger than needed', (family) => {
    const graphs = families[family]!();
    const jobs = graphs.map((graph) => {
      const planned = arenaBytes(graph);
      const arenas = [planned, Math.floor(planned / 1.2)];
      if (!hasFrontEnd(graph))
        return { graph, input: chanceInputs(graph, seededRandom(1), 1), arenas, smallest: long };
      // A small file with a large Fourier transform needs more than the default arena.
      return { graph, input: soundInputs(graph, seededRandom(1), 1), arenas, arena: 2 ** 20 };
    });
    const most = { spare: 0 };
    runInPython<Arena>('tflm', jobs).forEach(({ report }, index) => {
      const graph = graphs[index]!;
      const where = `${family} ${index}, ${graph.operators[0]!.op}`;
      const { head, tail } = planArena(graph);
      expect(head, where).toBe(report.head);
      expect(Math.abs(tail - report.tail) / report.tail, where).toBeLessThan(0.04);
      expect(arenaBytes(graph), where).toBeGreaterThanOrEqual(report.head + report.tail);
      expect(report.works, where).toEqual([true, false]);
      if (report.smallest) most.spare = Math.max(most.spare, arenaBytes(graph) / report.smallest);
    });
    if (long)
      process.stderr.write(`${family}: ${graphs.length}, at most ${most.spare.toFixed(3)} of what works\n`);
  });
});
