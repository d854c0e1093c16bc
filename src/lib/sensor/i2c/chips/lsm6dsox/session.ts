import { AiotError, type Clock } from '../../../../core/index.js';
import type { RegisterAccess } from '../../access.js';
import type { ChipSession, Reading, SelfTest } from '../../chip.js';
import { accelerometerCodes, gyroscopeCodes } from '../lsm6ds3tr-c/codec.js';
import { selfTest } from '../lsm6ds3tr-c/self-test.js';
import type { Lsm6dsoxSettings } from './plan.js';
import { reg } from './registers.js';
import { fifoStatus, SampleAssembler, type WordLayout, wordBytes } from './words.js';

/** Longest time in which the filters settle, and samples of it are left out. */
const settleMs = 500;
const continuous = 0b110;
/** That the accelerometer is to move in the self-test (ST, example of the LSM6DSOX). */
const selfTestLeastG = 0.05;

/** The chip's FIFO of tagged words: each says what it is, and of which time slot. */
export class Lsm6dsoxSession implements ChipSession {
  readonly #assembler: SampleAssembler;
  readonly #width: number;
  readonly #wordsOfBlock: number;
  /** A transaction broke off: how many words the chip gave is not known. */
  #uncertain = false;
  #settlingUntilMs = 0;

  constructor(
    private readonly chip: RegisterAccess,
    private readonly clock: Clock,
    private readonly settings: Lsm6dsoxSettings,
    layout: WordLayout,
  ) {
    this.#assembler = new SampleAssembler(layout);
    this.#width = layout.gyroscope ? 6 : 3;
    this.#wordsOfBlock = Math.floor(chip.longest / wordBytes);
  }

  async reset(): Promise<void> {
    const { chip } = this;
    await chip.write(reg.CTRL2_G, 0x00);
    await chip.write(reg.CTRL1_XL, 0x60);
    await chip.write(reg.CTRL3_C, 0x01);
    for (let tries = 0; tries < 10; tries++) {
      await this.clock.sleep(1);
      if (((await chip.readByte(reg.CTRL3_C)) & 1) === 0) return;
    }
    throw new AiotError('AIOT_SENSOR_FAILED', 'the LSM6DSOX does not come back from its reset');
  }

  selfTest(): Promise<SelfTest> {
    return selfTest(this.chip, this.clock, selfTestLeastG);
  }

  async start(): Promise<void> {
    const { chip } = this;
    const { rateCode, rangeG, rangeDps, watermark } = this.settings;
    const words = (watermark * this.#width) / 3;
    // Not to be mistaken for a bus of the newer kind; the other bits are the chip's own.
    await chip.write(reg.CTRL9_XL, (await chip.readByte(reg.CTRL9_XL)) | 0x02);
    await chip.write(reg.CTRL3_C, 0x44);
    await chip.write(reg.CTRL4_C, 0x08);
    await chip.write(reg.FIFO_CTRL4, 0x00);
    await chip.write(reg.FIFO_CTRL1, words & 0xff, words >> 8);
    await chip.write(reg.FIFO_CTRL3, (rangeDps === null ? 0 : rateCode << 4) | rateCode);
    await chip.write(reg.CTRL1_XL, (rateCode << 4) | (accelerometerCodes[rangeG]! << 2));
    const gyroscope = rangeDps === 125 ? 0b10 : (gyroscopeCodes[rangeDps ?? 250] ?? 0) << 2;
    await chip.write(reg.CTRL2_G, rangeDps === null ? 0x00 : (rateCode << 4) | gyroscope);
    await this.startFifo(chip);
  }

  private async startFifo(chip: RegisterAccess): Promise<void> {
    await chip.write(reg.FIFO_CTRL4, 0x00);
    await chip.write(reg.FIFO_CTRL4, continuous);
    this.#assembler.restart();
    this.#settlingUntilMs = this.clock.now() + settleMs;
    this.#uncertain = false;
  }

  read(): Promise<Reading> {
    return this.chip.exclusive((chip) => this.drain(chip));
  }

  private async drain(chip: RegisterAccess): Promise<Reading> {
    let broken = this.#uncertain;
    this.#uncertain = true;
    const before = this.clock.now();
    const { words, overrun } = fifoStatus(await chip.read(reg.FIFO_STATUS1, 2));
    const askedMs = [before, this.clock.now()] as const;
    if (overrun) {
      broken = true;
      // Whatever number comes next: that some are missing is known.
      this.#assembler.restart();
    }
    const settling = before < this.#settlingUntilMs;
    const values = new Float64Array((words + 1) * this.#width);
    let [count, saturated, taken] = [0, 0, 0];
    try {
      while (taken < words) {
        const some = Math.min(this.#wordsOfBlock, words - taken);
        const block = await chip.read(reg.FIFO_DATA_OUT_TAG, some * wordBytes);
        taken += some;
        const done = this.#assembler.push(block, values, count * this.#width, settling);
        count += done.count;
        saturated += done.saturated;
        broken ||= done.broken;
      }
      this.#uncertain = false;
    } catch (error) {
      this.#assembler.restart();
      if (count === 0) throw error;
    }
    const left = Math.floor(((words - taken) * 3) / this.#width);
    return { values, count, left, askedMs, broken, overrun, saturated };
  }

  async stop(): Promise<void> {
    await this.chip.write(reg.FIFO_CTRL4, 0x00);
    await this.chip.write(reg.CTRL2_G, 0x00);
    await this.chip.write(reg.CTRL1_XL, 0x00);
  }
}
