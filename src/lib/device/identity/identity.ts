import { type HeldIdentity, readIdentity } from '../../provision/held-identity.js';

/** A device's identity: who it is, where its platform is, and whom it trusts. PEM texts. */
export type DeviceIdentity = HeldIdentity;

export { readIdentity };
