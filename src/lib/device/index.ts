/**
 * Devices: protocol v1, the update state machine, and the virtual device over a simulated flash. The platform's records
 * of devices are in the fleet module.
 */

export { boardEventSchema, describeBoardEvent, simulateBoard, simulatedBoards } from './board.js';
export { type Conformity, conformDevice, conformitySchema } from './conform/conform.js';
export { type DeviceEvent, describeEvent, deviceEventSchema } from './events.js';
export {
  asks,
  chanceOf,
  isAway,
  type Network,
  parseClock,
  parseLatency,
  parseShare,
} from './fleet/network.js';
export {
  RehearsedDevice,
  type RehearsedNetwork,
  type RehearsedTraffic,
  type SettingsWish,
} from './fleet/rehearsed.js';
export {
  describeFleetEvent,
  type FleetOptions,
  fleetEventSchema,
  simulateFleet,
  usualTemplate,
} from './fleet/simulate.js';
export {
  describeFollowEvent,
  type FollowEvent,
  type FollowOptions,
  followEventSchema,
  followRollouts,
} from './gateway/follow.js';
export { createNativeDevice, type SimulatedDevice } from './native/device.js';
export { simulateNative } from './native/simulate.js';
export { type Joined, joinedSchema, joinOverSerial } from './onboard/improv.js';
export type { SeenNetwork } from './onboard/improv-session.js';
export { type Onboarded, onboardedSchema } from './onboard/onboard.js';
export { provision, typeCaution } from './onboard/provision.js';
export { renewDevice } from './onboard/renew.js';
export { joinOverSoftap } from './onboard/softap.js';
export { foundInFolder, foundOnBoard } from './onboard/verify-board.js';
export {
  type DeviceChannel,
  decodeMessage,
  deviceChannels,
  encodeMessage,
  isProtocolTopic,
  parseTopic,
  type TopicParts,
  topicOf,
} from './protocol/codec.js';
export { logLevelMs, logLevels, logSchema, type Reply, replySchema } from './protocol/control.js';
export {
  type Desired,
  type Inference,
  inferenceSchema,
  presenceSchema,
  type Reported,
  reportedSchema,
  type SignedProof,
  telemetryMembers,
  telemetrySchema,
  type UpdateState,
} from './protocol/messages.js';
export { checkProof, type Proof } from './protocol/proof.js';
export { agentEventSchema, describeAgentEvent, runAgent } from './remote/agent.js';
export {
  type Copied,
  copiedSchema,
  copyFile,
  type ForwardEvent,
  forwardEventSchema,
  forwardPort,
  forwardPortsOf,
  type RemoteShell,
  remoteShell,
  remoteShellSchema,
} from './remote/operate.js';
export { closeReason, dataIn, mostChannels } from './remote/tunnel.js';
export { simulateDevice } from './simulate.js';
export { parseSpeed, suitableSource } from './telemetry/sensor.js';
export { createVirtualDevice } from './virtual/device.js';
