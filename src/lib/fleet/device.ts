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

/** The next state, or AIOT_DEVICE_STATE for what cannot happen in this one. */
export function deviceStep(state: DeviceState, event: DeviceEvent): DeviceState {
  const next = steps[state][event];
  if (next) return next;
  const fitting = Object.keys(steps[state]).join(', ');
  throw new AiotError(
    'AIOT_DEVICE_STATE',
    `a device that is ${state} cannot be told "${event}"; it takes ${fitting}`,
    { next: 'aiot device list shows the state of each device.' },
  );
}

/** Whether a device in this state may connect. */
export function mayConnect(state: DeviceState): boolean {
  return state === 'provisioned' || state === 'active';
}
