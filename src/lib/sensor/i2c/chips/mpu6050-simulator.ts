import { noiseOf, SimulatedChip, type SimulationOptions, toCounts } from '../simulated-chip.js';
import { dpsPerCount, factoryTrim, fifoBytes, gramsPerCount, reg } from './mpu6050.js';

/** Factory trim codes: accelerometer 16, 17, 18, gyroscope 12, 13, 14. */
const trimBytes = Uint8Array.of((4 << 5) | 12, (4 << 5) | 13, (4 << 5) | 14, (0 << 4) | (1 << 2) | 2);

/** Noise: 400 µg/√Hz and 5 mdps/√Hz over 44 Hz. */
const [noiseG, noiseDps] = [400e-6 * Math.sqrt(44), 5e-3 * Math.sqrt(44)];

/** Maximum number of samples that are computed at once. Earlier ones would be overwritten before they are read. */
const mostTicks = 1_000;

const readOnly = new Set<number>([reg.WHO_AM_I, reg.INT_STATUS, reg.FIFO_COUNTH, reg.FIFO_COUNTL]);

for (let r: number = reg.ACCEL_XOUT_H; r < reg.GYRO_XOUT_H + 6; r++) readOnly.add(r);

for (let r: number = reg.SELF_TEST_X; r <= reg.SELF_TEST_A; r++) readOnly.add(r);

/** A register-level MPU6050. */
export class Mpu6050Simulator extends SimulatedChip {
  readonly fifo = new ByteRing(fifoBytes);
  #identity = 0x68;
  #beganMs = 0;
  #ticks = 0;
  /** FIFO_COUNTL, which reading FIFO_COUNTH latches. */
  #heldCount = 0;
  readonly #noise: () => number;

  constructor(options: SimulationOptions) {
    super('mpu6050', 0x68, options);
    this.#noise = options.noise ? noiseOf(options.random) : () => 0;
    this.powerUp();
  }

  protected powerUp(): void {
    this.registers.fill(0);
    this.registers.set(trimBytes, reg.SELF_TEST_X);
    this.registers[reg.PWR_MGMT_1] = 0x40;
    this.registers[reg.WHO_AM_I] = this.#identity;
    this.fifo.clear();
  }

  answerAs(value: number): void {
    this.#identity = value;
    this.registers[reg.WHO_AM_I] = value;
  }

