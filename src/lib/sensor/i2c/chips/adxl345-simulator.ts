import { noiseOf, SimulatedChip, type SimulationOptions } from '../simulated-chip.js';
import { rateOf, reg } from './adxl345.js';

/** Capacity of the FIFO in entries, including the output register. */
const capacity = 32;

/** RMS noise at 100 Hz, g (data sheet: less than 1 count; 290 µg/√Hz over half the rate). */
const noiseG = 290e-6 * Math.sqrt(50);

/** Shift of the outputs during the self-test at 3.3 V, g. */
const pushes = [1, -1, 1.5];

const [dataReady, watermarkFlag, overrunFlag] = [0x80, 0x02, 0x01];
const readOnly = new Set<number>([reg.DEVID, reg.INT_SOURCE, reg.FIFO_STATUS]);

for (let r: number = reg.DATAX0; r < reg.DATAX0 + 6; r++) readOnly.add(r);

/** A register-level ADXL345. */
export class Adxl345Simulator extends SimulatedChip {
  readonly #entries: Int16Array[] = [];
  #newest = new Int16Array(3);
  #identity = 0xe5;
  #beganMs = 0;
  #ticks = 0;
  #overrun = false;
  #fresh = false;
  readonly #noise: () => number;

  constructor(options: SimulationOptions) {
    super('adxl345', 0x53, options);
    const noise = options.noise ? noiseOf(options.random) : () => 0;
    this.#noise = () => noise() * noiseG;
    this.powerUp();
  }

  protected powerUp(): void {
    this.registers.fill(0);
    this.registers[reg.DEVID] = this.#identity;
    this.registers[reg.BW_RATE] = 0x0a;
    this.clear();
  }

  answerAs(value: number): void {
    this.#identity = value;
    this.registers[reg.DEVID] = value;
  }

  private clear(): void {
    this.#entries.length = 0;
    this.#overrun = false;
    this.#fresh = false;
  }

  private get mode(): number {
    return this.registers[reg.FIFO_CTL]! >> 6;
  }

  protected advance(): void {
    if ((this.registers[reg.POWER_CTL]! & 0x08) === 0) return;
    const periodMs = 1000 / (rateOf(this.registers[reg.BW_RATE]!) * this.options.odrError);
    const due = Math.floor((this.nowMs - this.#beganMs) / periodMs);
    // Only the newest samples are computed, because older ones would be overwritten. The overrun is still recorded.
    if (due - this.#ticks > 2 * capacity) {
      this.#ticks = due - 2 * capacity;
      this.#overrun = true;
    }
    while (this.#ticks < due) this.sample(this.#beganMs + ++this.#ticks * periodMs);
  }

  private sample(atMs: number): void {
    const world = this.look(atMs);
    const format = this.registers[reg.DATA_FORMAT]!;
    const rangeG = 2 << (format & 0b11);
    const perG = (format & 0x08) === 0 ? 512 / rangeG : 256;
    const test = (format & 0x80) === 0 ? 0 : 1;
    this.#newest = Int16Array.from([world.ax, world.ay, world.az], (g, axis) => {
      const offset = ((this.registers[reg.OFSX + axis]! << 24) >> 24) * 0.0156;
      const value = Math.round((g + offset + test * pushes[axis]! + this.#noise()) * perG);
      return Math.max(-rangeG * perG, Math.min(rangeG * perG - 1, value));
    });
    if (this.mode === 0) this.#overrun ||= this.#fresh;
    else this.store32();
    this.#fresh = true;
  }

  private store32(): void {
    if (this.#entries.length < capacity) this.#entries.push(this.#newest);
    else {
      this.#overrun = true;
      // In FIFO mode, collection stops when the FIFO is full. In stream mode, the oldest entry is discarded.
      if (this.mode === 1) return;
      this.#entries.shift();
      this.#entries.push(this.#newest);
    }
  }

  protected override burst(register: number, bytes: Uint8Array): void {
    const data = register <= reg.DATAX0 + 5 && register + bytes.length > reg.DATAX0;
    super.burst(register, bytes);
    if (!data) return;
    // Reading removes the whole entry, even if not all of its bytes were read.
    this.#entries.shift();
    this.#fresh = this.#entries.length > 0;
    this.#overrun = false;
  }

  protected override load(register: number): number {
    if (register >= reg.DATAX0 && register < reg.DATAX0 + 6) {
      const at = register - reg.DATAX0;
      const value = (this.#entries[0] ?? this.#newest)[at >> 1]!;
      return (value >> (8 * (at & 1))) & 0xff;
    }
    if (register === reg.FIFO_STATUS) return this.#entries.length;
    if (register === reg.INT_SOURCE) {
      const samples = this.registers[reg.FIFO_CTL]! & 0x1f;
      const reached = this.mode !== 0 && this.#entries.length >= samples;
      const flags = (this.#fresh ? dataReady : 0) | (reached ? watermarkFlag : 0);
      return flags | (this.#overrun ? overrunFlag : 0);
    }
    return this.registers[register]!;
  }

  protected store(register: number, value: number): void {
    if (readOnly.has(register)) return;
    const before = this.registers[register]!;
    this.registers[register] = value;
    if (register === reg.FIFO_CTL && value >> 6 === 0) this.clear();
    const begins = register === reg.POWER_CTL && (value & 0x08) !== 0 && (before & 0x08) === 0;
    if (begins || register === reg.BW_RATE) {
      this.#beganMs = this.nowMs;
      this.#ticks = 0;
    }
  }
}
