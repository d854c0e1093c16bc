import { setFlagsFromString } from 'node:v8';
import { expect, it } from 'vitest';
import { hasFusedProducts } from '../../src/lib/runtime/compiled/assembler.js';

/**
 * The tests of compiled operators with products and sums in one instruction, for which their kernels have other blocks. Node 20 has this
 * instruction behind a flag; on later versions, compiled.test.ts itself tests them.
 */
if (process.versions.node.startsWith('20.')) {
  setFlagsFromString('--experimental-wasm-relaxed-simd');
  await import('./compiled.test.js');
}

it('Node has fused products', () => {
  expect(hasFusedProducts()).toBe(true);
});
