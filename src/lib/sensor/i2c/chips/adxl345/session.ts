import type { Clock } from '../../../../core/index.js';
import type { RegisterAccess } from '../../access.js';
import type { ChipSession, Reading, SelfTest } from '../../chip.js';
import { decodeEntry, rangeCodes, rateCode } from './codec.js';
import type { Adxl345Settings } from './plan.js';
import { reg } from './registers.js';
import { selfTest } from './self-test.js';

const [fullResolution, measure, streamMode] = [0x08, 0x08, 0x80];
const overrunFlag = 0x01;

/** The chip's FIFO of 32 entries: each burst of six bytes takes out one, whole. */
export class Adxl345Session implements ChipSession {
  /** A transaction broke off: an entry may have been taken out that nobody has seen. */
  #uncertain = false;

  constructor(
    private readonly chip: RegisterAccess,
    private readonly clock: Clock,
    private readonly settings: Adxl345Settings,
  ) {}

  /** The chip knows no reset: every register that matters is written. */
  async reset(): Promise<void> {
    const { chip } = this;
    await chip.write(reg.POWER_CTL, 0x00);
    await chip.write(reg.OFSX, 0, 0, 0);
    await chip.write(reg.BW_RATE, 0x0a);
    await chip.write(reg.INT_ENABLE, 0x00, 0x00);
    await chip.write(reg.DATA_FORMAT, 0x00);
    await chip.write(reg.FIFO_CTL, 0x00);
  }

  selfTest(): Promise<SelfTest> {
    return selfTest(this.chip, this.clock);
  }

  async start(): Promise<void> {
    const { chip } = this;
    const { rateHz, rangeG, watermark } = this.settings;
    await chip.write(reg.POWER_CTL, 0x00);
    await chip.write(reg.BW_RATE, rateCode(rateHz));
    await chip.write(reg.DATA_FORMAT, fullResolution | rangeCodes[rangeG]!);
    // Through bypass, which clears it.
    await chip.write(reg.FIFO_CTL, 0x00);
    await chip.write(reg.FIFO_CTL, streamMode | watermark);
    await chip.write(reg.POWER_CTL, measure);
    this.#uncertain = false;
  }

  read(): Promise<Reading> {
    return this.chip.exclusive((chip) => this.drain(chip));
  }

  private async drain(chip: RegisterAccess): Promise<Reading> {
    const { clock, settings } = this;
    let broken = this.#uncertain;
    this.#uncertain = true;
    // Reading data clears it.
    const overrun = ((await chip.readByte(reg.INT_SOURCE)) & overrunFlag) !== 0;
    if (overrun) broken = true;
    const before = clock.now();
    const entries = (await chip.readByte(reg.FIFO_STATUS)) & 0x3f;
    const askedMs = [before, clock.now()] as const;
    const values = new Float64Array(3 * entries);
    let [count, saturated] = [0, 0];
    try {
      for (; count < entries; count++) {
        const bytes = await chip.read(reg.DATAX0, 6);
        saturated += decodeEntry(bytes, settings.rangeG, values, 3 * count);
      }
      this.#uncertain = false;
    } catch (error) {
      // What came before it is whole.
      if (count === 0) throw error;
    }
    return { values, count, left: entries - count, askedMs, broken, overrun, saturated };
  }

  async stop(): Promise<void> {
    await this.chip.write(reg.POWER_CTL, 0x00);
  }
}
