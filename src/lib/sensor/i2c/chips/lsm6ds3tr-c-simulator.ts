import { noiseOf, SimulatedChip, type SimulationOptions, toCounts, type World } from '../simulated-chip.js';
import { dpsPerCount, gramsPerCount, ratesHz, reg } from './lsm6ds3tr-c.js';

/** Time for which registers are unavailable after power-up and BOOT, ms. */
const bootMs = 15;

/** Duration of a software reset, ms. */
const resetMs = 0.05;
const readOnly = new Set<number>([reg.WHO_AM_I, reg.STATUS_REG]);

for (let r: number = reg.OUT_TEMP_L; r < 0x42; r++) readOnly.add(r);

/** Registers that must not change while the FIFO contains words. */
const decoding = new Set<number>([reg.CTRL1_XL, reg.CTRL2_G, reg.FIFO_CTRL3, reg.FIFO_CTRL4]);

/** Maximum number of ticks that are simulated one by one. Earlier ticks, whose results would be overwritten, are skipped. */
const mostTicks = 4096;

/** The FIFO's storage pattern. Data is stored at every `every`-th sensor tick. */
interface Stored extends Pattern {
  every: number;
  /** Whether storing stops when the FIFO is full. */
  stops: boolean;
}

/** A register-level LSM6DS3TR-C. */
export class Lsm6ds3trcSimulator extends SimulatedChip {
  readonly fifo = new FifoRing();
  /** Whether a rate, decimation or trigger was changed while the FIFO contained data. That data can no longer be decoded. */
  violated = false;
  readonly #outputs: Outputs;
  #pattern: Stored | null = null;
  #bootedMs = 0;
  #resetMs = 0;
  #identity = 0x6a;
  /** Start time of the sensors' ticks, number of ticks so far, and their interval (ms; 0 = off). */
  #beganMs = 0;
  #ticks = 0;
  #tickMs = 0;
  /** Number of ticks between two samples, for the accelerometer and for the gyroscope; 0 = off. */
  #every: readonly [xl: number, gyro: number] = [0, 0];
  #timerMs: number | null = null;
  /** High bytes that are latched while BDU is set, by the low byte's register. */
  readonly #held = new Map<number, number>();

