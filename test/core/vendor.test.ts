import { describe, expect, it } from 'vitest';
import { vendoredFile } from '../../src/lib/core/folders.js';

describe('a bundled file of another package', () => {
  it('is decompressed', async () => {
    const wasm = await vendoredFile('litert_wasm_compat_internal.wasm.gz');
    expect([...wasm.subarray(0, 4)]).toEqual([0, ...Buffer.from('asm')]);
    expect(wasm.length).toBeGreaterThan(9e6);
  });

  it('is reported if it is missing', async () => {
    await expect(vendoredFile('absent.tflite')).rejects.toMatchObject({ code: 'AIOT_FILE_NOT_FOUND' });
  });
});
