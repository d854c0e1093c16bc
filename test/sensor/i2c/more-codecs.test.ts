import { describe, expect, it } from 'vitest';
import * as adxl from '../../../src/lib/sensor/i2c/chips/adxl345.js';
import {
  type Calibration,
  calibrationBlocks,
  compensate,
  compensateWhole,
  measureMs,
  parseCalibration,
  parseRaw,
} from '../../../src/lib/sensor/i2c/chips/bme280.js';
import {
  fifoStatus,
  parseTag,
  SampleAssembler,
  tagByte,
  tags,
  wordBytes,
} from '../../../src/lib/sensor/i2c/chips/lsm6dsox.js';
import { TaggedRing } from '../../../src/lib/sensor/i2c/chips/lsm6dsox-simulator.js';
import * as mpu from '../../../src/lib/sensor/i2c/chips/mpu6050.js';
import { ByteRing } from '../../../src/lib/sensor/i2c/chips/mpu6050-simulator.js';
import { fc, runs } from '../../support/property.js';

/** The example of Bosch's data sheet for temperature and pressure, with constants for humidity. */
const calibration: Calibration = {
  ...{ t1: 27504, t2: 26435, t3: -1000 },
  p: [36477, -10685, 3024, 2855, 140, -7, 15500, -14600, 6000],
  ...{ h1: 75, h2: 355, h3: 0, h4: 340, h5: 0, h6: 30 },
};
const raw = { temperature: 519_888, pressure: 415_148, humidity: 28_000 };

describe('the BME280 compensation', () => {
  it('matches the data sheet’s example in floating-point numbers', () => {
    const { temperature, pressure, humidity } = compensate(raw, calibration);
    expect(temperature).toBeCloseTo(25.0825, 4);
    expect(pressure).toBeCloseTo(100_653.258, 2);
    expect(humidity).toBeCloseTo(34.4102, 4);
  });

  it('matches the data sheet’s example in integers', () => {
    const { temperature, pressure, humidity } = compensateWhole(raw, calibration);
    expect(temperature).toBe(25.08);
    expect(pressure).toBe(100_653.28);
    expect(humidity).toBe(Math.floor(35_235) / 1024);
  });

  it('agrees in floating-point numbers and integers over the chip’s measuring range', () => {
    const raws = fc.record({
      temperature: fc.integer({ min: 390_000, max: 640_000 }),
      pressure: fc.integer({ min: 250_000, max: 620_000 }),
      humidity: fc.integer({ min: 22_000, max: 45_000 }),
    });
    fc.assert(
      fc.property(raws, (reading) => {
        const [real, whole] = [compensate(reading, calibration), compensateWhole(reading, calibration)];
        expect(Math.abs(real.temperature - whole.temperature)).toBeLessThan(0.02);
        expect(Math.abs(real.humidity - whole.humidity)).toBeLessThan(0.05);
        // Near the ends of the range, the integer calculation is not accurate.
        if (real.pressure > 30_000 && real.pressure < 110_000)
          expect(Math.abs(real.pressure - whole.pressure)).toBeLessThan(2);
      }),
    );
  });

  it('reads a calibration as the chip stores it, with shared bytes and signs', () => {
    const signed = fc.integer({ min: -32768, max: 32767 });
    const twelve = fc.integer({ min: -2048, max: 2047 });
    const byte = fc.integer({ min: 0, max: 255 });
    const any = fc.record({
      ...{ t1: fc.integer({ min: 0, max: 65535 }), t2: signed, t3: signed },
      p: fc.tuple(fc.integer({ min: 0, max: 65535 }), ...Array.from({ length: 8 }, () => signed)),
      ...{ h1: byte, h2: signed, h3: byte, h4: twelve, h5: twelve, h6: fc.integer({ min: -128, max: 127 }) },
    });
    fc.assert(
      fc.property(any, (wanted) => {
        const { first, second } = calibrationBlocks(wanted as unknown as Calibration);
        expect(parseCalibration(first, second)).toEqual(wanted);
      }),
    );
  });

  it('recognizes a skipped measurement', () => {
    expect(parseRaw(Uint8Array.of(0x65, 0x5a, 0xc0, 0x7e, 0xed, 0x00, 0x6d, 0x60))).toEqual(raw);
    expect(parseRaw(Uint8Array.of(0x65, 0x5a, 0xc0, 0x80, 0, 0, 0x6d, 0x60))).toBeUndefined();
    expect(parseRaw(Uint8Array.of(0x65, 0x5a, 0xc0, 0x7e, 0xed, 0, 0x80, 0))).toBeUndefined();
  });

  it('waits for the chip’s maximum measuring time', () => {
    expect(measureMs(1)).toBeCloseTo(9.3, 9);
  });
});

