import { describe, expect, it } from 'vitest';
import { nativePart } from '../../src/lib/core/process.js';

describe('a package with native code', () => {
  it('returns its exports if it loads', async () => {
    expect(await nativePart('one', async () => ({ answer: 42 }))).toEqual({ answer: 42 });
  });

  it('is named with the system and the cause if it does not load', async () => {
    const cause = new Error('No native build was found for platform=linux\n    loaded from: /somewhere');
    const loading = nativePart('serialport', () => Promise.reject(cause));
    await expect(loading).rejects.toMatchObject({ code: 'AIOT_NATIVE_PART', cause });
    await expect(loading).rejects.toThrow(
      `serialport does not load on this system (${process.platform} on ${process.arch}, Node ${process.versions.node}): No native build was found for platform=linux`,
    );
  });
});
