import type { Envelope } from '../formats/manifest/envelope.js';
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
import {
  type ChangedDevice,
  changedDevicesSchema,
  type DeviceChange,
  type DeviceHistoryEntry,
  type DeviceTwin,
  deviceHistorySchema,
  deviceListSchema,
  deviceTwinSchema,
} from './fleet-api.js';
import { everyPage } from './page.js';
import { type SimulatedReply, type SimulatedRequest, simulatedReplySchema } from './simulated-api.js';
import {
  type DeviceCommand,
  type DeviceMessage,
  type DeviceMessagesQuery,
  type DeviceReply,
  deviceMessagesSchema,
  deviceReplySchema,
} from './talk-api.js';
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
    /** By name; those that a selector matches. @throws AIOT_SELECTOR_INVALID */
    list: (selector?: string): Promise<DeviceInfo[]> =>
      everyPage(async (query) => {
        const chosen = selector === undefined ? '' : `&selector=${part(selector)}`;
        const { devices, next } = await transport.json('GET', `/devices?${query}${chosen}`, deviceListSchema);
        return { entries: devices, next };
      }),
    /** Each by itself, at most `mostChanges`. With `dryRun` nothing is done. */
    change: async (names: string[], change: DeviceChange, dryRun = false): Promise<ChangedDevice[]> => {
      const body = { names, change, dryRun };
      return (await transport.json('POST', '/devices/actions', changedDevicesSchema, body)).devices;
    },
    /** What it is to run, and what it says that it does. */
    state: (name: string): Promise<DeviceTwin> =>
      transport.json('GET', `${path(name)}/state`, deviceTwinSchema),
    /** Newest first, at most so many. */
    history: async (name: string, limit: number): Promise<DeviceHistoryEntry[]> =>
      (await transport.json('GET', `${path(name)}/history?limit=${limit}`, deviceHistorySchema)).entries,
    /** What it said last on a channel, oldest first. `since`: ms since 1970. */
    messages: async (
      name: string,
      { channel, since, limit }: Pick<DeviceMessagesQuery, 'channel' | 'since' | 'limit'>,
    ): Promise<DeviceMessage[]> => {
      const query = `channel=${channel}&limit=${limit}${since === undefined ? '' : `&since=${since}`}`;
      return (await transport.json('GET', `${path(name)}/messages?${query}`, deviceMessagesSchema)).messages;
    },
    /** @throws AIOT_DEVICE_OFFLINE, AIOT_COMMAND_FAILED for a refusal, or where no answer comes */
    command: (name: string, command: DeviceCommand): Promise<DeviceReply> =>
      transport.json('POST', `${path(name)}/commands`, deviceReplySchema, { command }),
    /** @throws AIOT_DEVICE_STATE for one that is neither registered nor revoked */
    remove: (name: string): Promise<DeviceInfo> => transport.json('DELETE', path(name), deviceSchema),
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
    /** Makes simulated devices, or gives those that are there new secrets. @throws AIOT_DEVICE_EXISTS, AIOT_DEVICE_ONLINE */
    simulate: (request: SimulatedRequest): Promise<SimulatedReply> =>
      transport.json('PUT', '/devices/simulated', simulatedReplySchema, request),
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
