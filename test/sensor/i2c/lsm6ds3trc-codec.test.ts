import { describe, expect, it } from 'vitest';
import {
  celsius,
  counts,
  ctrl1,
  ctrl2,
  decodeSets,
  dpsPerCount,
  fifoStatus,
  gramsPerCount,
} from '../../../src/lib/sensor/i2c/chips/lsm6ds3tr-c.js';
import { patternOf } from '../../../src/lib/sensor/i2c/chips/lsm6ds3tr-c-simulator.js';

const word = (value: number) => counts(value & 0xff, value >> 8);

describe('the LSM6DS3TR-C codecs', () => {
  it.each([
    [0x4009, 1],
    [0x1669, 0.35],
    [0xbff7, -1],
  ])('decode word %i of the application note at ±2 g as %f g', (raw, g) => {
    expect(word(raw) * gramsPerCount(2)).toBeCloseTo(g, 3);
  });

  it.each([
    [0x2ca4, 100],
    [0xd35c, -100],
  ])('decode word %i of the application note at ±250 dps as %f dps', (raw, dps) => {
    expect(word(raw) * dpsPerCount(250)).toBeCloseTo(dps, 2);
  });

  it('decode the temperature from 25 °C at 256 counts per degree', () => {
    expect([0, 256, -256 * 40, 128].map(celsius)).toEqual([25, 26, -15, 25.5]);
  });

  it('encode rate and range in one byte, with range codes that are not in order', () => {
    expect([2, 4, 8, 16].map((range) => ctrl1(104, range))).toEqual([0x40, 0x48, 0x4c, 0x44]);
    expect(ctrl1(52, 4)).toBe(0x38);
    expect([125, 250, 500, 1000, 2000].map((range) => ctrl2(104, range))).toEqual([
      0x42, 0x40, 0x44, 0x48, 0x4c,
    ]);
  });

  it('use the data sheet’s sensitivities for every range', () => {
    expect([2, 4, 8, 16].map((range) => gramsPerCount(range) * 1e3)).toEqual([0.061, 0.122, 0.244, 0.488]);
    expect([125, 250, 500, 1000, 2000].map((range) => dpsPerCount(range) * 1e3)).toEqual([
      4.375, 8.75, 17.5, 35, 70,
    ]);
  });

  it.each([
    ['empty', [0x00, 0x10, 0, 0], { words: 0, empty: true, overrun: false, full: false }],
    ['3 words', [0x03, 0x00, 0, 0], { words: 3, empty: false, overrun: false, full: false }],
    ['full', [0xff, 0x27, 0, 0], { words: 2047, empty: false, overrun: false, full: true }],
    ['overwritten', [0x00, 0x60, 5, 0], { words: 0, empty: false, overrun: true, full: true, pattern: 5 }],
    ['no words and yet not empty', [0x00, 0x00, 0, 0], { words: 0, empty: false, overrun: true }],
    ['over its watermark', [0x4e, 0x80, 0x04, 0x01], { words: 78, watermark: true, pattern: 260 }],
  ])('decode the FIFO status: %s', (_, bytes, expected) => {
    expect(fifoStatus(Uint8Array.from(bytes))).toMatchObject(expected);
  });

  it('read the gyroscope before the accelerometer, and return it after the accelerometer', () => {
    const bytes = new Uint8Array(new Int16Array([1, 2, 3, 10, 20, 30]).buffer);
    const values = new Float64Array(6);
    decodeSets({ gyroscope: true, gramsPerCount: 0.5, dpsPerCount: 2 }, bytes, values, 0);
    expect([...values]).toEqual([5, 10, 15, 2, 4, 6]);
  });

  it('count saturated values', () => {
    const bytes = new Uint8Array(new Int16Array([32767, 0, -32767, 0, 0, 32764]).buffer);
    const layout = { gyroscope: false, gramsPerCount: 1, dpsPerCount: 1 };
    expect(decodeSets(layout, bytes, new Float64Array(6), 0)).toBe(2);
  });
});

describe('the FIFO pattern', () => {
  // The gyroscope, accelerometer, external sensor and time each have a sample every given number of ticks, as in
  // the examples of AN5130.
  it.each([
    ['the accelerometer alone', [0, 1, 0, 0], 3, [[1]]],
    ['both', [1, 1, 0, 0], 6, [[0, 1]]],
    ['gyroscope twice as fast', [1, 2, 0, 0], 9, [[0, 1], [0]]],
    ['gyroscope 104, accelerometer 208, magnetometer 52', [2, 1, 4, 0], 21, [[0, 1, 2], [1], [0, 1], [1]]],
    ['both and the time', [1, 1, 0, 1], 9, [[0, 1, 3]]],
  ])('follows the application note for %s', (_, every, words, ticks) => {
    expect(patternOf(every)).toEqual({ ticks, words });
  });
});
