import { noiseOf, SimulatedChip, type SimulationOptions, type World } from '../simulated-chip.js';
import {
  type Calibration,
  type Climate,
  calibrationBlocks,
  compensate,
  measureMs,
  type RawReading,
  reg,
} from './bme280.js';

/** Temperature and pressure calibration from the example in Bosch's data sheet of the BMP280. */
const calibration: Calibration = {
  ...{ t1: 27504, t2: 26435, t3: -1000 },
  p: [36477, -10685, 3024, 2855, 140, -7, 15500, -14600, 6000],
  ...{ h1: 75, h2: 355, h3: 0, h4: 340, h5: 0, h6: 30 },
};

/** Noise with an oversampling of 1: °C, Pa, %. */
const noises = { temperature: 0.005, pressure: 3.3, humidity: 0.02 };

const updateMs = 2;
const writable = new Set<number>([reg.CTRL_HUM, reg.CTRL_MEAS, reg.CONFIG]);

/** A register-level BME280. It finds raw values that its calibration converts to the simulated climate. */
export class Bme280Simulator extends SimulatedChip {
  #identity = 0x60;
  #updatedMs = 0;
  #measuredMs = Number.NaN;
  /** The value of osrs_h that the last write to CTRL_MEAS applied. */
  #humidity = 0;
  readonly #noise: () => number;

  constructor(options: SimulationOptions) {
    super('bme280', 0x76, options);
    this.#noise = options.noise ? noiseOf(options.random) : () => 0;
    this.powerUp();
    this.#updatedMs = 0;
  }

  protected powerUp(): void {
    const { first, second } = calibrationBlocks(calibration);
    this.registers.fill(0);
    this.registers.set(first, reg.CALIBRATION_1);
    this.registers.set(second, reg.CALIBRATION_2);
    this.registers[reg.ID] = this.#identity;
    this.registers.set([0x80, 0, 0, 0x80, 0, 0, 0x80, 0], reg.DATA);
    this.#humidity = 0;
    this.#measuredMs = Number.NaN;
    this.#updatedMs = this.nowMs + updateMs;
  }

  answerAs(value: number): void {
    this.#identity = value;
    this.registers[reg.ID] = value;
  }

  protected advance(): void {
    const measured = this.nowMs >= this.#measuredMs;
    if (measured) {
      this.convert(this.look(this.#measuredMs));
      this.#measuredMs = Number.NaN;
      // The chip returns to sleep mode automatically.
      this.registers[reg.CTRL_MEAS]! &= ~0b11;
    }
    const busy = Number.isNaN(this.#measuredMs) ? 0 : 0x08;
    this.registers[reg.STATUS] = busy | (this.nowMs < this.#updatedMs ? 0x01 : 0);
  }

  protected store(register: number, value: number): void {
    if (register === reg.RESET && value === 0xb6) this.powerUp();
    if (!writable.has(register)) return;
    this.registers[register] = value;
    if (register !== reg.CTRL_MEAS) return;
    this.#humidity = this.registers[reg.CTRL_HUM]! & 0b111;
    const mode = value & 0b11;
    if (mode === 0b01 || mode === 0b10) {
      // The typical duration is 8 ms where the maximum is 9.3 ms.
      this.#measuredMs = this.nowMs + (measureMs(2 ** Math.max(0, (value >> 5) - 1)) * 8) / 9.3;
    }
  }

  /** A write of several bytes consists of the first value, then pairs of a register and its value. */
  override write(register: number, bytes: Uint8Array, nowMs: number): void {
    super.write(register, bytes.subarray(0, 1), nowMs);
    for (let at = 1; at + 1 < bytes.length; at += 2) {
      super.write(bytes[at]!, bytes.subarray(at + 1, at + 2), nowMs);
    }
  }

  private convert(world: World): void {
    const want = {
      temperature: world.temperature + this.#noise() * noises.temperature,
      pressure: world.pressure + this.#noise() * noises.pressure,
      humidity: world.humidity + this.#noise() * noises.humidity,
    };
    const raw = rawOf(want);
    const control = this.registers[reg.CTRL_MEAS]!;
    const pressure = ((control >> 2) & 0b111) === 0 ? 0x80000 : raw.pressure;
    const temperature = control >> 5 === 0 ? 0x80000 : raw.temperature;
    const humidity = this.#humidity === 0 ? 0x8000 : raw.humidity;
    const twenty = (value: number) => [value >> 12, (value >> 4) & 0xff, (value & 0x0f) << 4];
    this.registers.set(
      [...twenty(pressure), ...twenty(temperature), humidity >> 8, humidity & 0xff],
      reg.DATA,
    );
  }
}

/** The raw values nearest to a climate. Temperature is found first, because the others depend on it. */
function rawOf(want: Climate): RawReading {
  const raw = { temperature: 0, pressure: 0, humidity: 0 };
  const find = (name: keyof RawReading, bits: number, rising: boolean) => {
    for (let bit = 2 ** (bits - 1); bit >= 1; bit /= 2) {
      raw[name] += bit;
      const value = compensate(raw, calibration)[name];
      if (rising ? value > want[name] : value < want[name]) raw[name] -= bit;
    }
  };
  find('temperature', 20, true);
  find('pressure', 20, false);
  find('humidity', 16, true);
  return raw;
}
