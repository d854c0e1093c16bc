import { setFlagsFromString } from 'node:v8';
import { describe, it } from 'vitest';

/**
 * The tests of compiled operators with products and sums in one instruction, for which their kernels have other blocks. Node 20 has this
 * instruction behind a flag; on later versions, compiled.test.ts itself tests them.
 */
if (process.versions.node.startsWith('20.')) {
  setFlagsFromString('--experimental-wasm-relaxed-simd');
  await import('./compiled.test.js');
} else {
  describe('compiled operators with fused products', () => {
    it.skip('are tested by compiled.test.ts', () => {});
  });
}
