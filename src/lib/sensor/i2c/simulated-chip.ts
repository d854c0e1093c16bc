import { gaussian, type Random } from '../../core/numbers.js';

/** Physical quantities that can be measured: g, dps, gauss, degC, Pa, % of relative humidity. */
export interface World {
  ax: number;
  ay: number;
  az: number;
  gx: number;
  gy: number;
  gz: number;
  mx: number;
  my: number;
  mz: number;
  temperature: number;
  pressure: number;
  humidity: number;
}

/** Writes the state at a time, in seconds since the simulation began, into `world`. Values that it does not write stay unchanged. */
export type Signal = (seconds: number, world: World) => void;

export interface SimulationOptions {
  /** 7-bit address; absent = the chip's first. */
  address?: number;
  signal: Signal;
  /** Start time of the simulation (second 0 of the signal), ms of the bus's clock. */
  beganMs: number;
  /** The chip's true rate divided by its nominal one. For example, 1.02 is 2 % too fast. */
  odrError: number;
  random: Random;
  /** Whether to add the noise given in the data sheet. */
  noise: boolean;
}

/** Thrown by a chip that does not acknowledge. */
export class SimulatedNack extends Error {}

/**
 * A chip as seen from the bus: registers, a pointer, the rule by which the pointer advances, and time, which advances only when the chip is
 * accessed. Subclasses define the behavior of the registers; the base class implements faults.
 */
export abstract class SimulatedChip {
  readonly address: number;
  /** The world as last written by the signal. */
  protected readonly world: World = {
    ax: 0,
    ay: 0,
    az: 1,
    gx: 0,
    gy: 0,
    gz: 0,
    mx: 0.2,
    my: 0,
    mz: 0.4,
    temperature: 25,
    pressure: 101_325,
    humidity: 50,
  };
  protected readonly registers = new Uint8Array(256);
  /** Current time, ms of the bus's clock. */
  protected nowMs: number;
  #powered: 'on' | 'off' | 'again' = 'on';
  #nacks = 0;
  #short = 0;
  #whole = 0;

  protected constructor(
    readonly name: string,
    defaultAddress: number,
    protected readonly options: SimulationOptions,
  ) {
    this.address = options.address ?? defaultAddress;
    this.nowMs = options.beganMs;
  }

  /** Power-up: sets registers to their defaults and empties buffers. */
  protected abstract powerUp(): void;
  /** Advances time to `this.nowMs`: takes samples, ends conversions. */
  protected abstract advance(): void;
  /** Whether the chip acknowledges now. Chips that are booting do not. */
  protected responds(): boolean {
    return true;
  }
  /** Reads a register, with the side effects of reading it. */
  protected load(register: number): number {
    return this.registers[register]!;
  }
  /** Writes a register, with its side effects. */
  protected abstract store(register: number, value: number): void;
  /** The register that follows in a burst read. */
  protected next(register: number): number {
    return (register + 1) & 0xff;
  }
  /** The register for an address as it was sent. Chips that use a flag bit in the address (LIS3MDL) remove it. */
  protected begin(register: number): number {
    return register;
  }

  /** Evaluates the signal at a time of this chip's clock, ms. */
  protected look(atMs: number): World {
    this.options.signal((atMs - this.options.beganMs) / 1000, this.world);
    return this.world;
  }

  /** Performs one read transaction. @throws SimulatedNack */
  read(register: number, length: number, nowMs: number): Uint8Array {
    this.acknowledge(nowMs);
    const short = this.#whole === 0 && this.#short > 0;
    if (short) this.#short--;
    else if (this.#whole > 0) this.#whole--;
    const given = short ? length - 1 : length;
    const bytes = new Uint8Array(given);
    this.burst(this.begin(register), bytes);
    return bytes;
  }

  /** Fills `bytes` from consecutive registers. Some chips override it, because they can do it faster than byte by byte. */
  protected burst(register: number, bytes: Uint8Array): void {
    let pointer = register;
    for (let i = 0; i < bytes.length; i++) {
      bytes[i] = this.load(pointer);
      pointer = this.next(pointer);
    }
  }

  /** Performs one write transaction. @throws SimulatedNack */
  write(register: number, bytes: Uint8Array, nowMs: number): void {
    this.acknowledge(nowMs);
    let pointer = this.begin(register);
    for (const byte of bytes) {
      this.store(pointer, byte);
      pointer = this.next(pointer);
    }
  }

  private acknowledge(nowMs: number): void {
    this.pass(nowMs);
    if (this.#powered === 'off') throw new SimulatedNack();
    if (this.#nacks > 0) {
      this.#nacks--;
      throw new SimulatedNack();
    }
    if (!this.responds()) throw new SimulatedNack();
  }

  /** Advances the chip's time, which never goes back. */
  private pass(nowMs: number): void {
    this.nowMs = Math.max(this.nowMs, nowMs);
    if (this.#powered === 'again') {
      this.#powered = 'on';
      this.powerUp();
    }
    if (this.#powered === 'on') this.advance();
  }

  /** Fault: the chip does not acknowledge the next transactions. */
  nackNext(times: number): void {
    this.#nacks = times;
  }

  /** Fault: the next reads return one byte less than requested, after `after` complete ones. */
  shortNext(times: number, after = 0): void {
    this.#short = times;
    this.#whole = after;
  }

  /** Fault: the chip is unplugged, and loses power. */
  unplug(): void {
    this.#powered = 'off';
  }

  /** Reconnects the chip; it powers up at the next access. */
  replug(): void {
    this.#powered = 'again';
  }

  /** Fault: the chip is replaced by another one of its family. @param value value of the other chip's identity register */
  abstract answerAs(value: number): void;
}

/** An object that lies still, z up. */
export const still: Signal = (_seconds, world) => {
  world.ax = 0;
  world.ay = 0;
  world.az = 1;
};

/** An object that hangs on a thread, sways by 20° twice in three seconds, and turns slowly. Nights are colder. */
export const swaying: Signal = (seconds, world) => {
  const phase = (2 * Math.PI * seconds) / 1.5;
  const angle = 0.35 * Math.sin(phase);
  const turn = seconds / 10;
  world.ax = Math.sin(angle);
  world.ay = 0.05 * Math.cos(0.7 * phase);
  world.az = Math.cos(angle);
  world.gx = 0;
  world.gy = ((0.35 * 180) / 1.5) * 2 * Math.cos(phase);
  world.gz = 180 / Math.PI / 10;
  world.mx = 0.2 * Math.cos(turn);
  world.my = -0.2 * Math.sin(turn);
  world.temperature = 21 + 4 * Math.sin((2 * Math.PI * seconds) / 86_400);
};

const size = 8192;

/** Returns normally distributed random numbers by table lookup, because millions of samples are simulated per second. */
export function noiseOf(random: Random): () => number {
  const table = Float64Array.from({ length: size }, () => gaussian(random));
  return () => table[(random() * size) | 0]!;
}

/** Rounds a value and limits it to ±32767, like the chips' outputs. */
export function toCounts(value: number): number {
  const rounded = Math.round(value);
  return rounded > 32767 ? 32767 : rounded < -32767 ? -32767 : rounded;
}
