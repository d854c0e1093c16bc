import { SimulatedChip, type SimulationOptions } from '../../simulated/chip.js';
import { noiseOf } from '../../simulated/noise.js';
import { ratesHz } from './codec.js';
import { FifoRing } from './fifo-ring.js';
import { Outputs } from './outputs.js';
import { decimations, type Pattern, patternOf } from './pattern.js';
import { reg } from './registers.js';

/** Registers are not there for so long after power-up and BOOT. */
const bootMs = 15;
const resetMs = 0.05;
const readOnly = new Set<number>([reg.WHO_AM_I, reg.STATUS_REG]);
for (let r: number = reg.OUT_TEMP_L; r < 0x42; r++) readOnly.add(r);
/** Registers that may not change while there are words in the FIFO. */
const decoding = new Set<number>([reg.CTRL1_XL, reg.CTRL2_G, reg.FIFO_CTRL3, reg.FIFO_CTRL4]);
/** Ticks that are worked through one by one; of more, those that nothing remains of are left out. */
const mostTicks = 4096;

/** What the FIFO stores at which ticks of the sensors, one in `every`. */
interface Stored extends Pattern {
  every: number;
  /** When it is full. */
  stops: boolean;
}

/** An LSM6DS3TR-C at the level of its registers: sections 1 to 1.11 of its facts, and the checklist's line. */
export class Lsm6ds3trcSimulator extends SimulatedChip {
  readonly fifo = new FifoRing();
  /** A rate, a decimation or a trigger was changed while there was data in the FIFO: what is in it cannot be decoded. */
  violated = false;
  readonly #outputs: Outputs;
  #pattern: Stored | null = null;
  #bootedMs = 0;
  #resetMs = 0;
  #identity = 0x6a;
  /** When the sensors' ticks began, how many there were, and how far apart they are (ms; 0 = off). */
  #beganMs = 0;
  #ticks = 0;
  #tickMs = 0;
  /** Of the accelerometer and gyroscope: ticks from one sample to the next; 0 = off. */
  #every: readonly [xl: number, gyro: number] = [0, 0];
  #timerMs: number | null = null;
  /** High bytes held while BDU is set, by the low byte's register. */
  readonly #held = new Map<number, number>();

  constructor(options: SimulationOptions) {
    super('lsm6ds3tr-c', 0x6a, options);
    this.#outputs = new Outputs(this.registers, options.noise ? noiseOf(options.random) : null);
    this.powerUp();
    // It was powered long ago.
    this.#bootedMs = 0;
  }

  protected powerUp(): void {
    this.#bootedMs = this.nowMs + bootMs;
    this.defaults();
  }

  private defaults(): void {
    this.registers.fill(0);
    this.registers[reg.WHO_AM_I] = this.#identity;
    this.registers[reg.CTRL3_C] = 0x04;
    this.fifo.clear();
    this.#held.clear();
    this.#tickMs = 0;
    this.#every = [0, 0];
    this.#pattern = null;
    this.#timerMs = null;
  }

  answerAs(value: number): void {
    this.#identity = value;
    this.registers[reg.WHO_AM_I] = value;
  }

  protected override responds(): boolean {
    return this.nowMs >= this.#bootedMs;
  }

