import { type Changeable, type DeviceChange, mostTags } from '../api/contract/devices.js';
import type { DeviceInfo } from '../api/fields.js';
import { AiotError } from '../core/errors.js';

/** registered → provisioned (has a certificate) → active (has connected) ⇄ suspended; any state → revoked, permanently. */
export type DeviceState = DeviceInfo['state'];

export type DeviceEvent = 'certified' | 'seen' | 'suspend' | 'resume' | 'revoke';

const steps: Record<DeviceState, Partial<Record<DeviceEvent, DeviceState>>> = {
  registered: { certified: 'provisioned', revoke: 'revoked' },
  provisioned: { certified: 'provisioned', seen: 'active', suspend: 'suspended', revoke: 'revoked' },
  active: { certified: 'active', seen: 'active', suspend: 'suspended', revoke: 'revoked' },
  suspended: { resume: 'active', suspend: 'suspended', revoke: 'revoked' },
  revoked: { revoke: 'revoked' },
};

/** The next step for an operator whose request is not possible, by the device's state. */
const ways: Record<DeviceState, string> = {
  registered: 'Provision it first with `aiot device provision NAME`.',
  provisioned: 'The device can already connect. To see its state, run `aiot device show NAME`.',
  active: 'The device can already connect. To see its state, run `aiot device show NAME`.',
  suspended: 'Resume it first with `aiot device resume NAME`.',
  revoked: 'A revoked device cannot be restored. Provision it again with `aiot device provision NAME`.',
};

/** Returns the next state. @throws AIOT_DEVICE_STATE if the event is not possible in this state */
export function deviceStep(state: DeviceState, event: DeviceEvent): DeviceState {
  const next = steps[state][event];
  if (next) return next;
  const fitting = Object.keys(steps[state]).join(', ');
  throw new AiotError(
    'AIOT_DEVICE_STATE',
    `a device that is ${state} does not accept the event "${event}", only ${fitting}`,
    { next: ways[state] },
  );
}

/** Whether a device in this state may connect. */
export function mayConnect(state: DeviceState): boolean {
  return state === 'provisioned' || state === 'active';
}

/**
 * Applies a change to a device. Returns `null` if the device is deleted, and the same object if nothing changed.
 * @throws AIOT_DEVICE_STATE if the change is not possible in its state, AIOT_REQUEST_INVALID (more tags or groups than
 * allowed)
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
        `a device that is ${device.state} cannot be removed, because its certificate is still valid`,
        { next: 'Revoke it first with `aiot device revoke NAME`.' },
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
    next: `Remove some with \`aiot device ${what === 'tags' ? 'tag' : 'group'} NAME OLD-\`.`,
  });
}

/** Sorts entries by name. If a name occurs twice, the last entry is used. */
function sorted(entries: [string, string][]): Record<string, string> {
  const last = [...new Map(entries)];
  return Object.fromEntries(last.sort(([a], [b]) => (a < b ? -1 : 1)));
}

function same(a: object, b: object): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
