/**
 * Local sensors: chips on an I²C bus, Linux's Industrial I/O, 1-wire thermometers and the microphone, with simulators of the chips at
 * register level. Provides samples with the time of each. Does not depend on models.
 */
export { type Burden, burdenOf, burdenSchema, type Clamp, parseClamp } from './burden.js';
export type { I2cBus } from './i2c/bus.js';
export { openI2c } from './i2c/open.js';
export { chipNamed, describeChips, probeI2c } from './i2c/probe.js';
export { type SimulatedBus, type SimulatedBusSettings, simulatedBus } from './i2c/simulated-bus.js';
export { type Signal, still, swaying, type World } from './i2c/simulated-chip.js';
export type { I2cSource } from './i2c/source.js';
export { listIio } from './iio/device.js';
export { openIio } from './iio/open.js';
export { listMicrophones, openMicrophone } from './microphone.js';
export { openThermometer } from './thermometer.js';
export type { SampleBatch, SampleField, SampleSource, SourceFaults } from './types.js';
export { parseSensorUrl } from './url.js';
