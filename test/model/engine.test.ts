import { describe, expect, it } from 'vitest';
import { seededRandom } from '../../src/lib/core/numbers.js';
import type { FakeRange } from '../../src/lib/model/engine/types.js';
import { buildTrainable } from '../../src/lib/model/network/build.js';
import { trainableOf } from '../../src/lib/model/quantize/finetune.js';
import { architectures } from '../support/architectures.js';
import { compareEngines, losses, shapes } from '../support/engines.js';

describe('the built-in engine, compared with TensorFlow.js', () => {
  it.each(Object.keys(architectures) as (keyof typeof architectures)[])(
    'computes the same gradients and moments on random models of kind %s',
    async (kind) => {
      for (let seed = 0; seed < 6; seed++) {
        const trainable = trainableOf(architectures[kind](seededRandom(seed)));
        await compareEngines(trainable, losses[seed % 3]!, seed);
      }
    },
  );

  it.each(Object.entries(shapes))(
    'computes the same on %s for every loss',
    async (_name, [inputShape, layers]) => {
      for (const [seed, loss] of losses.entries()) {
        const output = { kind: 'value', count: 3 } as const;
        const trainable = buildTrainable({ kind: 'layers', inputShape, layers, output }, seed);
        await compareEngines(trainable, loss, seed);
      }
    },
  );

  it.each(Object.entries(shapes))(
    'computes the same on %s as the wasm backend',
    async (_name, [inputShape, layers]) => {
      const output = { kind: 'classes', count: 3 } as const;
      await compareEngines(
        buildTrainable({ kind: 'layers', inputShape, layers, output }, 1),
        'classes',
        1,
        'wasm',
      );
    },
  );

  it('computes the same with weights and activations rounded to int8', async () => {
    const [inputShape, layers] = shapes.cnn1d!;
    const trainable = buildTrainable(
      { kind: 'cnn1d', inputShape, layers, output: { kind: 'classes', count: 3 } },
      2,
    );
    // No scale is a simple multiple of another, so that no value is exactly halfway between two integers.
    const range = (index: number): FakeRange => {
      return { scale: 0.02 + 0.00137 * index, zeroPoint: -20, least: -128, most: 127 };
    };
    const outputs = trainable.graph.operators.flatMap((operator) => operator.outputs);
    const activations = new Map(
      [...trainable.graph.inputs, ...outputs].map((index) => [index, range(index)]),
    );
    const fakeQuant = { weights: true, activations };
    const { ours } = await compareEngines(trainable, 'classes', 4, 'cpu', { fakeQuant }, [8]);
    const { scale } = range(trainable.graph.outputs[0]!);
    for (const value of ours.outputs)
      expect(Math.abs(value / scale - Math.round(value / scale))).toBeLessThan(1e-3);
  });
});
