import type { ChipSetting } from './chip.js';
import { chipDrivers } from './chips/index.js';
import { readPlace } from './place.js';

/** A chip that can be read, for help and documents. */
export interface ChipDescription {
  name: string;
  title: string;
  /** 7 bits. */
  addresses: readonly number[];
  /** Of a URL without settings. */
  fields: readonly { name: string; unit: string }[];
  rateHz: number;
  settings: readonly ChipSetting[];
}

/** Every chip that there is a driver of. */
export function describeChips(): ChipDescription[] {
  return chipDrivers.map((driver) => {
    const { fields, rateHz } = readPlace({
      scheme: 'i2c',
      place: `sim/${driver.name}`,
      endpoint: `i2c:sim/${driver.name}`,
      query: {},
    }).chips[0]!.plan;
    const { name, title, addresses, settings } = driver;
    return { name, title, addresses, fields, rateHz, settings };
  });
}

/** The chip of a name, however it is written: `LSM6DS3TR-C` and `lsm6ds3trc` are one. */
export function chipNamed(name: string): ChipDescription | undefined {
  const plain = (text: string) => text.toLowerCase().replaceAll(/[^a-z0-9]/g, '');
  return describeChips().find((chip) => plain(chip.name) === plain(name));
}
