import { AiotError } from '../../core/index.js';
import type { SourceFaults } from '../types.js';
import { type Device, readDevice } from './device.js';

/** A chip whose values stand beside those of a faster one: at each of its times, the newest that there was. */
export class Held {
  dueMs = 0;
  readonly size: number;
  #heardMs = 0;
  /** Times by the steady clock, rising, and their values. */
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

  /** @throws AIOT_SENSOR_LOST when it has been silent for too long, and what the bus throws */
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

  /** Writes the newest value at a time, or the first there is. */
  copy(atMs: number, into: Float64Array, at: number): void {
    let newest = 0;
    while (newest + 1 < this.#times.length && this.#times[newest + 1]! <= atMs) newest++;
    into.set(this.#values[newest]!, at);
  }

  /** What is older than the newest at a time is not needed again. */
  forget(atMs: number): void {
    let newest = 0;
    while (newest + 1 < this.#times.length && this.#times[newest + 1]! <= atMs) newest++;
    this.#times.splice(0, newest);
    this.#values.splice(0, newest);
  }
}
