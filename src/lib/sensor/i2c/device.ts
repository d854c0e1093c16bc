import { AiotError } from '../../core/errors.js';
import type { Clock } from '../../core/time.js';
import { steady } from '../host-clock.js';
import { Timeline } from '../timeline.js';
import type { SourceFaults } from '../types.js';
import { hex, type I2cBus, registersOf } from './bus.js';
import type { ChipDriver, ChipPlan, ChipSession, Reading, SelfTest } from './chip.js';

/** Longest start of a chip after power-up, in which it answers to nobody. */
const patienceMs = 60;
const againMs = 10;

/** A chip that is to be read: where it is looked for, and what is known of it. */
export interface Device {
  readonly driver: ChipDriver;
  readonly plan: ChipPlan;
  readonly timeline: Timeline;
  /** Where it was found; null before. */
  address: number | null;
  session: ChipSession | null;
  /** Something was lost on our side since the last reading. */
  broken: boolean;
  saturated: number;
}

/** A chip that is yet to be found, with a timeline of its own. */
export function createDevice(driver: ChipDriver, plan: ChipPlan, clock: Clock): Device {
  const timeline = new Timeline(plan.rateHz, clock);
  return { driver, plan, timeline, address: null, session: null, broken: false, saturated: 0 };
}

/**
 * Looks for the chip at its addresses, a booting one patiently, and asks who it is.
 * @throws AIOT_SENSOR_IDENTITY where another answers, AIOT_I2C_NACK where none does, and what the bus throws
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
      `${bus.name}: no ${model} answers at ${addresses.map(hex).join(' or ')}`,
      { endpoint: bus.name, retryable: true },
    );
  const [[address, value]] = others as [[number, number]];
  const relative = driver.identity.relatives[value];
  throw new AiotError(
    'AIOT_SENSOR_IDENTITY',
    `${bus.name}: expected the ${model} (${hex(driver.identity.value)}) at ${hex(address)}, got ${
      relative ? `an ${relative}` : 'an unknown chip'
    } (${hex(value)} in ${hex(driver.identity.register)})`,
    { endpoint: bus.name },
  );
}

/** What the identity register at an address says; null = nobody is there. */
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

/** Runs the chip's self-test, and resets it. null = it has none. */
export async function testDevice(device: Device): Promise<SelfTest | null> {
  const { session } = device;
  if (!session?.selfTest) return null;
  const result = await session.selfTest();
  await session.reset();
  return result;
}

/** Samples of a chip with their times, as one reading gave them. */
export interface Timed {
  values: Float64Array;
  times: Float64Array;
  count: number;
  lost: number;
  stepMs: number;
  /** By the steady clock. */
  firstMs: number;
  lastMs: number;
}

/** Reads a chip that was started. */
export async function readDevice(device: Device, faults: SourceFaults): Promise<Timed> {
  const reading: Reading = await device.session!.read();
  const { values, count, left = 0, askedMs, saturated } = reading;
  if (reading.overrun) faults.overruns++;
  device.saturated += saturated;
  const broken = reading.broken || device.broken;
  // Until the next sample nobody can tell how many are missing.
  device.broken = broken && count === 0;
  return { values, count, ...device.timeline.place({ count, left, askedMs, broken }) };
}
