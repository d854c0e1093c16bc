/** Any sensor's URL as samples in the contract's fields, units and rate, measured, across losses and reconnects. */
export { type MeasuredSensor, measureSensor } from './measure-sensor.js';
export { openSensing } from './open.js';
export { createScaledClock, createVirtualClock } from './time/clocks.js';
export type { SensingContract, SensingEvent, SensingOptions, Simulation } from './types.js';
