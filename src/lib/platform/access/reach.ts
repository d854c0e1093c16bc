import type { PlatformEvent } from '../../api/events/api.js';
import { AiotError } from '../../core/errors.js';
import {
  everyOf,
  keysOf,
  listedNames,
  parseSelector,
  type Selectable,
  withoutList,
} from '../../fleet/selector.js';
import type { Devices } from '../devices/devices.js';

/** The devices that a user's rights are limited to. */
export interface Reach {
  /** Selectors, all of which a device must match. */
  readonly selectors: readonly string[];
  /** The selectors as one. */
  readonly text: string;
  /** Whether the device matches now. A device that does not exist matches no selector. */
  has(device: string): boolean;
  /** Whether a device with these properties would match. */
  matches(device: Selectable): boolean;
}

/** The devices that match all selectors; null if there are none, so that the rights apply to every device. */
export function reachOf(
  selectors: readonly string[],
  devices: Pick<Devices, 'find' | 'selectable'> | undefined,
): Reach | null {
  if (selectors.length === 0) return null;
  let tests: ReturnType<typeof parseSelector>[] | undefined;
  const matches = (device: Selectable) => {
    // No key of these selectors depends on the time.
    tests ??= selectors.map((text) => parseSelector(text, 0));
    return tests.every((fits) => fits(device));
  };
  return {
    selectors,
    text: everyOf(selectors),
    has(name) {
      const device = devices?.find(name);
      return !!devices && !!device && matches(devices.selectable(device));
    },
    matches,
  };
}

/** Keys that only operators change. A device could bring itself into reach by what it reports, such as its firmware. */
const stableKeys = ['name', 'id', 'type', 'group', 'mac'];

/** The selector of a user or a token, once checked; null = all devices. @throws AIOT_SELECTOR_INVALID */
export function reachSelector(text: string | undefined): string | null {
  if (text === undefined) return null;
  const wrong = [...keysOf(text)].find((key) => !stableKeys.includes(key) && !key.startsWith('tag.'));
  if (wrong === undefined) return everyOf([text]) === 'all' ? null : text;
  throw new AiotError(
    'AIOT_SELECTOR_INVALID',
    `rights cannot depend on ${wrong}: expected ${stableKeys.join(', ')} or a tag`,
    { next: 'Use a tag or a group, such as --selector site=hall-3, or --selector group=presses.' },
  );
}

/** Whether rights with the second selectors never exceed rights with the first. */
export function withinReach(reach: Reach | null, selectors: readonly string[]): boolean {
  return reach === null || reach.selectors.every((own) => selectors.includes(own));
}

/** Requires devices in reach. Names of no device are rejected alike, so that an attempt does not reveal which devices exist. @throws AIOT_NOT_ALLOWED */
export function requireInReach(reach: Reach | null, devices: Iterable<string>): void {
  if (reach === null) return;
  for (const name of devices) {
    if (reach.has(name)) continue;
    throw outOfReach(`${name.slice(0, 64)} is not among the devices of this token (${reach.text})`);
  }
}

/** An attempt to use something beyond the devices in reach. */
export function outOfReach(message: string): AiotError {
  return new AiotError('AIOT_NOT_ALLOWED', message, {
    next: 'To see the devices that you can use, run `aiot device list`. For others, ask an operator for a token.',
  });
}

/**
 * Narrows a selector to devices in reach. A listed name out of reach is rejected. The names of a limit are not, because a device of that limit
 * may have been removed since.
 * @throws AIOT_NOT_ALLOWED, AIOT_SELECTOR_INVALID
 */
export function narrowed(reach: Reach | null, selector: string): string {
  if (reach === null) return selector;
  requireInReach(reach, listedNames(selector) ?? []);
  return everyOf([selector, ...reach.selectors.map(withoutList)]);
}

/** Whether an event concerns a device in reach: one of its changes, or an alarm's incident on it. */
export function concerns(reach: Reach | null, { type, subject, data }: PlatformEvent): boolean {
  if (reach === null) return true;
  if (type.startsWith('device.')) return reach.has(subject);
  const isIncident = type === 'alarm.raise' || type === 'alarm.clear';
  return isIncident && typeof data.device === 'string' && reach.has(data.device);
}
