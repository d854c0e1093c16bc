import { type HeldIdentity, readIdentity } from '../../provision/held-identity.js';

/** A device's identity, its platform's addresses, and the keys that the device trusts. PEM texts. */
export type DeviceIdentity = HeldIdentity;

export { readIdentity };
