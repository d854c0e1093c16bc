import { AiotError } from '../../core/index.js';
import type { SensorUrl } from '../url.js';
import { hex } from './access.js';
import type { ChipDriver, ChipPlan } from './chip.js';
import { chipDrivers } from './chips/index.js';

/** What an `i2c:` URL asks for. */
export interface I2cPlace {
  /** Number of the bus, a path of it, or `sim`. */
  bus: string;
  chips: readonly { driver: ChipDriver; plan: ChipPlan; addresses: readonly number[] }[];
  selfTest: 'on' | 'off' | 'required';
}

/**
 * `i2c://BUS/CHIP[,CHIP]?rate=104&address=0x6a`. Settings are the first chip's; another's have its name before them
 * (`lis3mdl.rate=40`).
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
      'Read each of two chips of a kind by a loop of its own.',
    );
  const drivers = names.map((name) => driverNamed(name, url));
  for (const name of Object.keys(url.query))
    if (name.includes('.') && !names.slice(1).includes(name.split('.')[0]!))
      throw refused(`${url.endpoint}: ${name} is of no further chip of this URL`);
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
  throw refused(`${url.endpoint}: no chip is called ${name}`, `Chips: ${known}`);
}

/** The settings of one of the chips. */
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
    `${url.endpoint}: expected address=${driver.addresses.map(hex).join(' or ')} for this chip, got ${text}`,
  );
}

function refused(message: string, next?: string): AiotError {
  return new AiotError('AIOT_SENSOR_URL', message, next === undefined ? {} : { next });
}
