import type { Envelope } from '../formats/index.js';
import { listSchemas } from './api.js';
import {
  type Activation,
  activationSchema,
  birthReplySchema,
  type Claim,
  type ClaimRequest,
  claimSchema,
  type StoredBirth,
} from './device-api.js';
import { type DeviceInfo, deviceSchema, type ProvisionReply, provisionReplySchema } from './fields.js';
import type { Transport } from './transport.js';

const part = encodeURIComponent;

/** What is known of a board. */
export interface Board {
  mac?: string | undefined;
  chipId?: string | undefined;
}

/** Fingerprint of the certificate that a device was given last, null = none: where it has another by now, it is left as it is. */
export type Latest = string | null | undefined;

export function deviceCalls(transport: Transport) {
  const path = (name: string) => `/devices/${part(name)}`;
  const reply = (at: string, body: object): Promise<ProvisionReply> =>
    transport.json('POST', at, provisionReplySchema, body);
  return {
    /** Registers a device and signs its certificate request (PEM). @throws AIOT_DEVICE_EXISTS, AIOT_CSR_INVALID */
    provision: (name: string, type: string, csr: string, board: Board = {}) =>
      reply('/devices', { name, type, csr, ...board }),
    list: async (): Promise<DeviceInfo[]> =>
      (await transport.json('GET', '/devices', listSchemas.devices)).devices,
    get: (name: string): Promise<DeviceInfo> => transport.json('GET', path(name), deviceSchema),
    act: (name: string, action: 'suspend' | 'resume' | 'revoke'): Promise<DeviceInfo> =>
      transport.json('POST', `${path(name)}/state`, deviceSchema, { action }),
    /** A new certificate; the one before is good until this one is used, or with `now` no longer. @throws AIOT_DEVICE_CHANGED */
    rotate: (name: string, csr: string, now: boolean, latest?: Latest) =>
      reply(`${path(name)}/certificate`, { csr, now, ...(latest === undefined ? {} : { latest }) }),
    /** The certificate that was made last is in use from now on, and the one before ends. Again: nothing changes. @throws AIOT_REQUEST_INVALID */
    settle: (name: string, fingerprint: string): Promise<DeviceInfo> =>
      transport.json('POST', `${path(name)}/certificate/current`, deviceSchema, { fingerprint }),
    /** Another board under the same name; the certificate of the one before ends at once. @throws AIOT_DEVICE_CHANGED */
    replace: (name: string, csr: string, mac?: string, latest?: Latest) =>
      reply(`${path(name)}/replace`, {
        csr,
        ...(mac === undefined ? {} : { mac }),
        ...(latest === undefined ? {} : { latest }),
      }),
    /** By the device itself: it is in the field. */
    activate: (): Promise<Activation> => transport.json('POST', '/activation', activationSchema, {}),
    birth: {
      put: (name: string, envelope: Envelope): Promise<StoredBirth> =>
        transport.json('PUT', `${path(name)}/birth`, birthReplySchema, { envelope }),
      /** @throws AIOT_BIRTH_MISSING */
      get: (name: string): Promise<StoredBirth> =>
        transport.json('GET', `${path(name)}/birth`, birthReplySchema),
    },
  };
}

export function claimCalls(transport: Transport) {
  return {
    make: (request: ClaimRequest): Promise<Claim> => transport.json('POST', '/claims', claimSchema, request),
    /** No operator is asked: the token is enough. @throws AIOT_CLAIM_INVALID, AIOT_CSR_INVALID */
    redeem: (token: string, csr: string, mac?: string): Promise<ProvisionReply> =>
      transport.json('POST', '/claims/redeem', provisionReplySchema, {
        token,
        csr,
        ...(mac === undefined ? {} : { mac }),
      }),
  };
}
