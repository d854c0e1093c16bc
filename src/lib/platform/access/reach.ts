import type { PlatformEvent } from '../../api/events/api.js';
import { sha256Hex } from '../../core/crypto.js';
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

/** Devices in reach, as they were when they were last compared. */
interface Followed {
  reach: Reach;
  names: Set<string>;
  /** Called when devices have left, or have entered. */
  listeners: Set<(change: ReachChange) => void>;
}

export type ReachChange = 'left' | 'entered';

/**
 * Follows which devices are in reach, for brokers that cannot leave out single messages: a subscription there is allowed once. Users with
 * the same selectors share a list.
 */
export class FollowedReaches {
  private readonly followed = new Map<string, Followed>();
  private stop: (() => void) | undefined;

  constructor(private readonly devices: Pick<Devices, 'select' | 'onSelectableChange'>) {}

  /**
   * Calls the listener with each change, until `end` is called.
   * @returns the names of the devices now in reach; the listener is called for every change after this
   */
  follow(
    reach: Reach,
    listener: (change: ReachChange) => void,
  ): { names: ReadonlySet<string>; end: () => void } {
    this.stop ??= this.devices.onSelectableChange((name) => this.compare(name));
    const known = this.followed.get(reach.text);
    const names = known?.names ?? new Set(this.devices.select(reach.text).map(({ name }) => name));
    const one = known ?? { reach, names, listeners: new Set() };
    this.followed.set(reach.text, one);
    one.listeners.add(listener);
    const end = () => {
      one.listeners.delete(listener);
      if (one.listeners.size === 0) this.followed.delete(reach.text);
    };
    return { names, end };
  }

  private compare(name: string): void {
    for (const { reach, names, listeners } of this.followed.values()) {
      const is = reach.has(name);
      if (is === names.has(name)) continue;
      if (is) names.add(name);
      else names.delete(name);
      for (const listener of listeners) listener(is ? 'entered' : 'left');
    }
  }
}

/** A short text that changes with the devices in reach. */
export function reachDigest(names: Iterable<string>): string {
  return sha256Hex([...names].sort().join('\n')).slice(0, 32);
}
