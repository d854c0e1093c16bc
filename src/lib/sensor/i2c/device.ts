import { AiotError } from '../../core/errors.js';
import { hex } from '../../core/figures.js';
import type { Clock } from '../../core/time.js';
import { steady } from '../host-clock.js';
import { Timeline } from '../timeline.js';
import type { SourceFaults } from '../types.js';
import { type I2cBus, registersOf } from './bus.js';
import type { ChipDriver, ChipPlan, ChipSession, Reading, SelfTest } from './chip.js';

/** Maximum boot time of a chip after power-up, in which it does not respond; ms. */
const patienceMs = 60;
const againMs = 10;

/** A chip to be read, with its possible addresses and its current state. */
export interface Device {
  readonly driver: ChipDriver;
  readonly plan: ChipPlan;
  readonly timeline: Timeline;
  /** Address at which the chip was found; null before that. */
  address: number | null;
  session: ChipSession | null;
  /** Whether the host has lost data since the last reading. */
  broken: boolean;
  saturated: number;
}

/** Creates a device for a chip that has not been found yet. */
export function createDevice(driver: ChipDriver, plan: ChipPlan, clock: Clock): Device {
  const timeline = new Timeline(plan.rateHz, clock);
  return { driver, plan, timeline, address: null, session: null, broken: false, saturated: 0 };
}

/**
 * Looks for the chip at its addresses, and checks its identity. Waits for a chip that may be booting.
 * @throws AIOT_SENSOR_IDENTITY if another chip responds, AIOT_I2C_NACK if none does, and the bus's errors
 */
async function findChip(
  bus: I2cBus,
  driver: ChipDriver,
  addresses: readonly number[],
  clock: Clock,
): Promise<number> {
  const others: [address: number, value: number][] = [];
  for (let waitedMs = 0; ; waitedMs += againMs) {
    for (const address of addresses) {
      const value = await identityAt(bus, driver, address);
      if (value === driver.identity.value) return address;
      if (value !== null && !others.some(([known]) => known === address)) others.push([address, value]);
    }
    if (others.length > 0 || waitedMs >= patienceMs) break;
    await clock.sleep(againMs);
  }
  const model = driver.title.split(',')[0]!;
  if (others.length === 0)
    throw new AiotError(
      'AIOT_I2C_NACK',
      `${bus.name}: no ${model} responds at ${addresses.map((address) => hex(address, 2)).join(' or ')}`,
      { endpoint: bus.name, retryable: true },
    );
  const [[address, value]] = others as [[number, number]];
  const relative = driver.identity.relatives[value];
  throw new AiotError(
    'AIOT_SENSOR_IDENTITY',
    `${bus.name}: expected the ${model} (${hex(driver.identity.value, 2)}) at ${hex(address, 2)}, got ${
      relative ? `an ${relative}` : 'an unknown chip'
    } (${hex(value, 2)} in ${hex(driver.identity.register, 2)})`,
    { endpoint: bus.name },
  );
}

/** The identity register's value at an address; null = no response. */
async function identityAt(bus: I2cBus, driver: ChipDriver, address: number): Promise<number | null> {
  try {
    return (await bus.read(address, driver.identity.register, 1))[0] ?? null;
  } catch (error) {
    if (error instanceof AiotError && error.code === 'AIOT_I2C_NACK') return null;
    throw error;
  }
}

/** Finds and resets the chip, so that it can be started. @throws as `findChip` */
export async function connect(
  device: Device,
  bus: I2cBus,
  addresses: readonly number[],
  clock: Clock,
  faults: SourceFaults,
): Promise<void> {
  device.session = null;
  device.address = await findChip(bus, device.driver, addresses, clock);
  const session = device.plan.session(registersOf(bus, device.address, clock, faults), steady(clock));
  await session.reset();
  device.session = session;
}

/** Runs the chip's self-test, and resets the chip. null = it has no self-test. */
export async function testDevice(device: Device): Promise<SelfTest | null> {
  const { session } = device;
  if (!session?.selfTest) return null;
  const result = await session.selfTest();
  await session.reset();
  return result;
}

/** The samples of one reading, with their times. */
export interface Timed {
  values: Float64Array;
  times: Float64Array;
  count: number;
  lost: number;
  stepMs: number;
  /** Time of the first sample by the steady clock. */
  firstMs: number;
  /** Time of the last sample by the steady clock. */
  lastMs: number;
}

/** Reads samples from a chip that has been started. */
export async function readDevice(device: Device, faults: SourceFaults): Promise<Timed> {
  const reading: Reading = await device.session!.read();
  const { values, count, left = 0, askedMs, saturated } = reading;
  if (reading.overrun) faults.overruns++;
  device.saturated += saturated;
  const broken = reading.broken || device.broken;
  // If no sample arrived, the loss is reported with the next one.
  device.broken = broken && count === 0;
  return { values, count, ...device.timeline.place({ count, left, askedMs, broken }) };
}
