import { AiotError, type Clock } from '../../../../core/index.js';
import type { RegisterAccess } from '../../access.js';
import type { ChipSession, Reading, SelfTest } from '../../chip.js';
import {
  accelerometerCodes,
  decodeSets,
  filterCode,
  gyroscopeCodes,
  type SetLayout,
  setBytes,
} from './codec.js';
import { fifoBytes, type Mpu6050Settings } from './plan.js';
import { reg } from './registers.js';
import { selfTest } from './self-test.js';

/** With less room than so many sets the FIFO is about to overwrite, and then nothing in it can be told apart (as Linux does). */
const leastRoom = 3;
/** Looks at a count that is no whole number of sets: one may just be on its way in. */
const mostLooks = 3;

/** The chip's FIFO of 1024 bytes, which has no marks in it: whenever sets may be out of step it is cleared. */
export class Mpu6050Session implements ChipSession {
  readonly #setBytes: number;
  readonly #blockBytes: number;
  /** A transaction broke off: how many bytes the chip gave is not known. */
  #uncertain = false;
  /** The FIFO was cleared, and nothing has come since. */
  #cleared = false;

  constructor(
    private readonly chip: RegisterAccess,
    private readonly clock: Clock,
    private readonly settings: Mpu6050Settings,
    private readonly layout: SetLayout,
  ) {
    this.#setBytes = setBytes(layout);
    this.#blockBytes = Math.floor(chip.longest / this.#setBytes) * this.#setBytes;
  }

  async reset(): Promise<void> {
    const { chip, clock } = this;
    await chip.write(reg.PWR_MGMT_1, 0x80);
    await clock.sleep(100);
    // Awake, by the clock of the gyroscope, which is better than the chip's own.
    await chip.write(reg.PWR_MGMT_1, 0x01);
    await clock.sleep(100);
    if ((await chip.readByte(reg.PWR_MGMT_1)) === 0x01) return;
    throw new AiotError('AIOT_SENSOR_FAILED', 'the MPU6050 does not wake up after its reset');
  }

  selfTest(): Promise<SelfTest> {
    return selfTest(this.chip, this.clock);
  }

  async start(): Promise<void> {
    const { chip } = this;
    const { rateHz, rangeG, rangeDps } = this.settings;
    await chip.write(reg.FIFO_EN, 0x00);
    await chip.write(reg.SMPLRT_DIV, Math.round(1000 / rateHz) - 1);
    await chip.write(reg.CONFIG, filterCode(rateHz));
    await chip.write(reg.GYRO_CONFIG, (gyroscopeCodes[rangeDps ?? 250] ?? 0) << 3);
    await chip.write(reg.ACCEL_CONFIG, (accelerometerCodes[rangeG] ?? 0) << 3);
    // A gyroscope that nobody reads still gives the clock: its x stays on.
    await chip.write(reg.PWR_MGMT_2, rangeDps === null ? 0x03 : 0x00);
    await this.startFifo(chip);
  }

  private async startFifo(chip: RegisterAccess): Promise<void> {
    await chip.write(reg.FIFO_EN, 0x00);
    await chip.write(reg.USER_CTRL, 0x04);
    await chip.write(reg.USER_CTRL, 0x40);
    await chip.write(reg.FIFO_EN, this.layout.gyroscope ? 0x78 : 0x08);
    this.#uncertain = false;
  }

  read(): Promise<Reading> {
    return this.chip.exclusive((chip) => this.drain(chip));
  }

  private async drain(chip: RegisterAccess): Promise<Reading> {
    if (this.#uncertain) return this.clear(chip, false);
    this.#uncertain = true;
    let { bytes, askedMs } = await this.count(chip);
    for (let look = 0; bytes % this.#setBytes !== 0 && look < mostLooks; look++) {
      await this.clock.sleep(0.5);
      ({ bytes, askedMs } = await this.count(chip));
    }
    if (bytes > fifoBytes - leastRoom * this.#setBytes) return this.clear(chip, true);
    if (bytes % this.#setBytes !== 0) return this.clear(chip, false);
    const reading = await this.take(chip, bytes / this.#setBytes);
    const broken = this.#cleared;
    if (reading.count > 0) this.#cleared = false;
    return { ...reading, askedMs, broken: broken && reading.count > 0, overrun: false };
  }

  /** Throws away what is there: it ran over, or is out of step. What comes next is told to be broken off. */
  private async clear(chip: RegisterAccess, overrun: boolean): Promise<Reading> {
    this.#uncertain = true;
    this.#cleared = true;
    const before = this.clock.now();
    await this.startFifo(chip);
    const askedMs = [before, this.clock.now()] as const;
    return { values: new Float64Array(0), count: 0, askedMs, broken: false, overrun, saturated: 0 };
  }

  private async take(chip: RegisterAccess, sets: number) {
    const width = this.#setBytes / 2;
    const values = new Float64Array(sets * width);
    let [count, saturated] = [0, 0];
    try {
      while (count < sets) {
        const bytes = Math.min(this.#blockBytes, (sets - count) * this.#setBytes);
        const block = await chip.read(reg.FIFO_R_W, bytes);
        saturated += decodeSets(this.layout, block, values, count * width);
        count += bytes / this.#setBytes;
      }
      this.#uncertain = false;
    } catch (error) {
      // What came before is whole; what is still there is cleared next time.
      if (count === 0) throw error;
    }
    return { values, count, saturated };
  }

  /** The high byte first, which holds the low one. */
  private async count(chip: RegisterAccess) {
    const before = this.clock.now();
    const [high = 0, low = 0] = await chip.read(reg.FIFO_COUNTH, 2);
    return { bytes: (high << 8) | low, askedMs: [before, this.clock.now()] as const };
  }

  async stop(): Promise<void> {
    await this.chip.write(reg.FIFO_EN, 0x00);
    await this.chip.write(reg.PWR_MGMT_1, 0x41);
  }
}
