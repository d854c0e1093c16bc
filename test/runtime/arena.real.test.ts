import { expect, it } from 'vitest';
import { seededRandom } from '../../src/lib/core/index.js';
import type { Graph, OperatorName } from '../../src/lib/formats/index.js';
import { arenaBytes, planArena } from '../../src/lib/runtime/index.js';
import { architectures, quantized } from '../support/architectures.js';
import { chanceInputs } from '../support/every-tensor.js';
import { withInt16Activations } from '../support/int16x8.js';
import { oneOpGraphs } from '../support/one-op-graphs.js';
import { describeReal } from '../support/real.js';
import { runInPython } from '../support/tflite.js';

interface Arena {
  /** As TFLite Micro reports them, and the smallest arena in which it can be prepared and run. */
  head: number;
  tail: number;
  smallest: number;
}

const kinds = Object.keys(architectures) as (keyof typeof architectures)[];
const seeds = [100, 101, 102, 103];
const hasInt16 = ({ operators }: Graph) => operators.every(({ op }) => op !== 'REDUCE_MAX');
const int8 = () => kinds.flatMap((kind) => seeds.map((seed) => quantized(kind, seed)));
const families: Record<string, () => Graph[]> = {
  'int8 networks': int8,
  'int16x8 networks': () => int8().filter(hasInt16).map(withInt16Activations),
  'float32 networks': () =>
    kinds.flatMap((kind) => seeds.map((seed) => architectures[kind](seededRandom(seed)))),
  'one-operator files': () =>
    (Object.keys(oneOpGraphs) as OperatorName[]).flatMap((op) => {
      const random = seededRandom(12);
      return Array.from({ length: 6 }, () => oneOpGraphs[op]!(random));
    }),
};

describeReal('tflm', 'the planned arena against the one that TFLite Micro uses', () => {
  it.each(Object.keys(families))('%s work in it, and it is little larger than they need', (family) => {
    const graphs = families[family]!();
    const jobs = graphs.map((graph) => ({
      graph,
      input: chanceInputs(graph, seededRandom(1), 1),
      smallest: true,
    }));
    let most = 0;
    runInPython<Arena>('tflm', jobs).forEach(({ report }, index) => {
      const graph = graphs[index]!;
      const where = `${family} ${index}, ${graph.operators[0]!.op}`;
      const { head, tail } = planArena(graph);
      expect(head, where).toBe(report.head);
      expect(Math.abs(tail - report.tail) / report.tail, where).toBeLessThan(0.04);
      const planned = arenaBytes(graph);
      expect(planned, where).toBeGreaterThanOrEqual(report.head + report.tail);
      expect(planned, where).toBeGreaterThanOrEqual(report.smallest);
      expect(planned / report.smallest, where).toBeLessThan(1.2);
      most = Math.max(most, planned / report.smallest);
    });
    process.stderr.write(
      `${family}: ${graphs.length}, planned at most ${most.toFixed(3)} of the smallest that works\n`,
    );
  });
});
