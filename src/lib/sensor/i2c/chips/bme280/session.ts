import { AiotError, type Clock } from '../../../../core/index.js';
import type { RegisterAccess } from '../../access.js';
import type { ChipSession, Reading } from '../../chip.js';
import { type Calibration, calibrationBytes, parseCalibration } from './calibration.js';
import { compensate, parseRaw } from './compensate.js';
import type { Bme280Settings } from './plan.js';
import { reg } from './registers.js';

const resetCommand = 0xb6;
const forced = 0b01;
const [measuring, updating] = [0x08, 0x01];
/** Looks at a flag that should have fallen, 2 ms apart. */
const mostLooks = 10;

/** The chip measures when it is told to, and sleeps in between: that keeps it from warming itself. */
export class Bme280Session implements ChipSession {
  #calibration: Calibration | undefined;

  constructor(
    private readonly chip: RegisterAccess,
    private readonly clock: Clock,
    private readonly settings: Bme280Settings,
  ) {}

  async reset(): Promise<void> {
    await this.chip.write(reg.RESET, resetCommand);
    await this.clock.sleep(2);
    await this.untilFallen(updating, 'does not come back from its reset');
  }

  async start(): Promise<void> {
    const { chip } = this;
    const first = await chip.read(reg.CALIBRATION_1, calibrationBytes[0]);
    const second = await chip.read(reg.CALIBRATION_2, calibrationBytes[1]);
    const calibration = parseCalibration(first, second);
    // An empty or a silent bus reads as zeros or ones.
    if (calibration.t1 === 0 || calibration.t1 === 0xffff || calibration.p[0] === 0) {
      throw failed('has no calibration in it');
    }
    this.#calibration = calibration;
    await chip.write(reg.CONFIG, 0x00);
    // Takes effect with the next write to CTRL_MEAS.
    await chip.write(reg.CTRL_HUM, this.settings.oversamplingCode);
  }

  async read(): Promise<Reading> {
    const { chip, clock, settings } = this;
    const code = settings.oversamplingCode;
    const before = clock.now();
    await chip.write(reg.CTRL_MEAS, (code << 5) | (code << 2) | forced);
    await clock.sleep(settings.measureMs);
    await this.untilFallen(measuring, 'does not end its measurement');
    const raw = parseRaw(await chip.read(reg.DATA, 8));
    const askedMs = [before, clock.now()] as const;
    const values = new Float64Array(3);
    if (!raw || !this.#calibration) {
      return { values, count: 0, askedMs, broken: true, overrun: false, saturated: 0 };
    }
    const { temperature, pressure, humidity } = compensate(raw, this.#calibration);
    values.set([temperature, pressure, humidity]);
    // As far as the formulas go.
    const ends = [temperature <= -40, temperature >= 85, pressure <= 30_000, pressure >= 110_000];
    const saturated = ends.filter((end) => end).length;
    return { values, count: 1, askedMs, broken: false, overrun: false, saturated };
  }

  async stop(): Promise<void> {
    await this.chip.write(reg.CTRL_MEAS, 0x00);
  }

  private async untilFallen(flag: number, else_: string): Promise<void> {
    for (let look = 0; look < mostLooks; look++) {
      if (((await this.chip.readByte(reg.STATUS)) & flag) === 0) return;
      await this.clock.sleep(2);
    }
    throw failed(else_);
  }
}

function failed(what: string): AiotError {
  return new AiotError('AIOT_SENSOR_FAILED', `the BME280 ${what}`, { retryable: true });
}
