import { AiotError } from '../../core/errors.js';
import type { Clock } from '../../core/time.js';
import { steady } from '../host-clock.js';
import type { SampleBatch, SampleField, SampleSource, SourceFaults } from '../types.js';
import type { I2cBus } from './bus.js';
import type { SelfTest } from './chip.js';
import { connect, type Device, readDevice, type Timed } from './device.js';

/** Samples of chips on an I²C bus. */
export interface I2cSource extends SampleSource {
  readonly rateHz: number;
  /** Rate measured with this machine's clock, Hz; the nominal rate until it can be measured. */
  readonly measuredHz: number;
  /** Number of values that were at a limit of their range. */
  readonly saturated: number;
  readonly chips: readonly { name: string; title: string; address: number; selfTest: SelfTest | null }[];
  /** Problems that do not prevent reading. */
  readonly cautions: readonly string[];
  readonly connected: boolean;
  /** Reason why the source is disconnected; null if it is connected. */
  readonly trouble: AiotError | null;
}

interface PumpParts {
  bus: I2cBus;
  clock: Clock;
  /** The chips. The first determines the rate, and the newest values of the others are added at its times. */
  devices: readonly [Device, ...Device[]];
  addresses: ReadonlyMap<Device, readonly number[]>;
  faults: SourceFaults;
  closing: AbortController;
  onState: (state: 'connected' | 'disconnected', error?: AiotError) => void;
}

/** Number of consecutive failed readings after which a chip is set up again. */
const mostFailures = 3;

const firstPauseMs = 100;
const longestPauseMs = 5000;

/** Reads chips until it is closed. Recovers from faults, however often they occur. */
export class Pump {
  trouble: AiotError | null = null;
  readonly #steady: Clock;
  readonly #held: readonly Held[];
  /** Times of the first chip: when its next read is due, and when it last returned samples; ms. */
  #dueMs = 0;
  #heardMs = 0;
  #failures = 0;
  #started = false;
  #lost = 0;

  constructor(private readonly parts: PumpParts) {
    this.#steady = steady(parts.clock);
    this.#held = parts.devices.slice(1).map((device) => new Held(device));
  }

