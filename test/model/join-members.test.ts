import { describe, expect, it } from 'vitest';
import type { Graph } from '../../src/lib/formats/tflite/graph.js';
import { joinMembers } from '../../src/lib/model/engine/members.js';
import { buildTrainable } from '../../src/lib/model/network/build.js';
import { layersOf } from '../../src/lib/model/network/layers.js';
import { finishGraph } from '../../src/lib/model/train/learn.js';
import { createInterpreter } from '../../src/lib/runtime/interpreter/interpreter.js';

function member(seed: number, layers: number[], inputs = 5): Graph {
  const spec = {
    kind: 'mlp' as const,
    inputShape: [inputs],
    layers: layersOf('mlp', layers, [inputs]),
    output: { kind: 'classes' as const, count: 3 },
  };
  return buildTrainable(spec, seed).graph;
}

const answer = (graph: Graph, row: Float32Array) =>
  Array.from(createInterpreter(graph).invoke(row) as Float32Array);
const row = Float32Array.from([0.3, -1.2, 0.8, 2, -0.4]);

describe('joining ensemble members', () => {
  it.each([[[4]], [[6, 4]], [[8, 6, 4]]])('averages their outputs, with the layers %j', (layers) => {
    const members = [1, 2, 3].map((seed) => member(seed, layers));
    const each = members.map((graph) => answer(graph, row));
    const joined = joinMembers(members);
    answer(joined, row).forEach((value, c) => {
      expect(value).toBeCloseTo((each[0]![c]! + each[1]![c]! + each[2]![c]!) / 3, 5);
    });
    expect(joined.operators).toHaveLength(members[0]!.operators.length);
  });

  it('leaves the members unchanged, and yields a graph that can be finished', () => {
    const members = [1, 2].map((seed) => member(seed, [4]));
    const before = members.map((graph) => answer(graph, row));
    const finished = finishGraph(joinMembers(members), { ending: 'SOFTMAX' });
    expect(answer(finished, row).reduce((a, b) => a + b, 0)).toBeCloseTo(1, 5);
    expect(members.map((graph) => answer(graph, row))).toEqual(before);
  });

  it('returns a single member unchanged, and rejects an empty list or members of different sizes', () => {
    const one = member(1, [4]);
    expect(joinMembers([one])).toBe(one);
    expect(() => joinMembers([])).toThrow('it is missing');
    expect(() => joinMembers([one, member(2, [6])])).toThrow('have different sizes');
  });

  it('rejects layers other than dense ones', () => {
    const windows = buildTrainable(
      {
        kind: 'cnn1d',
        inputShape: [16, 3],
        layers: layersOf('cnn1d', [4], [16, 3]),
        output: { kind: 'classes', count: 2 },
      },
      1,
    ).graph;
    expect(() => joinMembers([windows, windows])).toThrow(
      expect.objectContaining({ code: 'AIOT_MODEL_UNFIT' }),
    );
  });
});