describe('MPU6050 values', () => {
  it('are big-endian, accelerometer before gyroscope', () => {
    const layout = {
      gyroscope: true,
      gramsPerCount: mpu.gramsPerCount(4),
      dpsPerCount: mpu.dpsPerCount(2000),
    };
    const into = new Float64Array(6);
    const bytes = Uint8Array.of(0x20, 0x00, 0xe0, 0x00, 0x7f, 0xff, 0x00, 0xa4, 0xff, 0x5c, 0x80, 0x00);
    expect(mpu.decodeSets(layout, bytes, into, 0)).toBe(2);
    expect([...into].map((value) => Math.round(value * 1000) / 1000)).toEqual([1, -1, 4, 10, -10, -1998.049]);
  });

  it('use the temperature scale of the register map', () => {
    expect(mpu.celsius(0)).toBe(36.53);
    expect(mpu.celsius(-3920)).toBeCloseTo(25, 2);
  });

  it('include the factory self-test response, decoded from its codes', () => {
    const trim = mpu.factoryTrim(Uint8Array.of((4 << 5) | 12, (0 << 5) | 1, 0, (1 << 4) | (1 << 2)));
    // 25·131·1.046^11, −25·131·1.046^0; 4096·0.34·(0.92/0.34)^(16/30), code 1.
    expect(trim.gyroscope.map(Math.round)).toEqual([5371, -3275, 0]);
    expect(trim.accelerometer.map((value) => Math.round(value))).toEqual([2368, 1393, 0]);
  });

  it('are filtered below half of the rate', () => {
    const hz = [256, 184, 94, 44, 21, 10, 5];
    for (const rate of [10, 20, 25, 40, 50, 100, 125, 200, 250, 500, 1000]) {
      expect(hz[mpu.filterCode(rate)]!, `${rate} Hz`).toBeLessThanOrEqual(Math.max(5, rate / 2));
    }
  });

  it('come from a FIFO that drops its oldest byte when full, and repeats its last one when empty', () => {
    const ring = new ByteRing(4);
    for (const byte of [1, 2, 3, 4, 5]) ring.put(byte);
    expect([ring.overflowed, ring.take(), ring.take(), ring.length]).toEqual([true, 2, 3, 2]);
    expect([ring.take(), ring.take(), ring.take()]).toEqual([4, 5, 5]);
  });
});

describe('ADXL345 values', () => {
  it('are little-endian, with 256 counts per g', () => {
    const into = new Float64Array(3);
    expect(adxl.decodeEntry(Uint8Array.of(0, 1, 0x80, 0xff, 0xff, 0x01), 2, into, 0)).toBe(1);
    expect([...into]).toEqual([1, -0.5, 511 / 256]);
  });

  it('have rates of 3200 Hz divided by powers of two', () => {
    expect([6.25, 12.5, 25, 50, 100, 200, 400, 800].map(adxl.rateCode)).toEqual([6, 7, 8, 9, 10, 11, 12, 13]);
    expect([6, 10, 15].map(adxl.rateOf)).toEqual([6.25, 100, 3200]);
  });
});

