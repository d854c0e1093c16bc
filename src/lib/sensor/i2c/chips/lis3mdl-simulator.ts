import { noiseOf, SimulatedChip, type SimulationOptions, toCounts } from '../simulated-chip.js';
import { fastHz, gaussPerCount, increment, rangesGauss, reg, slowHz } from './lis3mdl.js';

const readOnly = new Set<number>([reg.WHO_AM_I, reg.STATUS_REG]);

for (let r: number = reg.OUT_X_L; r <= reg.TEMP_OUT_L + 1; r++) readOnly.add(r);

const last = reg.OUT_X_L + 5;
const resetMs = 0.05;

/** Noise in the mode with the lowest noise, gauss RMS. */
const noiseGauss = 3.5e-3;

/** Field that the chip's coil adds in a self-test, gauss. */
const coil = [2, 2, 0.5] as const;

/** A register-level LIS3MDL. */
export class Lis3mdlSimulator extends SimulatedChip {
  readonly #noise: () => number;
  #identity = 0x3d;
  #resetMs = 0;
  #beganMs = 0;
  #ticks = 0;
  /** Interval between samples, ms; 0 = powered down. */
  #tickMs = 0;
  #increments = false;
  readonly #held = new Map<number, number>();

  constructor(options: SimulationOptions) {
    super('lis3mdl', 0x1c, options);
    this.#noise = options.noise ? noiseOf(options.random) : () => 0;
    this.powerUp();
  }

  protected powerUp(): void {
    this.registers.fill(0);
    this.registers[reg.WHO_AM_I] = this.#identity;
    this.registers[reg.CTRL_REG1] = 0x10;
    this.registers[reg.CTRL_REG3] = 0x03;
    this.#tickMs = 0;
    this.#held.clear();
  }

  answerAs(value: number): void {
    this.#identity = value;
    this.registers[reg.WHO_AM_I] = value;
  }

  protected advance(): void {
    if (this.#resetMs > 0 && this.nowMs >= this.#resetMs) {
      this.#resetMs = 0;
      this.powerUp();
    }
    if (this.#tickMs === 0) return;
    const due = Math.floor((this.nowMs - this.#beganMs) / this.#tickMs);
    // Only the last two samples are computed: they determine the values, and show that earlier ones were overwritten.
    this.#ticks = Math.max(this.#ticks, due - 2);
    while (this.#ticks < due && this.#tickMs > 0) this.sample(this.#beganMs + ++this.#ticks * this.#tickMs);
  }

  private sample(atMs: number): void {
    const { registers } = this;
    const world = this.look(atMs);
    const perGauss = 1 / gaussPerCount(rangesGauss[(registers[reg.CTRL_REG2]! >> 5) & 3]!);
    const test = (registers[reg.CTRL_REG1]! & 1) === 0 ? 0 : 1;
    [world.mx, world.my, world.mz].forEach((gauss, axis) => {
      const value = toCounts((gauss + test * coil[axis]! + noiseGauss * this.#noise()) * perGauss);
      registers[reg.OUT_X_L + 2 * axis] = value & 0xff;
      registers[reg.OUT_X_L + 2 * axis + 1] = (value >> 8) & 0xff;
    });
    // New data overwrites unread data.
    const status = registers[reg.STATUS_REG]!;
    registers[reg.STATUS_REG] = ((status & 0x0f) << 4) | (status & 0xf0) | 0x0f;
    if ((registers[reg.CTRL_REG1]! & 0x80) !== 0) {
      const temperature = toCounts((world.temperature - 25) * 8);
      registers[reg.TEMP_OUT_L] = temperature & 0xff;
      registers[reg.TEMP_OUT_L + 1] = (temperature >> 8) & 0xff;
    }
    if ((registers[reg.CTRL_REG3]! & 3) !== 1) return;
    registers[reg.CTRL_REG3]! |= 3;
    this.#tickMs = 0;
  }

  protected override begin(register: number): number {
    this.#increments = (register & increment) !== 0;
    return register & ~increment;
  }

  /** In a burst over the outputs, the address returns from the last output register to the first. */
  protected override next(register: number): number {
    if (!this.#increments) return register;
    return register === last ? reg.OUT_X_L : register + 1;
  }

  protected override load(register: number): number {
    if (register < reg.OUT_X_L || register > last) return this.registers[register]!;
    if ((register - reg.OUT_X_L) % 2 === 0) {
      if ((this.registers[reg.CTRL_REG5]! & 0x40) !== 0)
        this.#held.set(register, this.registers[register + 1]!);
      return this.registers[register]!;
    }
    const axis = (register - reg.OUT_X_L) >> 1;
    this.registers[reg.STATUS_REG]! &= ~((0x11 << axis) | 0x88);
    const held = this.#held.get(register - 1);
    this.#held.delete(register - 1);
    return held ?? this.registers[register]!;
  }

  protected store(register: number, value: number): void {
    if (readOnly.has(register)) return;
    this.registers[register] = value;
    if (register === reg.CTRL_REG2 && (value & 0x04) !== 0) this.#resetMs = this.nowMs + resetMs;
    if (register === reg.CTRL_REG1 || register === reg.CTRL_REG3) this.setRate();
  }

  private setRate(): void {
    const control = this.registers[reg.CTRL_REG1]!;
    const mode = this.registers[reg.CTRL_REG3]! & 3;
    const rateHz = (control & 2) === 0 ? slowHz[(control >> 2) & 7]! : fastHz[(control >> 5) & 3]!;
    this.#tickMs = mode >= 2 ? 0 : 1000 / (rateHz * this.options.odrError);
    this.#beganMs = this.nowMs;
    this.#ticks = 0;
  }
}
