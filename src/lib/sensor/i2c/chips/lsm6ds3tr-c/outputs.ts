import type { World } from '../../simulated/chip.js';
import { toCounts } from '../../simulated/noise.js';
import { dpsPerCount, gramsPerCount } from './codec.js';
import { reg } from './registers.js';

/** Accelerometer samples that are not settled after a start, by ODR_XL (AN5130; LPF2 off). */
const accelerometerStart = [0, 0, 0, 1, 1, 1, 1, 1, 2, 3, 13];
/** ±g by FS_XL, ±dps by FS_G. */
const ranges = [2, 16, 4, 8];
const gyroscopeRanges = [250, 500, 1000, 2000];
/** Noise: 90 µg/√Hz and 5 mdps/√Hz, over a bandwidth of half of 104 Hz. */
const accelerometerNoise = 90e-6 * Math.sqrt(52);
const gyroscopeNoise = 5e-3 * Math.sqrt(52);
const marks = [0x7fff, 0x7ffe, 0x7ffd];

/** What the sensors put out: counts, in the output registers and for the FIFO. */
export class Outputs {
  readonly accelerometer = new Int16Array(3);
  readonly gyroscope = new Int16Array(3);
  temperature = 0;
  #accelerometerStart = 0;
  #gyroscopeStart = 0;

  constructor(
    private readonly registers: Uint8Array,
    readonly noise: (() => number) | null,
  ) {}

  startAccelerometer(code: number): void {
    this.#accelerometerStart = accelerometerStart[code] ?? 0;
  }

  /** 70 ms and three samples from power-down. */
  startGyroscope(rateHz: number): void {
    this.#gyroscopeStart = rateHz === 0 ? 0 : Math.ceil(0.07 * rateHz) + 3;
  }

  /** A sample of either or both. */
  take(world: World, accelerometer: boolean, gyroscope: boolean): void {
    const { registers } = this;
    if (accelerometer) {
      this.accelerate(world);
      this.publish(reg.OUTX_L_XL, this.accelerometer);
    }
    if (gyroscope) {
      this.turn(world);
      this.publish(reg.OUTX_L_G, this.gyroscope);
    }
    this.temperature = toCounts((world.temperature - 25) * 256);
    registers[reg.OUT_TEMP_L] = this.temperature & 0xff;
    registers[reg.OUT_TEMP_L + 1] = (this.temperature >> 8) & 0xff;
    registers[reg.STATUS_REG]! |= (accelerometer ? 0b101 : 0) | (gyroscope ? 0b110 : 0);
  }

  private accelerate(world: World): void {
    const { registers, accelerometer, noise } = this;
    const perG = 1 / gramsPerCount(ranges[(registers[reg.CTRL1_XL]! >> 2) & 3]!);
    const test = registers[reg.CTRL5_C]! & 3;
    const push = test === 1 ? 0.5 : test === 2 ? -0.5 : 0;
    const unit = (registers[reg.CTRL6_C]! & 0x08) === 0 ? 2 ** -10 : 2 ** -6;
    const spread = noise ? accelerometerNoise : 0;
    const x = world.ax + push + signed(registers[reg.X_OFS_USR]!) * unit + (noise ? noise() * spread : 0);
    const y = world.ay + push + signed(registers[reg.Y_OFS_USR]!) * unit + (noise ? noise() * spread : 0);
    const z = world.az + push - signed(registers[reg.Z_OFS_USR]!) * unit + (noise ? noise() * spread : 0);
    accelerometer[0] = toCounts(x * perG);
    accelerometer[1] = toCounts(y * perG);
    accelerometer[2] = toCounts(z * perG);
    if (this.#accelerometerStart > 0) this.mark(accelerometer, this.#accelerometerStart--);
  }

  private turn(world: World): void {
    const { registers, gyroscope, noise } = this;
    const control = registers[reg.CTRL2_G]!;
    const range = (control & 2) === 0 ? gyroscopeRanges[(control >> 2) & 3]! : 125;
    const perDps = 1 / dpsPerCount(range);
    const test = (registers[reg.CTRL5_C]! >> 2) & 3;
    const most = range === 2000 ? 400 : 50;
    const push = test === 1 ? most : test === 3 ? -most : 0;
    const spread = noise ? gyroscopeNoise : 0;
    gyroscope[0] = toCounts((world.gx + push + (noise ? noise() * spread : 0)) * perDps);
    gyroscope[1] = toCounts((world.gy + push + (noise ? noise() * spread : 0)) * perDps);
    gyroscope[2] = toCounts((world.gz + push + (noise ? noise() * spread : 0)) * perDps);
    if (this.#gyroscopeStart > 0) this.mark(gyroscope, this.#gyroscopeStart--);
  }

  /** With DRDY_MASK a filter that has not settled says so; without, it gives what it has: too little. */
  private mark(values: Int16Array, remaining: number): void {
    const masked = (this.registers[reg.CTRL4_C]! & 0x08) !== 0;
    for (let axis = 0; axis < 3; axis++)
      values[axis] = masked ? marks[remaining % 3]! : Math.round(values[axis]! / (1 + remaining));
  }

  private publish(register: number, values: Int16Array): void {
    for (let axis = 0; axis < 3; axis++) {
      this.registers[register + 2 * axis] = values[axis]! & 0xff;
      this.registers[register + 2 * axis + 1] = (values[axis]! >> 8) & 0xff;
    }
  }
}

/** A byte of two's complement. */
function signed(byte: number): number {
  return (byte << 24) >> 24;
}
