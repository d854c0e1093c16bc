import { AiotError } from '../../core/errors.js';
import { hex, percent } from '../../core/figures.js';
import { onAbort } from '../../core/tasks.js';
import { type Clock, systemClock } from '../../core/time.js';
import type { SampleBatch, SourceFaults } from '../types.js';
import type { SensorUrl } from '../url.js';
import type { I2cBus } from './bus.js';
import type { ChipDriver, ChipPlan, SelfTest } from './chip.js';
import { chipDrivers } from './chips/chips.js';
import { connect, createDevice, type Device, testDevice } from './device.js';
import { simulatedBus } from './simulated-bus.js';
import { fieldsOf, type I2cSource, Pump } from './source.js';

interface I2cOptions {
  clock?: Clock;
  signal?: AbortSignal;
  /** Bus to use instead of the bus in the URL. It is not closed together with the source. */
  bus?: I2cBus;
  onState?: (state: 'connected' | 'disconnected', error?: AiotError) => void;
}

/** Maximum load of the bus. More would leave no capacity for other devices or for reads that are late. */
const busyShare = 0.7;

/** Assumed bus clock if the system does not report one, and the maximum clock of these chips, Hz. */
const usualHz = 100_000;

const fastestHz = 400_000;

/**
 * Opens one or several chips on an I²C bus. If there are several, the first determines the rate. Before this resolves, each chip is
 * located, identified, tested (`?selftest=off` skips the test, `required` makes it mandatory) and reset. Sampling starts with the first
 * read.
 * @throws AIOT_SENSOR_URL, AIOT_SENSOR_IDENTITY, AIOT_SENSOR_FAILED, AIOT_I2C_…
 */
export async function openI2c(url: SensorUrl, options: I2cOptions = {}): Promise<I2cSource> {
  const clock = options.clock ?? systemClock;
  const place = readPlace(url);
  const bus = options.bus ?? (await openBus(place, clock));
  const cautions: string[] = [];
  try {
    checkBudget(place, bus, url, cautions);
    return await openChips(url, place, bus, clock, options, cautions);
  } catch (error) {
    if (!options.bus) await bus.close();
    throw error;
  }
}

async function openChips(
  url: SensorUrl,
  place: I2cPlace,
  bus: I2cBus,
  clock: Clock,
  options: I2cOptions,
  cautions: string[],
): Promise<I2cSource> {
  const faults: SourceFaults = { overruns: 0, retries: 0, reconnects: 0 };
  const addresses = new Map<Device, readonly number[]>();
  const tests = new Map<Device, SelfTest | null>();
  const devices = place.chips.map((chip) => createDevice(chip.driver, chip.plan, clock));
  for (const [index, device] of devices.entries()) {
    addresses.set(device, place.chips[index]!.addresses);
    await connect(device, bus, addresses.get(device)!, clock, faults);
    const test = place.selfTest === 'off' ? null : await testDevice(device);
    tests.set(device, test);
    if (test && !test.passed) sayFailed(device, test, place, cautions);
  }
  const closing = new AbortController();
  onAbort(options.signal, () => closing.abort());
  if (options.signal?.aborted) closing.abort();
  const onState = options.onState ?? (() => {});
  const [first, ...others] = devices as [Device, ...Device[]];
  const parts = { bus, clock, devices: [first, ...others], addresses, faults, closing, onState } as const;
  const pump = new Pump({ ...parts, devices: [first, ...others] });
  let closed: Promise<void> | null = null;
  const close = () => {
    closing.abort();
    closed ??= stop(devices, options.bus ? null : bus);
    return closed;
  };
  return {
    endpoint: url.endpoint,
    fields: fieldsOf(devices),
    rateHz: first.plan.rateHz,
    faults,
    cautions,
    chips: devices.map((device) => ({
      name: device.driver.name,
      title: device.driver.title,
      address: device.address!,
      selfTest: tests.get(device) ?? null,
    })),
    get measuredHz() {
      return first.timeline.rateHz;
    },
    get saturated() {
      return devices.reduce((sum, { saturated }) => sum + saturated, 0);
    },
    get connected() {
      return pump.trouble === null;
    },
    get trouble() {
      return pump.trouble;
    },
    [Symbol.asyncIterator]: () => iterate(pump, close),
    close,
  };
}

async function* iterate(pump: Pump, close: () => Promise<void>): AsyncGenerator<SampleBatch> {
  try {
    for (let batch = await pump.next(); batch; batch = await pump.next()) yield batch;
  } finally {
    await close();
  }
}

/** Stops the chips that still respond, and closes the bus in any case. */
async function stop(devices: readonly Device[], bus: I2cBus | null): Promise<void> {
  for (const { session } of devices) await session?.stop().catch(() => {});
  await bus?.close();
}

function sayFailed(device: Device, test: SelfTest, place: I2cPlace, cautions: string[]): void {
  const off = test.axes
    .filter(({ change, least, most }) => change < least || change > most)
    .map(
      ({ name, unit, change, least, most }) => `${name} by ${round(change)} (${least} to ${most} ${unit})`,
    );
  const model = device.driver.title.split(',')[0]!;
  const message = `the ${model} fails its self-test: it moved ${off.join(', ')}`;
  const next = 'Keep it still while it starts; if it still fails, it is damaged.';
  if (place.selfTest === 'required') throw new AiotError('AIOT_SENSOR_FAILED', message, { next });
  cautions.push(`${message}. ${next}`);
}

