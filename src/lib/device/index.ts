/**
 * The device's side: protocol v1, the update state machine, and the virtual device over a simulated flash.
 * Keeps no fleet; what the platform thinks of a device is the fleet room's matter.
 */

export { type ConformOptions, conformDevice } from './conform/conform.js';
export { type Conformity, conformitySchema } from './conform/result.js';
export { type DeviceEvent, deviceEventSchema } from './events.js';
export { chanceOf } from './fleet/chance.js';
export { describeFleetEvent, type FleetEvent, fleetEventSchema } from './fleet/events.js';
export { isAway, parseClock, parseLatency, parseShare } from './fleet/network.js';
export { RehearsedDevice, type RehearsedNetwork, type RehearsedTraffic } from './fleet/rehearsed.js';
export { type FleetOptions, simulateFleet } from './fleet/simulate.js';
export { usualTemplate } from './fleet/template.js';
export { simulateBoardAtGuide } from './guide/at-platform.js';
export { describeGuideEvent, type GuideEvent, guideEventSchema } from './guide/events.js';
export { guideTopics } from './guide/messages.js';
export { guideRoles, simulateGuideBoard } from './guide/simulate.js';
export type { DeviceIdentity } from './identity/identity.js';
export { describeKitEvent, type KitEvent, kitEventSchema, simulateKit } from './kit/simulate.js';
export { createNativeDevice, type NativeDevice, type SimulatedDevice } from './native/device.js';
export { type Onboarded, onboardDevice, onboardedSchema } from './onboard/onboard.js';
export { provision } from './onboard/provision.js';
export { renewDevice } from './onboard/renew.js';
export { foundInFolder, foundOnBoard } from './onboard/verify-board.js';
export * from './protocol/codec.js';
export * from './protocol/control.js';
export * from './protocol/messages.js';
export * from './protocol/proof.js';
export { protocolSchemas } from './protocol/schemas.js';
export * from './protocol/topics.js';
export type { ModelRuntime } from './runtime.js';
export { createFlash, type Flash, PowerCut } from './sim/flash.js';
export { createDeviceStore, flashBytesFor } from './sim/store.js';
export { describeEvent } from './simulate/describe.js';
export { simulateNatives } from './simulate/natives.js';
export { parseSpeed } from './simulate/sensors.js';
export { simulateDevice } from './simulate/simulate.js';
export type { Sensor } from './telemetry/sensor.js';
export type { BundleSource } from './update/ports.js';
export { createVirtualDevice } from './virtual/device.js';
export type { VirtualDevice } from './virtual/types.js';
