import type { Clock } from '../../../../core/index.js';
import type { RegisterAccess } from '../../access.js';
import type { ChipSession, Reading, SelfTest } from '../../chip.js';
import { decode, gaussPerCount, rangeByte, rateBytes, statusOf } from './codec.js';
import { increment, reg } from './registers.js';
import { selfTest } from './self-test.js';

/** One set of the three axes at a time: the chip keeps no more. */
export class Lis3mdlSession implements ChipSession {
  readonly #perCount: number;
  readonly #most: number;

  constructor(
    private readonly chip: RegisterAccess,
    private readonly clock: Clock,
    readonly settings: { rateHz: number; rangeGauss: number },
  ) {
    this.#perCount = gaussPerCount(settings.rangeGauss);
    this.#most = 32767 * this.#perCount;
  }

  async reset(): Promise<void> {
    await this.chip.write(reg.CTRL_REG2, 0x04);
    await this.clock.sleep(10);
  }

  selfTest(): Promise<SelfTest> {
    return selfTest(this.chip, this.clock);
  }

  async start(): Promise<void> {
    const { chip, settings } = this;
    const { ctrl1, ctrl4 } = rateBytes(settings.rateHz);
    await chip.write(reg.CTRL_REG1, ctrl1);
    await chip.write(reg.CTRL_REG4, ctrl4);
    await chip.write(reg.CTRL_REG2, rangeByte(settings.rangeGauss));
    await chip.write(reg.CTRL_REG5, 0x40);
    await chip.write(reg.CTRL_REG3, 0x00);
  }

  async read(): Promise<Reading> {
    const before = this.clock.now();
    const bytes = await this.chip.read(reg.STATUS_REG | increment, 7);
    const askedMs = [before, this.clock.now()] as const;
    const { ready, overrun } = statusOf(bytes[0]!);
    if (!ready)
      return { values: new Float64Array(0), count: 0, askedMs, broken: false, overrun: false, saturated: 0 };
    const values = Float64Array.from(decode(bytes, 1, this.#perCount));
    const saturated = values.filter((value) => Math.abs(value) >= this.#most).length;
    return { values, count: 1, askedMs, broken: overrun, overrun, saturated };
  }

  async stop(): Promise<void> {
    await this.chip.write(reg.CTRL_REG3, 0x03);
  }
}
