/**
 * The device's side: protocol v1, the update state machine, and the virtual device over a simulated flash.
 * Keeps no fleet; what the platform thinks of a device is the fleet room's matter.
 */
export * from './protocol/codec.js';
export * from './protocol/control.js';
export * from './protocol/messages.js';
export * from './protocol/topics.js';