  constructor(options: SimulationOptions) {
    super('lsm6ds3tr-c', 0x6a, options);
    this.#outputs = new Outputs(this.registers, options.noise ? noiseOf(options.random) : null);
    this.powerUp();
    // The simulation starts with a chip that has finished booting.
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

  /** The storage pattern for FIFO_CTRL3 to 5; null = nothing is stored. */
  private pattern(): Stored | null {
    const mode = this.registers[reg.FIFO_CTRL5]! & 0b111;
    const trigger = (this.registers[reg.FIFO_CTRL5]! >> 3) & 0xf;
    if (trigger === 0 || (mode !== 0b001 && mode !== 0b011 && mode !== 0b110)) return null;
    const fastest = Math.max(this.registers[reg.CTRL1_XL]! >> 4, this.registers[reg.CTRL2_G]! >> 4);
    const pattern = patternOf(decimations(this.registers));
    return { ...pattern, every: 2 ** Math.max(0, fastest - trigger), stops: mode === 0b001 };
  }

  /** Skips whole patterns that would be overwritten before they are read. They are counted, but not computed. */
  private leaveOut(ticks: number, pattern: Stored | null): void {
    const period = pattern ? pattern.ticks.length * pattern.every : 1;
    // The skipped ticks include whole periods of the slower sensor, so that it keeps its phase.
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

  /** Data set 4 is the time or the temperature. Data set 3 would be an external sensor, which is not simulated. */
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

  /** Reading a low byte latches its high byte (BDU). Reading a high byte clears the sensor's flag. */
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

  /** The next address according to IF_INC. After the FIFO's last output register, it is the first again. */
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
    // The pattern restarts with the next tick.
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

/** Capacity of the FIFO in words, which are also the unit of DIFF_FIFO and FIFO_PATTERN. */
const capacity = 2048;

/** Maximum number of unread words. */
const mostUnread = 2047;

/** The ring of 2048 words behind FIFO_DATA_OUT, its overrun and its pattern (AN5130, FIFO). */
class FifoRing {
  readonly #words = new Int16Array(capacity);
  /** Number of words written and read since the FIFO was cleared. */
  #written = 0;
  #read = 0;
  #overrun = false;
  #half = false;
  #last = 0;
  /** Number of words in one repetition of the pattern. */
  patternWords = 3;
  /** Number of words at which the FIFO counts as full. With STOP_ON_FTH, it is the threshold. */
  limit = mostUnread;

  get level(): number {
    return this.#written - this.#read;
  }

  get overrun(): boolean {
    return this.#overrun;
  }

  get pattern(): number {
    return this.#read % this.patternWords;
  }

  /** Whether there is no room for another set. */
  get full(): boolean {
    return this.level + 3 > this.limit;
  }

  clear(): void {
    this.#written = 0;
    this.#read = 0;
    this.#overrun = false;
    this.#half = false;
  }

  /** Makes room for the next set of three words. If necessary, discards the oldest set. */
  begin(): void {
    if (this.level + 3 > this.limit) {
      this.#read += 3;
      this.#overrun = true;
    }
  }

  put(word: number): void {
    this.#words[this.#written & (capacity - 1)] = word;
    this.#written++;
  }

  /** Advances as if this many sets had been written. Used for data that would be overwritten before it is read. */
  skip(sets: number): void {
    this.#written += 3 * sets;
    const over = this.level - this.limit;
    if (over <= 0) return;
    this.#read += 3 * Math.ceil(over / 3);
    this.#overrun = true;
  }

  /** Reads FIFO_DATA_OUT_L, or _H, which removes the word. If the FIFO is empty, the last word is repeated. */
  byte(high: boolean): number {
    if (!high) {
      this.#half = true;
      if (this.level > 0) this.#last = this.#words[this.#read & (capacity - 1)]!;
      return this.#last & 0xff;
    }
    const byte = (this.#last >> 8) & 0xff;
    if (this.#half && this.level > 0) {
      this.#read++;
      this.#overrun = false;
    }
    this.#half = false;
    return byte;
  }

  /** Reads a burst from FIFO_DATA_OUT_L. After FIFO_DATA_OUT_H, the address returns to FIFO_DATA_OUT_L. */
  bytes(into: Uint8Array): void {
    for (let i = 0; i + 1 < into.length; i += 2) {
      into[i] = this.byte(false);
      into[i + 1] = this.byte(true);
    }
    if (into.length % 2 === 1) into[into.length - 1] = this.byte(false);
  }

  /** Value of one of the registers FIFO_STATUS1 to 4. @param threshold in words */
  status(index: number, threshold: number): number {
    const unread = this.#overrun ? 0 : Math.min(this.level, mostUnread);
    switch (index) {
      case 0:
        return unread & 0xff;
      case 1:
        return (
          (unread >> 8) |
          (this.level === 0 ? 0x10 : 0) |
          (this.level > 0 && this.full ? 0x20 : 0) |
          (this.#overrun ? 0x40 : 0) |
          (threshold > 0 && this.level >= threshold ? 0x80 : 0)
        );
      case 2:
        return this.pattern & 0xff;
      default:
        return this.pattern >> 8;
    }
  }
}

/** Decimation factors by code: data is stored at every n-th tick, and never for 0. */
const divisors = [0, 1, 2, 3, 4, 8, 16, 32];

/** The decimations of the four data sets in FIFO_CTRL3 and 4: gyroscope, accelerometer, external sensor, and time or temperature. */
function decimations(registers: Uint8Array): readonly number[] {
  const three = registers[reg.FIFO_CTRL3]!;
  const four = registers[reg.FIFO_CTRL4]!;
  return [(three >> 3) & 7, three & 7, four & 7, (four >> 3) & 7].map((code) => divisors[code]!);
}

/** The sets stored at each tick of one repetition, and the number of words per repetition. */
interface Pattern {
  ticks: readonly (readonly number[])[];
  words: number;
}

/**
 * Determines the sets stored at each tick of one repetition, and the number of words per repetition (AN5130). At the first tick, all sets
 * are stored, in order; at later ticks, those that are due.
 */
export function patternOf(every: readonly number[]): {
  ticks: readonly (readonly number[])[];
  words: number;
} {
  const stored = every.flatMap((each, set) => (each > 0 ? [{ each, set }] : []));
  const length = stored.reduce((multiple, { each }) => leastCommonMultiple(multiple, each), 1);
  const ticks = Array.from({ length }, (_, tick) =>
    stored.filter(({ each }) => tick % each === 0).map(({ set }) => set),
  );
  return { ticks, words: 3 * ticks.reduce((sum, sets) => sum + sets.length, 0) };
}

function leastCommonMultiple(a: number, b: number): number {
  let [x, y] = [a, b];
  while (y > 0) [x, y] = [y, x % y];
  return (a * b) / x;
}

/** Number of unsettled accelerometer samples after a start, by ODR_XL (AN5130; LPF2 off). */
const accelerometerStart = [0, 0, 0, 1, 1, 1, 1, 1, 2, 3, 13];

/** Range in ±g by FS_XL, and in ±dps by FS_G. */
const ranges = [2, 16, 4, 8];

const gyroscopeRanges = [250, 500, 1000, 2000];

/** Noise: 90 µg/√Hz and 5 mdps/√Hz, over a bandwidth of half of 104 Hz. */
const accelerometerNoise = 90e-6 * Math.sqrt(52);

const gyroscopeNoise = 5e-3 * Math.sqrt(52);
const marks = [0x7fff, 0x7ffe, 0x7ffd];

/** Sensor outputs in counts, for the output registers and the FIFO. */
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

  /** Starts the gyroscope, which needs 70 ms and three samples to settle after power-down. */
  startGyroscope(rateHz: number): void {
    this.#gyroscopeStart = rateHz === 0 ? 0 : Math.ceil(0.07 * rateHz) + 3;
  }

  /** Samples the accelerometer, the gyroscope, or both. */
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

  /** With DRDY_MASK, samples of an unsettled filter are marked. Otherwise the filter outputs its current value, which is too small. */
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

/** Converts a byte in two's complement. */
function signed(byte: number): number {
  return (byte << 24) >> 24;
}