  private async start(): Promise<void> {
    const { devices } = this.parts;
    this.#started = false;
    for (const { session } of devices) await session!.start();
    const now = this.#steady.now();
    for (const held of this.#held) held.begin(now);
    this.#dueMs = now + devices[0].plan.everyMs;
    this.#heardMs = now;
    this.#started = true;
  }

  /** The next samples; null once closed. */
  async next(): Promise<SampleBatch | null> {
    const { closing } = this.parts;
    while (!closing.signal.aborted) {
      try {
        if (!this.#started) await this.start();
        const batch = await this.turn();
        this.#failures = 0;
        if (batch) return batch;
      } catch (error) {
        if (closing.signal.aborted) return null;
        if (!(error instanceof AiotError)) throw error;
        await this.mend(error);
      }
    }
    return null;
  }

  /** Waits for the chip that is due first, and reads it. */
  private async turn(): Promise<SampleBatch | null> {
    const { parts } = this;
    const [first] = parts.devices;
    const dueMs = this.#held.reduce((least, held) => Math.min(least, held.dueMs), this.#dueMs);
    const waitMs = dueMs - this.#steady.now();
    if (waitMs > 0) await parts.clock.sleep(waitMs, parts.closing.signal);
    const now = this.#steady.now();
    for (const held of this.#held) if (held.dueMs <= now) await held.read(parts.faults, now);
    if (this.#dueMs > now) return null;
    const { overruns } = parts.faults;
    const timed = await readDevice(first, parts.faults);
    // A chip that overruns does respond, even if all of its data is discarded.
    if (parts.faults.overruns > overruns) this.#heardMs = now;
    this.#dueMs = Math.max(this.#dueMs + first.plan.everyMs, now);
    this.#lost += timed.lost;
    if (timed.count === 0) return this.hush(now);
    this.#heardMs = now;
    if (this.#held.some((held) => held.empty)) return null;
    return this.batch(timed);
  }

  private batch(timed: Timed): SampleBatch {
    const { values, count, times, stepMs } = timed;
    const size = this.parts.devices[0].plan.fields.length;
    const lost = this.#lost;
    this.#lost = 0;
    const own = values.length === count * size ? values : values.subarray(0, count * size);
    const batch = {
      values: this.#held.length === 0 ? own : this.joined(own, timed),
      times,
      count,
      lost,
    };
    return stepMs > 0 ? { ...batch, clockStepMs: stepMs } : batch;
  }

  /** Combines each sample of the first chip with the newest values of the others at that time. */
  private joined(own: Float64Array, { count, firstMs, lastMs }: Timed): Float64Array {
    const size = this.parts.devices[0].plan.fields.length;
    const whole = this.#held.reduce((sum, held) => sum + held.size, size);
    const values = new Float64Array(count * whole);
    const periodMs = count > 1 ? (lastMs - firstMs) / (count - 1) : 0;
    for (let i = 0; i < count; i++) {
      values.set(own.subarray(i * size, (i + 1) * size), i * whole);
      let at = i * whole + size;
      for (const held of this.#held) {
        held.copy(firstMs + i * periodMs, values, at);
        at += held.size;
      }
    }
    for (const held of this.#held) held.forget(lastMs);
    return values;
  }

  /**
   * Handles a reading without samples. If samples are missing for too long, the chip has probably lost power and its settings.
   */
  private hush(now: number): null {
    const { everyMs, rateHz, fields } = this.parts.devices[0].plan;
    const longestMs = Math.max(1000, 5 * everyMs, 5000 / rateHz);
    if (now - this.#heardMs < longestMs) return null;
    this.#failures = mostFailures;
    throw new AiotError(
      'AIOT_SENSOR_LOST',
      `${this.parts.bus.name}: no ${fields[0]!.name} value for ${Math.round((now - this.#heardMs) / 100) / 10} s`,
      { endpoint: this.parts.bus.name, retryable: true },
    );
  }

  private async mend(error: AiotError): Promise<void> {
    const { parts } = this;
    const [first] = parts.devices;
    first.broken = true;
    this.#failures++;
    if (this.#failures < mostFailures) {
      await parts.clock.sleep(first.plan.everyMs / 4, parts.closing.signal).catch(() => {});
      return;
    }
    this.trouble = error;
    parts.onState('disconnected', error);
    for (let pauseMs = firstPauseMs; !parts.closing.signal.aborted; ) {
      try {
        for (const device of parts.devices)
          await connect(device, parts.bus, parts.addresses.get(device)!, parts.clock, parts.faults);
        await this.start();
        this.trouble = null;
        this.#failures = 0;
        parts.faults.reconnects++;
        parts.onState('connected');
        return;
      } catch (again) {
        if (!(again instanceof AiotError)) throw again;
        this.trouble = again;
        await parts.clock.sleep(pauseMs, parts.closing.signal).catch(() => {});
        pauseMs = Math.min(2 * pauseMs, longestPauseMs);
      }
    }
  }
}

/** Fields of all chips, in order. */
export function fieldsOf(devices: readonly Device[]): readonly SampleField[] {
  return devices.flatMap(({ plan }) => plan.fields);
}

/** A chip that supplements the first chip's samples: at each sample time, its newest available values are added. */
class Held {
  dueMs = 0;
  readonly size: number;
  #heardMs = 0;
  /** Times of the values by the steady clock, ascending. */
  #times: number[] = [];
  #values: Float64Array[] = [];

  constructor(private readonly device: Device) {
    this.size = device.plan.fields.length;
  }

  get empty(): boolean {
    return this.#times.length === 0;
  }

  begin(now: number): void {
    this.dueMs = now + this.device.plan.everyMs;
    this.#heardMs = now;
    this.#times = [];
    this.#values = [];
  }

  /** @throws AIOT_SENSOR_LOST if the chip has returned no samples for too long, and the bus's errors */
  async read(faults: SourceFaults, now: number): Promise<void> {
    const { plan, driver } = this.device;
    this.dueMs = Math.max(this.dueMs + plan.everyMs, now);
    const timed = await readDevice(this.device, faults);
    const { count, firstMs, lastMs } = timed;
    for (let i = 0; i < count; i++) {
      this.#times.push(count > 1 ? firstMs + (i * (lastMs - firstMs)) / (count - 1) : lastMs);
      this.#values.push(timed.values.slice(i * this.size, (i + 1) * this.size));
    }
    if (count > 0) this.#heardMs = now;
    else if (now - this.#heardMs > Math.max(1000, 5 * plan.everyMs, 5000 / plan.rateHz))
      throw new AiotError('AIOT_SENSOR_LOST', `no values of the ${driver.name}`, { retryable: true });
  }

  /** Copies the newest values taken at or before `atMs`. If all values are newer, it copies the first ones. */
  copy(atMs: number, into: Float64Array, at: number): void {
    let newest = 0;
    while (newest + 1 < this.#times.length && this.#times[newest + 1]! <= atMs) newest++;
    into.set(this.#values[newest]!, at);
  }

  /** Discards values that are no longer needed for times from `atMs` on. */
  forget(atMs: number): void {
    let newest = 0;
    while (newest + 1 < this.#times.length && this.#times[newest + 1]! <= atMs) newest++;
    this.#times.splice(0, newest);
    this.#values.splice(0, newest);
  }
}