  protected advance(): void {
    if ((this.registers[reg.PWR_MGMT_1]! & 0x40) !== 0) return;
    const filter = this.registers[reg.CONFIG]! & 0b111;
    const baseHz = filter === 0 || filter === 7 ? 8000 : 1000;
    const rateHz = (baseHz / (1 + this.registers[reg.SMPLRT_DIV]!)) * this.options.odrError;
    const due = Math.floor(((this.nowMs - this.#beganMs) * rateHz) / 1000);
    // Data that would be overwritten is not computed. The FIFO still overruns.
    this.#ticks = Math.max(this.#ticks, due - mostTicks);
    while (this.#ticks < due) this.sample(this.#beganMs + (++this.#ticks * 1000) / rateHz);
  }

  private sample(atMs: number): void {
    const { registers } = this;
    const world = this.look(atMs);
    const [gyroscope, accelerometer] = [registers[reg.GYRO_CONFIG]!, registers[reg.ACCEL_CONFIG]!];
    const perG = 1 / gramsPerCount(2 << ((accelerometer >> 3) & 0b11));
    const perDps = 1 / dpsPerCount(250 << ((gyroscope >> 3) & 0b11));
    const trim = factoryTrim(trimBytes);
    const on = (config: number, axis: number) => ((config >> (7 - axis)) & 1) === 1;
    const words = [world.ax, world.ay, world.az].map((g, axis) => {
      // The factory's self-test response is specified at ±8 g and ±250 dps.
      const push = on(accelerometer, axis) ? (trim.accelerometer[axis]! * perG) / 4096 : 0;
      return toCounts((g + this.#noise() * noiseG) * perG + push);
    });
    words.push(toCounts((world.temperature - 36.53) * 340));
    for (const [axis, dps] of [world.gx, world.gy, world.gz].entries()) {
      const push = on(gyroscope, axis) ? (trim.gyroscope[axis]! * perDps) / 131 : 0;
      words.push(toCounts((dps + this.#noise() * noiseDps) * perDps + push));
    }
    for (const [word, value] of words.entries()) {
      registers[reg.ACCEL_XOUT_H + 2 * word] = (value >> 8) & 0xff;
      registers[reg.ACCEL_XOUT_H + 2 * word + 1] = value & 0xff;
    }
    registers[reg.INT_STATUS]! |= 0x01;
    this.fill();
  }

  /** Stores the outputs selected by FIFO_EN, in the order of their registers. */
  private fill(): void {
    if ((this.registers[reg.USER_CTRL]! & 0x40) === 0) return;
    const enabled = this.registers[reg.FIFO_EN]!;
    const parts = [
      [0x08, reg.ACCEL_XOUT_H, 6],
      [0x80, reg.TEMP_OUT_H, 2],
      [0x40, reg.GYRO_XOUT_H, 2],
      [0x20, reg.GYRO_XOUT_H + 2, 2],
      [0x10, reg.GYRO_XOUT_H + 4, 2],
    ] as const;
    for (const [bit, from, length] of parts) {
      if ((enabled & bit) === 0) continue;
      for (let at: number = from; at < from + length; at++) this.fifo.put(this.registers[at]!);
    }
    if (this.fifo.overflowed) this.registers[reg.INT_STATUS]! |= 0x10;
  }

  protected override load(register: number): number {
    switch (register) {
      case reg.FIFO_COUNTH:
        this.#heldCount = this.fifo.length;
        return this.#heldCount >> 8;
      case reg.FIFO_COUNTL:
        return this.#heldCount & 0xff;
      case reg.FIFO_R_W:
        return this.fifo.take();
      case reg.INT_STATUS: {
        const status = this.registers[register]!;
        this.registers[register] = 0;
        this.fifo.overflowed = false;
        return status;
      }
      default:
        return this.registers[register]!;
    }
  }

  /** A burst read of FIFO_R_W stays at that register. */
  protected override next(register: number): number {
    return register === reg.FIFO_R_W ? register : (register + 1) & 0xff;
  }

  protected store(register: number, value: number): void {
    if (readOnly.has(register)) return;
    if (register === reg.PWR_MGMT_1 && (value & 0x80) !== 0) {
      this.powerUp();
      return;
    }
    const slept = (this.registers[reg.PWR_MGMT_1]! & 0x40) !== 0;
    this.registers[register] = value;
    if (register === reg.USER_CTRL && (value & 0x04) !== 0) {
      this.fifo.clear();
      this.registers[register] = value & ~0x04;
    }
    const wakes = register === reg.PWR_MGMT_1 && slept && (value & 0x40) === 0;
    if (wakes || register === reg.SMPLRT_DIV || register === reg.CONFIG) {
      this.#beganMs = this.nowMs;
      this.#ticks = 0;
    }
  }
}

/** A FIFO that drops its oldest byte when full, and repeats its last byte when empty. */
export class ByteRing {
  readonly #bytes: Uint8Array;
  #from = 0;
  #length = 0;
  #last = 0;
  overflowed = false;

  constructor(private readonly capacity: number) {
    this.#bytes = new Uint8Array(capacity);
  }

  get length(): number {
    return this.#length;
  }

  clear(): void {
    this.#from = 0;
    this.#length = 0;
    this.overflowed = false;
  }

  put(byte: number): void {
    if (this.#length === this.capacity) {
      this.#from = (this.#from + 1) % this.capacity;
      this.#length--;
      this.overflowed = true;
    }
    this.#bytes[(this.#from + this.#length) % this.capacity] = byte;
    this.#length++;
  }

  take(): number {
    if (this.#length === 0) return this.#last;
    this.#last = this.#bytes[this.#from]!;
    this.#from = (this.#from + 1) % this.capacity;
    this.#length--;
    return this.#last;
  }
}
