/** The serial ports of this machine: which there are, what is likely behind them, and which one is meant. */
export { boardPorts, choosePort } from './choose.js';
export { listPorts, type PortSystem } from './list.js';
export { type PortInfo, portSchema } from './types.js';
