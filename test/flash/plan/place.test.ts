import { describe, expect, it } from 'vitest';
import { offsetOf, parsePlaced, resolvePlace } from '../../../src/lib/flash/plan/pieces.js';
import { twoSlots } from './support.js';

describe('FILE@OFFSET', () => {
  it.each<[string, { file: string; place: number | string | null }]>([
    ['app.bin@0x10000', { file: 'app.bin', place: 0x10000 }],
    ['app.bin@65536', { file: 'app.bin', place: 65536 }],
    ['app.bin@64K', { file: 'app.bin', place: 65536 }],
    ['app.bin@1M', { file: 'app.bin', place: 1024 * 1024 }],
    ['me@home/app.bin@0x0', { file: 'me@home/app.bin', place: 0 }],
    ['app.bin@ota_0', { file: 'app.bin', place: 'ota_0' }],
    ['merged.hex', { file: 'merged.hex', place: null }],
  ])('%s', (text, expected) => {
    expect(parsePlaced(text)).toEqual(expected);
  });

  it.each(['app.bin@', '@0x1000', 'app.bin@0x1g', 'app.bin@-4', 'app.bin@0x100000000', 'app.bin@4G'])(
    '%s is rejected',
    (text) => {
      expect(() => parsePlaced(text)).toThrow(`expected FILE@OFFSET such as app.bin@0x10000, got "${text}"`);
    },
  );

  it('accepts numbers in hexadecimal, decimal or with a K suffix, and rejects malformed ones', () => {
    expect(['0X1F', '16k', ' 8 '].map(offsetOf)).toEqual([31, 16384, 8]);
    expect(['', '1.5K', '1e3', '0x', 'K'].map(offsetOf)).toEqual([null, null, null, null, null]);
  });

  it('resolves names from the chip or the partition table', () => {
    const known = { table: twoSlots, from: 'board' as const };
    expect(resolvePlace('app1', 'esp32', known)).toBe(0x110000);
    expect(resolvePlace('bootloader', 'esp32p4', null)).toBe(0x2000);
    expect(resolvePlace('partition-table', 'esp32', null)).toBe(0x8000);
  });
});
