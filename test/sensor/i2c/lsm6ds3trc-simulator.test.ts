import { beforeEach, describe, expect, it } from 'vitest';
import { seededRandom } from '../../../src/lib/core/numbers.js';
import { fifoStatus } from '../../../src/lib/sensor/i2c/chips/lsm6ds3tr-c.js';
import { Lsm6ds3trcSimulator } from '../../../src/lib/sensor/i2c/chips/lsm6ds3tr-c-simulator.js';
import { SimulatedNack, type World } from '../../../src/lib/sensor/i2c/simulated-chip.js';

/** At 104 Hz, a tick is slightly longer than 9.6 ms. */
const tickMs = 1000 / 104;

describe('a simulated LSM6DS3TR-C', () => {
  let chip: Lsm6ds3trcSimulator;
  let now = 0;
  let world: Partial<World>;
  const make = (odrError = 1) =>
    new Lsm6ds3trcSimulator({
      signal: (_, into) => Object.assign(into, world),
      beganMs: 0,
      odrError,
      random: seededRandom(1),
      noise: false,
    });
  const write = (register: number, ...bytes: number[]) => chip.write(register, Uint8Array.from(bytes), now);
  const read = (register: number, length = 1) => [...chip.read(register, length, now)];
  const status = () => fifoStatus(chip.read(0x3a, 4, now));
  const words = (count: number) => [...new Int16Array(Uint8Array.from(read(0x3e, 2 * count)).buffer)];
  /** Starts the accelerometer alone at 104 Hz and ±2 g, with a continuous FIFO. */
  const startAccelerometer = () => {
    write(0x12, 0x44);
    write(0x08, 0x01);
    write(0x10, 0x40);
    write(0x0a, 0x26);
  };

  beforeEach(() => {
    now = 0;
    world = { ax: 0.35, ay: -1, az: 1 };
    chip = make();
  });

  it('has its identity and its default register values', () => {
    expect([read(0x0f), read(0x12), read(0x10), read(0x3b)]).toEqual([[0x6a], [0x04], [0x00], [0x10]]);
  });

  it('does not acknowledge for 15 ms after power-up and after BOOT', () => {
    chip.unplug();
    expect(() => read(0x0f)).toThrow(SimulatedNack);
    chip.replug();
    expect(() => read(0x0f)).toThrow(SimulatedNack);
    now = 14.9;
    expect(() => read(0x0f)).toThrow(SimulatedNack);
    now = 15;
    expect(read(0x0f)).toEqual([0x6a]);
    write(0x12, 0x84);
    now = 29;
    expect(() => read(0x0f)).toThrow(SimulatedNack);
    now = 30;
    expect(read(0x12)).toEqual([0x04]);
  });

  it('returns to its defaults 50 µs after SW_RESET, when that bit clears', () => {
    write(0x10, 0x48);
    write(0x12, 0x01);
    expect(read(0x12)).toEqual([0x01]);
    now = 0.06;
    expect([read(0x12), read(0x10)]).toEqual([[0x04], [0x00]]);
  });

  it('outputs the application note’s words for 350 mg, −1 g, and 1 g', () => {
    write(0x10, 0x40);
    now = 10 * tickMs;
    expect(read(0x28, 6)).toEqual([0x69 + 1, 0x16, 0xf7, 0xbf, 0x09, 0x40]);
  });

  it('sets XLDA at each sample and clears it when a high byte is read', () => {
    write(0x10, 0x40);
    now = 3.5 * tickMs;
    expect(read(0x1e)[0]! & 1).toBe(1);
    read(0x28);
    expect(read(0x1e)[0]! & 1).toBe(1);
    read(0x2b);
    expect(read(0x1e)[0]! & 1).toBe(0);
    now = 4.5 * tickMs;
    expect(read(0x1e)[0]! & 1).toBe(1);
  });

  it('latches the high byte of a pair after its low byte is read, with BDU', () => {
    write(0x12, 0x44);
    write(0x10, 0x40);
    world.ax = 1;
    now = 5 * tickMs + 1;
    read(0x28);
    world.ax = -1;
    now += 3 * tickMs;
    expect(read(0x29)).toEqual([0x40]);
    expect(read(0x29)).toEqual([0xbf]);
  });

  it('does not advance to the next register without IF_INC', () => {
    write(0x12, 0x00);
    expect(read(0x0f, 3)).toEqual([0x6a, 0x6a, 0x6a]);
  });

  it('saturates at ±32767, and adds the user offsets, with z inverted', () => {
    world = { ax: 3, ay: -3, az: 0 };
    write(0x73, 0, 0, 64);
    write(0x10, 0x40);
    now = 5 * tickMs;
    const [x, y, z] = new Int16Array(Uint8Array.from(read(0x28, 6)).buffer);
    expect([x, y]).toEqual([32767, -32767]);
    expect(z).toBe(Math.round(-0.0625 / 0.061e-3));
  });

  it('moves by half a g and 400 dps in its self-tests', () => {
    world = {};
    write(0x10, 0x38, 0x5c);
    write(0x14, 0x05);
    now = 500;
    const g = new Int16Array(Uint8Array.from(read(0x22, 6)).buffer);
    const a = new Int16Array(Uint8Array.from(read(0x28, 6)).buffer);
    expect([...g].map((each) => each * 0.07)).toEqual(
      [399.98, 399.98, 399.98].map((v) => expect.closeTo(v, 1)),
    );
    expect([...a].map((each) => each * 0.122e-3)).toEqual([0.5, 0.5, 1.5].map((v) => expect.closeTo(v, 3)));
  });

  it('fills its FIFO one set per tick, and returns it word by word', () => {
    write(0x10, 0x40);
    now = 3.5 * tickMs;
    startAccelerometer();
    now += 3.5 * tickMs;
    expect(status()).toMatchObject({ words: 9, empty: false, pattern: 0 });
    words(1);
    expect(status()).toMatchObject({ words: 8, pattern: 1 });
    expect(words(5).slice(0, 2)).toEqual([-16393, 16393]);
    expect(words(3)[0]).toBe(5738);
    expect(status()).toMatchObject({ words: 0, empty: true, overrun: false });
  });

  it('repeats the last word when an empty FIFO is read', () => {
    startAccelerometer();
    now = 1.5 * tickMs;
    const [, , z] = words(3);
    expect(words(2)).toEqual([z, z]);
    expect(status()).toMatchObject({ words: 0, empty: true });
  });

  it('is full at 2046 words, and then overwrites, with DIFF 0 and EMPTY clear, until it is read', () => {
    startAccelerometer();
    now = 681.5 * tickMs;
    expect(status()).toMatchObject({ words: 2043, full: false });
    now = 682.5 * tickMs;
    expect(status()).toMatchObject({ words: 2046, full: true, overrun: false });
    now = 684.5 * tickMs;
    expect(status()).toMatchObject({ words: 0, empty: false, overrun: true, full: true });
    words(3);
    expect(status()).toMatchObject({ words: 2043, overrun: false, pattern: 0 });
  });

  it('simulates a week of overwriting in less than half a second', () => {
    write(0x12, 0x44);
    write(0x08, 0x0a);
    write(0x10, 0x40, 0x5c);
    write(0x0a, 0x2e);
    now = 7 * 86_400_000;
    const before = performance.now();
    expect(status()).toMatchObject({ words: 0, overrun: true });
    expect(performance.now() - before).toBeLessThan(500);
    expect([0, 3, 6]).toContain(status().pattern);
  });

  it('keeps the first samples in mode 001, up to the threshold with STOP_ON_FTH', () => {
    write(0x12, 0x44);
    write(0x06, 30);
    write(0x08, 0x01, 0x80);
    write(0x10, 0x40);
    write(0x0a, 0x21);
    now = 100.5 * tickMs;
    expect(status()).toMatchObject({ words: 30, watermark: true, overrun: false });
  });

  it('writes the pattern of two rates, gyroscope first', () => {
    world = { gx: 10, gy: 20, gz: 30, ax: 1, ay: 0.5, az: 0 };
    write(0x12, 0x44);
    write(0x08, 0x0a);
    write(0x10, 0x40, 0x5c);
    now = 300;
    write(0x0a, 0x2e);
    now = 300 + 4.5 * (1000 / 208);
    expect(status()).toMatchObject({ words: 18, pattern: 0 });
    const all = words(18);
    const g = [143, 286, 429];
    const a = [16393, 8197, 0];
    expect(all).toEqual([...g, ...a, ...g, ...g, ...a, ...g]);
  });

  it('writes time and temperature into the fourth FIFO set, in the byte order of the chip', () => {
    world = { temperature: 35 };
    write(0x12, 0x44);
    write(0x5c, 0x10);
    write(0x19, 0x20);
    write(0x07, 0x80);
    write(0x08, 0x01, 0x08);
    write(0x10, 0x40);
    write(0x0a, 0x26);
    now = 200 * tickMs + 1;
    words(199 * 6 + 3);
    const bytes = read(0x3e, 6);
    const time = (bytes[1]! << 16) | (bytes[0]! << 8) | bytes[3]!;
    expect(time * 0.025).toBeCloseTo(200 * tickMs, 1);
    expect(read(0x40, 3).reduce((sum, byte, i) => sum + byte * 256 ** i, 0)).toBe(Math.floor(now / 0.025));
    write(0x0a, 0x00);
    write(0x07, 0x08);
    write(0x0a, 0x26);
    now += 1.5 * tickMs;
    const third = read(0x3e, 12).slice(6);
    expect((third[3]! | (third[4]! << 8)) / 256 + 25).toBe(35);
  });

  it('marks unsettled samples with DRDY_MASK', () => {
    write(0x12, 0x44);
    write(0x13, 0x08);
    write(0x08, 0x09);
    write(0x10, 0x48, 0x4c);
    write(0x0a, 0x26);
    now = 20.5 * tickMs;
    const sets = Array.from({ length: 20 }, () => words(6));
    expect(sets.map((set) => (set[0]! >= 0x7ffd ? 'g' : '') + (set[3]! >= 0x7ffd ? 'a' : '')).join(' ')).toBe(
      `ga ${'g '.repeat(10)}`.concat(' '.repeat(8)),
    );
  });

  it('flags the FIFO content as undecodable if the rate changes while it contains data', () => {
    startAccelerometer();
    now = 5 * tickMs;
    expect(chip.violated).toBe(false);
    write(0x10, 0x50);
    expect(chip.violated).toBe(true);
  });

  it('samples faster by its rate error', () => {
    chip = make(1.02);
    startAccelerometer();
    now = 5000;
    expect(status().words / 3).toBe(Math.floor(5 * 104 * 1.02));
  });

  it('reports only the identity that it is given, and ignores writes to read-only registers', () => {
    chip.answerAs(0x6c);
    write(0x0f, 0x00);
    write(0x3a, 0xff);
    expect([read(0x0f), read(0x3a)]).toEqual([[0x6c], [0]]);
  });
});
