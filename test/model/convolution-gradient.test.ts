import { describe, expect, it, vi } from 'vitest';
import { loadTfjs } from '../../src/lib/model/engine/tfjs/load.js';

/** The reference is TensorFlow's own CPU backend. Its hint about tfjs-node is suppressed. */
async function gradients(x: number[], filter: number[], stride: number, pad: 'same' | 'valid') {
  const { tf } = await loadTfjs('wasm');
  vi.spyOn(console, 'warn').mockImplementation(() => {});
  const size = (shape: number[]) => shape.reduce((a, b) => a * b, 1);
  const values = (shape: number[], seed: number) =>
    Float32Array.from({ length: size(shape) }, (_, i) => Math.sin(seed + i * 1.7));
  const results: Float32Array[] = [];
  for (const backend of ['cpu', 'wasm']) {
    await tf.setBackend(backend);
    const input = tf.tensor4d(values(x, 1), x as [number, number, number, number]);
    const weights = tf.tensor4d(values(filter, 2), filter as [number, number, number, number]);
    const gradient = tf.grad((w) => tf.sum(tf.square(tf.conv2d(input, w as typeof weights, stride, pad))))(
      weights,
    );
    results.push(Float32Array.from(gradient.dataSync()));
    tf.dispose([input, weights, gradient]);
  }
  await tf.setBackend('wasm');
  return results as [Float32Array, Float32Array];
}

describe('the gradient of a convolution on the wasm backend', () => {
  it.each([
    ['over time, same padding', [4, 1, 20, 3], [1, 5, 3, 8], 1, 'same'],
    ['over time, no padding', [2, 1, 16, 2], [1, 3, 2, 4], 1, 'valid'],
    ['in two dimensions', [2, 7, 9, 3], [3, 3, 3, 5], 1, 'same'],
    ['with a stride', [2, 8, 10, 2], [3, 5, 2, 4], 2, 'same'],
    ['with a stride, no padding', [1, 9, 9, 1], [3, 3, 1, 2], 3, 'valid'],
    ['of one tap', [3, 4, 4, 6], [1, 1, 6, 2], 1, 'same'],
  ] as const)('matches the cpu backend %s', async (_name, x, filter, stride, pad) => {
    const [cpu, wasm] = await gradients([...x], [...filter], stride, pad);
    const largest = Math.max(...cpu.map(Math.abs));
    for (const [i, value] of cpu.entries()) {
      expect(Math.abs(wasm[i]! - value) / largest).toBeLessThan(1e-5);
    }
  });
});

describe('loading TensorFlow.js', () => {
  it('installs no process-wide error handler', async () => {
    await loadTfjs('wasm');
    const own = process.rawListeners('uncaughtException').filter((f) => String(f).includes('ExitStatus'));
    expect(own).toEqual([]);
  });
});
