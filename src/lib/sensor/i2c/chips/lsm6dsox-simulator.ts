import { noiseOf, SimulatedChip, type SimulationOptions } from '../simulated-chip.js';
import { Outputs } from './lsm6ds3tr-c-simulator.js';
import { fifoWords, ratesHz, reg, tagByte, tags, wordBytes } from './lsm6dsox.js';

const bootMs = 10;
const resetMs = 0.05;
const readOnly = new Set<number>([reg.WHO_AM_I, reg.STATUS_REG, reg.INTERNAL_FREQ_FINE]);

for (let r: number = reg.OUT_TEMP_L; r < 0x40; r++) readOnly.add(r);

for (let r: number = reg.FIFO_DATA_OUT_TAG; r <= reg.FIFO_DATA_OUT_Z_H; r++) readOnly.add(r);

/** A register-level LSM6DSOX, whose sensors behave like those of the LSM6DS3TR-C. */
export class Lsm6dsoxSimulator extends SimulatedChip {
  readonly fifo = new TaggedRing();
  readonly #outputs: Outputs;
  #identity = 0x6c;
  #bootedMs = 0;
  #resetMs = 0;
  #beganMs = 0;
  #ticks = 0;
  #tickMs = 0;

  constructor(options: SimulationOptions) {
    super('lsm6dsox', 0x6a, options);
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
    this.registers[reg.CTRL9_XL] = 0xe0;
    this.fifo.clear();
    this.#tickMs = 0;
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
    // Skips data that would be overwritten unread. The number of skipped ticks is a multiple of four, so that the counter in the tags stays
    // correct.
    const spare = due - this.#ticks - 2 * fifoWords;
    if (spare > 0) this.#ticks += spare - (spare % 4);
    while (this.#ticks < due) this.tick(++this.#ticks);
  }

  private code(control: number): number {
    return this.registers[control]! >> 4;
  }

  private tick(number: number): void {
    const [xl, gyro] = [this.code(reg.CTRL1_XL), this.code(reg.CTRL2_G)];
    const fastest = Math.max(xl, gyro);
    const takes = (code: number) => code > 0 && number % 2 ** (fastest - code) === 0;
    const outputs = this.#outputs;
    outputs.take(this.look(this.#beganMs + number * this.#tickMs), takes(xl), takes(gyro));
    if ((this.registers[reg.FIFO_CTRL4]! & 0b111) === 0) return;
    const batch = this.registers[reg.FIFO_CTRL3]!;
    const batched = (code: number, sensor: number) => code > 0 && takes(Math.min(code, sensor));
    const words: [kind: number, values: Int16Array][] = [];
    if (gyro > 0 && batched(batch >> 4, gyro)) words.push([tags.gyroscope, outputs.gyroscope]);
    if (xl > 0 && batched(batch & 0x0f, xl)) words.push([tags.accelerometer, outputs.accelerometer]);
    if (words.length > 0) this.fifo.slot(words);
  }

  protected override burst(register: number, bytes: Uint8Array): void {
    if (register !== reg.FIFO_DATA_OUT_TAG) super.burst(register, bytes);
    else for (let at = 0; at < bytes.length; at++) bytes[at] = this.fifo.byte(at % wordBytes);
  }

  protected override load(register: number): number {
    const { fifo } = this;
    if (register === reg.FIFO_STATUS1) return fifo.level & 0xff;
    if (register === reg.FIFO_STATUS2) {
      const watermark = this.registers[reg.FIFO_CTRL1]! | ((this.registers[reg.FIFO_CTRL2]! & 1) << 8);
      return fifo.flags(watermark) | (fifo.level >> 8);
    }
    if (register >= reg.FIFO_DATA_OUT_TAG && register <= reg.FIFO_DATA_OUT_Z_H)
      return fifo.byte(register - reg.FIFO_DATA_OUT_TAG);
    // Reading the high byte of any axis clears the sensor's flag.
    if (register % 2 === 1 && register > reg.OUT_TEMP_L && register < reg.OUTX_L_A + 6) {
      const flag = register > reg.OUTX_L_A ? 0b001 : register > reg.OUTX_L_G ? 0b010 : 0b100;
      this.registers[reg.STATUS_REG]! &= ~flag;
    }
    return this.registers[register]!;
  }

  /** The next address according to IF_INC. After the FIFO's last output register, it is the first again. */
  protected override next(register: number): number {
    if (register === reg.FIFO_DATA_OUT_Z_H) return reg.FIFO_DATA_OUT_TAG;
    return (this.registers[reg.CTRL3_C]! & 0x04) === 0 ? register : (register + 1) & 0xff;
  }

  protected store(register: number, value: number): void {
    if (readOnly.has(register)) return;
    const before = this.registers[register]!;
    this.registers[register] = value;
    if (register === reg.CTRL3_C && (value & 0x01) !== 0) this.#resetMs = this.nowMs + resetMs;
    if (register === reg.FIFO_CTRL4 && (value & 0b111) === 0) this.fifo.clear();
    if ((register !== reg.CTRL1_XL && register !== reg.CTRL2_G) || before >> 4 === value >> 4) return;
    const fastest = Math.max(this.code(reg.CTRL1_XL), this.code(reg.CTRL2_G));
    const hz = (ratesHz[fastest] ?? 0) * this.options.odrError;
    this.#tickMs = hz === 0 ? 0 : 1000 / hz;
    this.#beganMs = this.nowMs;
    this.#ticks = 0;
    if (register === reg.CTRL1_XL) this.#outputs.startAccelerometer(value >> 4);
    else this.#outputs.startGyroscope(hz);
  }
}

/** The ring of 512 tagged words behind FIFO_DATA_OUT_TAG. */
export class TaggedRing {
  readonly #bytes = new Uint8Array(fifoWords * wordBytes);
  #written = 0;
  #read = 0;
  #slots = 0;
  #overrun = false;
  #latched = false;
  #last: Uint8Array = new Uint8Array(wordBytes);

  get level(): number {
    return this.#written - this.#read;
  }

  clear(): void {
    this.#read = this.#written;
    this.#slots = 0;
    this.#overrun = false;
    this.#latched = false;
  }

  /** Stores the words of one time slot. */
  slot(words: readonly [kind: number, values: Int16Array][]): void {
    for (const [kind, values] of words) {
      if (this.level === fifoWords) {
        this.#read++;
        this.#overrun = true;
        this.#latched = true;
      }
      const at = (this.#written++ % fifoWords) * wordBytes;
      this.#bytes[at] = tagByte(kind, this.#slots);
      for (let axis = 0; axis < 3; axis++) {
        this.#bytes[at + 1 + 2 * axis] = values[axis]! & 0xff;
        this.#bytes[at + 2 + 2 * axis] = (values[axis]! >> 8) & 0xff;
      }
    }
    this.#slots++;
  }

  /** Returns a byte of the oldest word. Reading the last byte removes the word. If the FIFO is empty, the last word is repeated. */
  byte(index: number): number {
    if (index === 0 && this.level > 0) {
      const at = (this.#read % fifoWords) * wordBytes;
      this.#last = this.#bytes.slice(at, at + wordBytes);
    }
    if (index === wordBytes - 1 && this.level > 0) {
      this.#read++;
      this.#overrun = false;
    }
    return this.#last[index]!;
  }

  /** Bits 7 to 3 of FIFO_STATUS2. Reading them clears OVR_LATCHED. @param watermark in words */
  flags(watermark: number): number {
    const latched = this.#latched ? 0x08 : 0;
    this.#latched = false;
    return (
      (watermark > 0 && this.level >= watermark ? 0x80 : 0) |
      (this.#overrun ? 0x40 : 0) |
      (this.level === fifoWords ? 0x20 : 0) |
      latched
    );
  }
}
