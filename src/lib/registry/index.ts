/** The client's side of the platform's API: its bodies, the client that speaks it, and what is done with it in turn. */
export * from './api.js';
export { createClient, type RegistryClient } from './client.js';
export { clientFor, contextFor, withClient } from './context.js';
export { deployExit, deployModel, deployNews } from './deploy.js';
export * from './device-api.js';
export type { Latest } from './devices.js';
export {
  checkChipId,
  checkMac,
  chipIdOf,
  type DeviceInfo,
  deviceSchema,
  deviceStates,
  isChipId,
  macSchema,
  type ProvisionReply,
  provisionReplySchema,
  provisionRequestSchema,
} from './fields.js';
export {
  type FetchedFirmware,
  type FirmwareClient,
  fetchFirmware,
  pulledFirmwareSchema,
  pullFirmware,
  resolveFirmware,
} from './firmware/fetch.js';
export { pushedFirmwareSchema, pushFirmware } from './firmware/push.js';
export * from './firmware-api.js';
export { parseModelReference, parseVersion, promoteModel, resolveModel } from './reference.js';
export { showModel, shownModelSchema } from './show.js';