  protected advance(): void {
    if (this.#resetMs > 0 && this.nowMs >= this.#resetMs) {
      this.#resetMs = 0;
      this.defaults();
    }
    if (this.#tickMs === 0) return;
    const due = Math.floor((this.nowMs - this.#beganMs) / this.#tickMs);
    if (due <= this.#ticks) return;
    if (due - this.#ticks > mostTicks) this.leaveOut(due - this.#ticks - mostTicks, this.#pattern);
    while (this.#ticks < due) this.tick(++this.#ticks, this.#pattern);
  }

  /** What FIFO_CTRL3 to 5 make of a tick; null = nothing is stored. */
  private pattern(): Stored | null {
    const mode = this.registers[reg.FIFO_CTRL5]! & 0b111;
    const trigger = (this.registers[reg.FIFO_CTRL5]! >> 3) & 0xf;
    if (trigger === 0 || (mode !== 0b001 && mode !== 0b011 && mode !== 0b110)) return null;
    const fastest = Math.max(this.registers[reg.CTRL1_XL]! >> 4, this.registers[reg.CTRL2_G]! >> 4);
    const pattern = patternOf(decimations(this.registers));
    return { ...pattern, every: 2 ** Math.max(0, fastest - trigger), stops: mode === 0b001 };
  }

  /** Whole patterns that would be overwritten before anyone looks are counted, not computed. */
  private leaveOut(ticks: number, pattern: Stored | null): void {
    const period = pattern ? pattern.ticks.length * pattern.every : 1;
    // Ticks of a slower sensor stay in step.
    const step = period * Math.max(1, ...this.#every);
    const periods = Math.floor(ticks / step) * Math.max(1, ...this.#every);
    this.#ticks += periods * period;
    if (pattern && !pattern.stops) this.fifo.skip((periods * pattern.words) / 3);
  }

  private tick(number: number, pattern: Stored | null): void {
    const [everyXl, everyG] = this.#every;
    const xl = everyXl > 0 && number % everyXl === 0;
    const gyro = everyG > 0 && number % everyG === 0;
    const outputs = this.#outputs;
    outputs.take(this.look(this.#beganMs + number * this.#tickMs), xl, gyro);
    if (!pattern || number % pattern.every !== 0 || pattern.words === 0) return;
    const turn = (number / pattern.every - 1) % pattern.ticks.length;
    for (const set of pattern.ticks[turn]!) {
      if (pattern.stops && this.fifo.full) return;
      this.fifo.begin();
      if (set === 0) for (let axis = 0; axis < 3; axis++) this.fifo.put(outputs.gyroscope[axis]!);
      else if (set === 1) for (let axis = 0; axis < 3; axis++) this.fifo.put(outputs.accelerometer[axis]!);
      else this.putFourth(set, this.#beganMs + number * this.#tickMs);
    }
  }

  /** Data set 4: the time, or the temperature; data set 3 has no external sensor here. */
  private putFourth(set: number, atMs: number): void {
    const flags = this.registers[reg.FIFO_CTRL2]!;
    const time = this.timestamp(atMs);
    const words =
      set === 3 && (flags & 0x80) !== 0
        ? [((time >> 16) << 8) | ((time >> 8) & 0xff), (time & 0xff) << 8, 0]
        : [0, ((this.#outputs.temperature & 0xff) << 8) | 0, (this.#outputs.temperature >> 8) & 0xff];
    for (const word of words) this.fifo.put(set === 2 ? 0 : word);
  }

  private timestamp(atMs: number): number {
    if (this.#timerMs === null) return 0;
    const unitMs = (this.registers[reg.WAKE_UP_DUR]! & 0x10) === 0 ? 6.4 : 0.025;
    return Math.floor(((atMs - this.#timerMs) * this.options.odrError) / unitMs) & 0xffffff;
  }

  protected override burst(register: number, bytes: Uint8Array): void {
    if (register === reg.FIFO_DATA_OUT_L) this.fifo.bytes(bytes);
    else super.burst(register, bytes);
  }

  protected override load(register: number): number {
    if (register === reg.FIFO_DATA_OUT_L || register === reg.FIFO_DATA_OUT_L + 1)
      return this.fifo.byte(register !== reg.FIFO_DATA_OUT_L);
    if (register >= reg.FIFO_STATUS1 && register <= reg.FIFO_STATUS4) {
      const threshold = this.registers[reg.FIFO_CTRL1]! | ((this.registers[reg.FIFO_CTRL2]! & 0b111) << 8);
      return this.fifo.status(register - reg.FIFO_STATUS1, threshold);
    }
    if (register >= reg.TIMESTAMP0 && register <= reg.TIMESTAMP2)
      return (this.timestamp(this.nowMs) >> (8 * (register - reg.TIMESTAMP0))) & 0xff;
    if (register >= reg.OUT_TEMP_L && register <= reg.OUTX_L_XL + 5) return this.loadOutput(register);
    return this.registers[register]!;
  }

  /** Low bytes hold their high byte (BDU), high bytes clear the sensor's flag. */
  private loadOutput(register: number): number {
    const bdu = (this.registers[reg.CTRL3_C]! & 0x40) !== 0;
    if (register % 2 === 0) {
      if (bdu) this.#held.set(register, this.registers[register + 1]!);
      return this.registers[register]!;
    }
    if (register >= reg.OUTX_L_XL) this.registers[reg.STATUS_REG]! &= ~0b001;
    else if (register >= reg.OUTX_L_G) this.registers[reg.STATUS_REG]! &= ~0b010;
    else this.registers[reg.STATUS_REG]! &= ~0b100;
    const held = this.#held.get(register - 1);
    this.#held.delete(register - 1);
    return held ?? this.registers[register]!;
  }

  /** IF_INC; the FIFO's output rolls over. */
  protected override next(register: number): number {
    if (register === reg.FIFO_DATA_OUT_L + 1) return reg.FIFO_DATA_OUT_L;
    return (this.registers[reg.CTRL3_C]! & 0x04) === 0 ? register : (register + 1) & 0xff;
  }

  protected store(register: number, value: number): void {
    if (register === reg.TIMESTAMP2 && value === 0xaa && this.#timerMs !== null) this.#timerMs = this.nowMs;
    if (readOnly.has(register) || register === reg.TIMESTAMP2) return;
    const before = this.registers[register]!;
    const mode = this.registers[reg.FIFO_CTRL5]! & 0b111;
    if (mode !== 0 && this.fifo.level > 0 && decoding.has(register) && before !== value) this.violated = true;
    this.registers[register] = value;
    if (register === reg.CTRL3_C) this.control(value);
    if (register === reg.CTRL10_C && (value & 0x20) !== 0 && (before & 0x20) === 0)
      this.#timerMs = this.nowMs;
    if (register === reg.FIFO_CTRL5) this.setFifo(value, mode);
    if (register === reg.CTRL1_XL || register === reg.CTRL2_G) this.setRate(register, before, value);
    this.#pattern = this.pattern();
  }

  private control(value: number): void {
    if ((value & 0x01) !== 0) this.#resetMs = this.nowMs + resetMs;
    if ((value & 0x80) === 0) return;
    this.#bootedMs = this.nowMs + bootMs;
    this.registers[reg.CTRL3_C] = value & 0x7f;
  }

  private setFifo(value: number, before: number): void {
    const mode = value & 0b111;
    if (mode === 0 || before === 0) this.fifo.clear();
    const { words } = patternOf(decimations(this.registers));
    this.fifo.patternWords = Math.max(1, words);
    const stops = (this.registers[reg.FIFO_CTRL4]! & 0x80) !== 0;
    const threshold = this.registers[reg.FIFO_CTRL1]! | ((this.registers[reg.FIFO_CTRL2]! & 0b111) << 8);
    this.fifo.limit = stops && threshold > 0 ? threshold : 2047;
    // The pattern begins with the next tick.
    if (before === 0 && this.#tickMs > 0) this.restart();
  }

  private setRate(register: number, before: number, value: number): void {
    const codes = [this.registers[reg.CTRL1_XL]! >> 4, this.registers[reg.CTRL2_G]! >> 4] as const;
    const fastest = Math.max(...codes);
    const every = codes.map((code) => (code === 0 ? 0 : 2 ** (fastest - code)));
    this.#every = [every[0]!, every[1]!];
    this.#tickMs = fastest === 0 ? 0 : 1000 / ((ratesHz[fastest] ?? 6664) * this.options.odrError);
    this.restart();
    if (before >> 4 === value >> 4) return;
    const rateHz = (ratesHz[value >> 4] ?? 0) * this.options.odrError;
    if (register === reg.CTRL1_XL) this.#outputs.startAccelerometer(value >> 4);
    else this.#outputs.startGyroscope(rateHz);
  }

  private restart(): void {
    this.#beganMs = this.nowMs;
    this.#ticks = 0;
  }
}
