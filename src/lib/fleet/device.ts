import { AiotError } from '../core/index.js';
import type { DeviceInfo } from '../registry/index.js';

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
