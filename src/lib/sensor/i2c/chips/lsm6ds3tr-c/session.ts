import { AiotError, type Clock } from '../../../../core/index.js';
import type { RegisterAccess } from '../../access.js';
import type { ChipSession, Reading, SelfTest } from '../../chip.js';
import { ctrl1, ctrl2, decodeSets, type FifoLayout, fifoStatus, unsettled, wordsOf } from './codec.js';
import type { Lsm6ds3trcSettings } from './plan.js';
import { reg } from './registers.js';
import { selfTest } from './self-test.js';

/** Longest time in which start-up samples are looked for; later such words are values at the end of their range. */
const settleMs = 500;
/** Rounds of making room after an overrun before the FIFO is cleared instead. */
const mostRounds = 8;
/** Continuous mode: the oldest is overwritten. */
const continuous = 0b110;

/** The chip's hardware FIFO, read in whole sets. Follows sections 1.6 to 1.8 of AN5130's rules. */
export class Lsm6ds3trcSession implements ChipSession {
  readonly #words: number;
  readonly #blockBytes: number;
  /** A transaction broke off: how many words the chip gave is not known. */
  #uncertain = false;
  #settlingUntilMs = 0;
  #first = true;

  constructor(
    private readonly chip: RegisterAccess,
    private readonly clock: Clock,
    private readonly settings: Lsm6ds3trcSettings,
    private readonly layout: FifoLayout,
  ) {
    this.#words = wordsOf(layout);
    this.#blockBytes = Math.floor(chip.longest / settings.setBytes) * settings.setBytes;
  }

  async reset(): Promise<void> {
    const { chip } = this;
    // As ST asks: gyroscope off, accelerometer in high performance, then the reset.
    await chip.write(reg.CTRL2_G, 0x00);
    await chip.write(reg.CTRL1_XL, 0x60);
    await chip.write(reg.CTRL3_C, 0x01);
    for (let tries = 0; tries < 10; tries++) {
      await this.clock.sleep(1);
      if (((await chip.readByte(reg.CTRL3_C)) & 1) === 0) return;
    }
    throw new AiotError('AIOT_SENSOR_FAILED', 'the LSM6DS3TR-C does not come back from its reset');
  }

  selfTest(): Promise<SelfTest> {
    return selfTest(this.chip, this.clock);
  }

  async start(): Promise<void> {
    const { chip, settings } = this;
    const { rateHz, rangeG, rangeDps } = settings;
    const threshold = settings.watermark * this.#words;
    await chip.write(reg.CTRL3_C, 0x44);
    await chip.write(reg.FIFO_CTRL5, 0x00);
    await chip.write(reg.CTRL4_C, 0x08);
    await chip.write(reg.FIFO_CTRL1, threshold & 0xff, threshold >> 8);
    await chip.write(reg.FIFO_CTRL3, rangeDps === null ? 0x01 : 0x09, 0x00);
    await chip.write(reg.CTRL1_XL, ctrl1(rateHz, rangeG));
    await chip.write(reg.CTRL2_G, rangeDps === null ? 0x00 : ctrl2(rateHz, rangeDps));
    await this.startFifo();
    this.#settlingUntilMs = this.clock.now() + settleMs;
    this.#uncertain = false;
  }

  /** Bypass first, which clears it. */
  private async startFifo(): Promise<void> {
    await this.chip.write(reg.FIFO_CTRL5, 0x00);
    await this.chip.write(reg.FIFO_CTRL5, ((ctrl1(this.settings.rateHz, 2) >> 4) << 3) | continuous);
    this.#first = true;
  }

  read(): Promise<Reading> {
    return this.chip.exclusive((chip) => this.drain(chip));
  }

  private async drain(chip: RegisterAccess): Promise<Reading> {
    const words = this.#words;
    let broken = this.#uncertain;
    this.#uncertain = true;
    let { status, askedMs } = await this.status(chip);
    const overrun = status.overrun;
    for (let round = 0; status.overrun && round < mostRounds; round++) {
      // What was being overwritten while it was read cannot be trusted: it makes room, and no samples.
      await this.discard(chip, ((words - status.pattern) % words) + this.#blockBytes / 2);
      ({ status, askedMs } = await this.status(chip));
    }
    if (status.overrun) {
      await this.startFifo();
      status = { ...status, words: 0, pattern: 0 };
    }
    if (overrun) broken = true;
    let available = status.words;
    if (status.pattern !== 0 && available > 0) {
      const skip = Math.min(available, (words - status.pattern) % words);
      await this.discard(chip, skip);
      available -= skip;
      broken = true;
    }
    const reading = await this.take(chip, Math.floor(available / words));
    return { ...reading, askedMs, broken, overrun };
  }

  /** Reads sets. What breaks off half-way keeps those before. */
  private async take(chip: RegisterAccess, sets: number) {
    const { setBytes } = this.settings;
    const fields = this.#words;
    const values = new Float64Array(sets * fields);
    let count = 0;
    let saturated = 0;
    let taken = 0;
    try {
      while (taken < sets) {
        const bytes = Math.min(this.#blockBytes, (sets - taken) * setBytes);
        let block = await chip.read(reg.FIFO_DATA_OUT_L, bytes);
        taken += bytes / setBytes;
        if (this.#settlingUntilMs > 0) block = this.settled(block);
        saturated += decodeSets(this.layout, block, values, count * fields);
        count += block.length / setBytes;
      }
      this.#uncertain = false;
    } catch (error) {
      if (count === 0) throw error;
    }
    return { values, count, saturated, left: sets - taken };
  }

  /** Without the sets of the filters' start: the first one of all, and those that the chip marks (DRDY_MASK). */
  private settled(block: Uint8Array): Uint8Array {
    const { setBytes } = this.settings;
    let from = 0;
    if (this.#first) from += setBytes;
    this.#first = false;
    if (this.clock.now() > this.#settlingUntilMs) this.#settlingUntilMs = 0;
    else while (from < block.length && unsettled(block, from, this.#words)) from += setBytes;
    return block.subarray(Math.min(from, block.length));
  }

  private async status(chip: RegisterAccess) {
    const before = this.clock.now();
    const bytes = await chip.read(reg.FIFO_STATUS1, 4);
    return { status: fifoStatus(bytes), askedMs: [before, this.clock.now()] as const };
  }

  private async discard(chip: RegisterAccess, words: number): Promise<void> {
    const most = 2 * Math.floor(chip.longest / 2);
    for (let left = 2 * words; left > 0; left -= most)
      await chip.read(reg.FIFO_DATA_OUT_L, Math.min(most, left));
  }

  async stop(): Promise<void> {
    await this.chip.write(reg.FIFO_CTRL5, 0x00);
    await this.chip.write(reg.CTRL2_G, 0x00);
    await this.chip.write(reg.CTRL1_XL, 0x00);
  }
}