/** Checks the load of the bus. @throws AIOT_SENSOR_URL if no bus clock is sufficient for the requested load */
function checkBudget(place: I2cPlace, bus: I2cBus, url: SensorUrl, cautions: string[]): void {
  const bits = place.chips.reduce((sum, { plan }) => sum + plan.bitsPerSecond, 0);
  const share = (hz: number) => bits / hz;
  const kHz = (hz: number) => `${hz / 1000} kHz`;
  if (share(bus.speedHz ?? fastestHz) > 1)
    throw new AiotError(
      'AIOT_SENSOR_URL',
      `${url.endpoint}: these rates need ${percent(share(bus.speedHz ?? fastestHz))} of the capacity of a bus at ${kHz(bus.speedHz ?? fastestHz)}`,
      { next: faster(bus.speedHz) },
    );
  const assumed = bus.speedHz ?? usualHz;
  if (share(assumed) > busyShare)
    cautions.push(
      `these rates use ${percent(share(assumed))} of a bus at ${kHz(assumed)}${
        bus.speedHz === null ? ', if that is its speed' : ''
      }. ${faster(bus.speedHz)}`,
    );
}

function faster(speedHz: number | null): string {
  return speedHz !== null && speedHz >= fastestHz
    ? 'Choose a lower rate, or disable the gyroscope: ?gyro=off'
    : 'Choose a lower rate, or set dtparam=i2c_arm_baudrate=400000 in /boot/firmware/config.txt.';
}

function round(value: number): number {
  return Math.round(value * 1000) / 1000;
}

/** A parsed `i2c:` URL. */
interface I2cPlace {
  /** Number or path of the bus, or `sim`. */
  bus: string;
  chips: readonly { driver: ChipDriver; plan: ChipPlan; addresses: readonly number[] }[];
  selfTest: 'on' | 'off' | 'required';
}

/**
 * Parses `i2c://BUS/CHIP[,CHIP]?rate=104&address=0x6a`. Settings without a prefix belong to the first chip. Those of other chips have the
 * chip's name as a prefix (`lis3mdl.rate=40`).
 * @throws AIOT_SENSOR_URL
 */
export function readPlace(url: SensorUrl): I2cPlace {
  const slash = url.place.lastIndexOf('/');
  const bus = url.place.slice(0, Math.max(0, slash));
  const names = url.place
    .slice(slash + 1)
    .split(',')
    .filter((name) => name !== '');
  if (bus === '' || names.length === 0)
    throw refused(`${url.endpoint}: expected a bus and a chip, such as i2c://1/lsm6ds3tr-c`);
  const selfTest = url.query.selftest ?? 'on';
  if (selfTest !== 'on' && selfTest !== 'off' && selfTest !== 'required')
    throw refused(`${url.endpoint}: expected selftest=on, off or required; got ${selfTest}`);
  if (new Set(names).size < names.length)
    throw refused(
      `${url.endpoint}: a chip is named twice`,
      'Use a separate loop for each of two chips of the same type.',
    );
  const drivers = names.map((name) => driverNamed(name, url));
  for (const name of Object.keys(url.query))
    if (name.includes('.') && !names.slice(1).includes(name.split('.')[0]!))
      throw refused(`${url.endpoint}: ${name} does not belong to any chip in this URL`);
  const chips = drivers.map((driver, index) => {
    const { address, ...query } = own(url, driver, index);
    const addresses = address === undefined ? driver.addresses : [addressOf(address, driver, url)];
    return { driver, plan: driver.plan({ ...url, query }), addresses };
  });
  return { bus, chips, selfTest };
}

/** @throws AIOT_SENSOR_URL */
function driverNamed(name: string, url: SensorUrl): ChipDriver {
  const found = chipDrivers.find((driver) => driver.name === name.toLowerCase());
  if (found) return found;
  const known = chipDrivers.map((driver) => driver.name).join(', ');
  throw refused(`${url.endpoint}: unknown chip ${name}`, `Use one of ${known}.`);
}

/** The settings of one chip, without its prefix. */
function own(url: SensorUrl, driver: ChipDriver, index: number): Record<string, string> {
  const { selftest: _, map: __, ...query } = url.query;
  const entries = Object.entries(query);
  const prefix = `${driver.name}.`;
  if (index === 0) return Object.fromEntries(entries.filter(([name]) => !name.includes('.')));
  return Object.fromEntries(
    entries.flatMap(([name, value]) =>
      name.startsWith(prefix) ? [[name.slice(prefix.length), value] as const] : [],
    ),
  );
}

function addressOf(text: string, driver: ChipDriver, url: SensorUrl): number {
  const address = /^(0x[0-9a-f]{1,2}|\d{1,3})$/i.test(text) ? Number(text) : Number.NaN;
  if (driver.addresses.includes(address)) return address;
  throw refused(
    `${url.endpoint}: expected address=${driver.addresses.map((address) => hex(address, 2)).join(' or ')} for this chip, got ${text}`,
  );
}

function refused(message: string, next?: string): AiotError {
  return new AiotError('AIOT_SENSOR_URL', message, next === undefined ? {} : { next });
}

/**
 * Opens the bus: a simulated one with the requested chips, or a bus of Linux. @throws AIOT_I2C_PACKAGE, AIOT_I2C_MISSING, AIOT_SENSOR_URL
 */
export async function openBus(place: I2cPlace, clock: Clock): Promise<I2cBus> {
  if (place.bus === 'sim') {
    const chips = place.chips.map(({ driver, addresses }) => ({ name: driver.name, address: addresses[0]! }));
    return simulatedBus({ chips, clock });
  }
  const { openLinuxBus } = await import('./linux-bus.js');
  return openLinuxBus(place.bus);
}
