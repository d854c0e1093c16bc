import { AiotError } from '../core/errors.js';
import type { DeviceInfo } from '../registry/fields.js';
import { type Changeable, type DeviceChange, mostTags } from '../registry/fleet-api.js';

/** registered → provisioned (has a certificate) → active (was seen) ⇄ suspended; any of them → revoked, for good. */
export type DeviceState = DeviceInfo['state'];

export type DeviceEvent = 'certified' | 'seen' | 'suspend' | 'resume' | 'revoke';

const steps: Record<DeviceState, Partial<Record<DeviceEvent, DeviceState>>> = {
  registered: { certified: 'provisioned', revoke: 'revoked' },
  provisioned: { certified: 'provisioned', seen: 'active', suspend: 'suspended', revoke: 'revoked' },
  active: { certified: 'active', seen: 'active', suspend: 'suspended', revoke: 'revoked' },
  suspended: { resume: 'active', suspend: 'suspended', revoke: 'revoked' },
  revoked: { revoke: 'revoked' },
};

/** What somebody does who wants more of a device than its state takes. */
const ways: Record<DeviceState, string> = {
  registered: 'Give it a certificate first: aiot device provision NAME',
  provisioned: 'It may connect as it is: aiot device show NAME',
  active: 'It may connect as it is: aiot device show NAME',
  suspended: 'Let it in again first: aiot device resume NAME',
  revoked: 'It never comes back. Forget it, and make it anew: aiot device remove NAME',
};

/** The next state, or AIOT_DEVICE_STATE for what cannot happen in this one. */
export function deviceStep(state: DeviceState, event: DeviceEvent): DeviceState {
  const next = steps[state][event];
  if (next) return next;
  const fitting = Object.keys(steps[state]).join(', ');
  throw new AiotError(
    'AIOT_DEVICE_STATE',
    `a device that is ${state} cannot be told "${event}"; it takes ${fitting}`,
    { next: ways[state] },
  );
}

/** Whether a device in this state may connect. */
export function mayConnect(state: DeviceState): boolean {
  return state === 'provisioned' || state === 'active';
}

/**
 * What a change makes of a device: `null` = it is gone. What is the same as before is the very same object.
 * @throws AIOT_DEVICE_STATE for what cannot happen in its state, AIOT_REQUEST_INVALID for more tags or groups than one may have
 */
export function changeDevice(device: Changeable, change: DeviceChange): Changeable | null {
  switch (change.action) {
    case 'suspend':
    case 'resume':
    case 'revoke': {
      const state = deviceStep(device.state, change.action);
      return state === device.state ? device : { ...device, state };
    }
    case 'remove':
      if (device.state === 'registered' || device.state === 'revoked') return null;
      throw new AiotError(
        'AIOT_DEVICE_STATE',
        `a device that is ${device.state} cannot be removed, for its certificate is good: revoke it first`,
        { next: 'Revoke it first: aiot device revoke NAME' },
      );
    case 'tag': {
      const kept = Object.entries(device.tags).filter(([tag]) => !change.remove.includes(tag));
      const tags = sorted([...kept, ...Object.entries(change.set)]);
      return same(device.tags, tags) ? device : { ...device, tags: few(tags, 'tags') };
    }
    case 'group': {
      const kept = device.groups.filter((group) => !change.remove.includes(group));
      const groups = [...new Set([...kept, ...change.add])].sort();
      return same(device.groups, groups) ? device : { ...device, groups: few(groups, 'groups') };
    }
  }
}

function few<T extends object>(value: T, what: string): T {
  const count = Object.keys(value).length;
  if (count <= mostTags) return value;
  throw new AiotError('AIOT_REQUEST_INVALID', `a device may have at most ${mostTags} ${what}, got ${count}`, {
    next: `Take some away: aiot device ${what === 'tags' ? 'tag' : 'group'} NAME OLD-`,
  });
}

/** The last one of a name counts. */
function sorted(entries: [string, string][]): Record<string, string> {
  const last = [...new Map(entries)];
  return Object.fromEntries(last.sort(([a], [b]) => (a < b ? -1 : 1)));
}

function same(a: object, b: object): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