describe('tagged LSM6DSOX words', () => {
  const layout = { gyroscope: true, gramsPerCount: 1, dpsPerCount: 1 };

  /** Slots of gyroscope and accelerometer words, each with its slot number in every value. */
  function words(from: number, slots: number): Uint8Array[] {
    return Array.from({ length: slots }, (_, i) => from + i).flatMap((slot) =>
      [tags.gyroscope, tags.accelerometer].map((kind) => {
        const word = Buffer.alloc(wordBytes);
        word[0] = tagByte(kind, slot);
        for (let axis = 0; axis < 3; axis++) word.writeInt16LE(slot % 30_000, 1 + 2 * axis);
        return word;
      }),
    );
  }

  /** Pushes words in pieces of the given size. */
  function assemble(all: readonly Uint8Array[], piece = 4) {
    const assembler = new SampleAssembler(layout);
    const samples: number[][] = [];
    let broken = 0;
    for (let at = 0; at < all.length; at += piece) {
      const bytes = Buffer.concat(all.slice(at, at + piece));
      const into = new Float64Array(6 * (piece + 1));
      const done = assembler.push(bytes, into, 0, false);
      if (done.broken) broken++;
      for (let i = 0; i < done.count; i++) samples.push([...into.subarray(6 * i, 6 * i + 6)]);
    }
    return { samples, broken };
  }

  it('have a parity bit and a known kind', () => {
    expect(tagByte(tags.gyroscope, 0)).toBe(0b00001_00_1);
    expect(tagByte(tags.accelerometer, 3)).toBe(0b00010_11_1);
    expect(parseTag(0b00010_11_1)).toEqual({ kind: 2, slot: 3 });
    expect(parseTag(0b00010_11_0)).toBeUndefined();
    expect(parseTag(0)).toBeUndefined();
    expect(fifoStatus(Uint8Array.of(0x34, 0b0100_0001))).toEqual({ words: 0x134, overrun: true });
    expect(fifoStatus(Uint8Array.of(0, 0b0000_1010))).toEqual({ words: 512, overrun: true });
  });

  it('form every sample, wherever a read ends', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 60 }), fc.integer({ min: 1, max: 9 }), (slots, piece) => {
        const { samples, broken } = assemble(words(0, slots), piece);
        expect(broken).toBe(0);
        expect(samples).toEqual(Array.from({ length: slots }, (_, slot) => Array(6).fill(slot)));
      }),
    );
  });

  it('never mix two slots, and reveal missing slots, whatever words are lost or damaged', () => {
    const damage = fc.record({ at: fc.nat(79), what: fc.constantFrom('lost', 'flipped', 'twice') });
    fc.assert(
      fc.property(fc.array(damage, { minLength: 1, maxLength: 6 }), (damages) => {
        const all = words(0, 40).map((word) => [word]);
        for (const { at, what } of damages) {
          if (what === 'lost') all[at] = [];
          else if (what === 'twice') all[at] = all[at]!.flatMap((word) => [word, word]);
          else
            all[at] = all[at]!.map((word) =>
              Uint8Array.from(word, (byte, i) => (i === 0 ? byte ^ 0x04 : byte)),
            );
        }
        const { samples, broken } = assemble(all.flat());
        for (const sample of samples) expect(new Set(sample).size).toBe(1);
        const missing = 40 - new Set(samples.map(([slot]) => slot)).size;
        // The loss of the last slot is detected only when the next one arrives.
        const inside = Array.from({ length: 39 }, (_, slot) => slot).some(
          (slot) => !samples.some(([first]) => first === slot),
        );
        if (missing > 0 && inside && samples.some(([slot]) => slot! > 0)) expect(broken).toBeGreaterThan(0);
      }),
      { numRuns: runs(500) },
    );
  });

  it('form no sample while the chip settles, if they are not settled', () => {
    const assembler = new SampleAssembler(layout);
    const all = words(0, 3);
    Buffer.from(all[0]!.buffer, all[0]!.byteOffset, wordBytes).writeInt16LE(0x7fff, 1);
    const into = new Float64Array(30);
    expect(assembler.push(Buffer.concat(all), into, 0, true)).toMatchObject({ count: 2, broken: false });
    expect([...into.subarray(0, 6)]).toEqual(Array(6).fill(1));
  });

  it('come from a ring of 512 that reports an overrun once', () => {
    const ring = new TaggedRing();
    for (let slot = 0; slot < 300; slot++)
      ring.slot([
        [tags.gyroscope, Int16Array.of(slot, 0, 0)],
        [tags.accelerometer, Int16Array.of(slot, 0, 0)],
      ]);
    expect(ring.level).toBe(512);
    expect(ring.flags(100)).toBe(0b1110_1000);
    expect(ring.flags(100)).toBe(0b1110_0000);
    const word = Array.from({ length: wordBytes }, (_, i) => ring.byte(i));
    expect(parseTag(word[0]!)).toEqual({ kind: tags.gyroscope, slot: 44 % 4 });
    expect(word[1]).toBe(44);
    expect(ring.level).toBe(511);
  });
});
