/**
 * The device's side: protocol v1, the update state machine, and the virtual device over a simulated flash.
 * Keeps no fleet; what the platform thinks of a device is the fleet room's matter.
 */

export { type Conformity, type ConformOptions, conformDevice, conformitySchema } from './conform/conform.js';
export { type DeviceEvent, describeEvent, deviceEventSchema } from './events.js';
export { chanceOf, isAway, parseClock, parseLatency, parseShare } from './fleet/network.js';
export { RehearsedDevice, type RehearsedNetwork, type RehearsedTraffic } from './fleet/rehearsed.js';
export {
  describeFleetEvent,
  type FleetEvent,
  type FleetOptions,
  fleetEventSchema,
  simulateFleet,
  usualTemplate,
} from './fleet/simulate.js';
export { simulateBoardAtGuide } from './guide/at-platform.js';
export { guideTopics } from './guide/messages.js';
export {
  describeGuideEvent,
  type GuideEvent,
  guideEventSchema,
  guideRoles,
  simulateGuideBoard,
} from './guide/simulate.js';
export type { DeviceIdentity } from './identity/identity.js';
export { describeKitEvent, type KitEvent, kitEventSchema, simulateKit } from './kit.js';
export { createNativeDevice, type NativeDevice, type SimulatedDevice } from './native/device.js';
export { simulateNatives } from './native/simulate.js';
export { type Onboarded, onboardDevice, onboardedSchema } from './onboard/onboard.js';
export { provision } from './onboard/provision.js';
export { renewDevice } from './onboard/renew.js';
export { foundInFolder, foundOnBoard } from './onboard/verify-board.js';
export * from './protocol/codec.js';
export * from './protocol/codec.js';
export * from './protocol/control.js';
export * from './protocol/messages.js';
export * from './protocol/proof.js';
export { protocolSchemas } from './protocol/schemas.js';
export type { ModelRuntime } from './runtime.js';
export { simulateDevice } from './simulate.js';
export { parseSpeed, type Sensor } from './telemetry/sensor.js';
export type { BundleSource } from './update/types.js';
export { createVirtualDevice } from './virtual/device.js';
export { createFlash, type Flash, PowerCut } from './virtual/flash.js';
export { createDeviceStore, flashBytesFor } from './virtual/store.js';
export type { VirtualDevice } from './virtual/types.js';
