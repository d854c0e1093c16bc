/** A simulated chip of the ESP32 family: its mask ROM, flasher stub, NOR flash, straps, UART and faults. */
export type { BootMode } from './boot-text.js';
export { startFaultNames } from './burnt.js';
export { SimulatedChip } from './chip.js';
export type { ChipState, SimulatedChipOptions } from './chip-options.js';
export { controlChip, parseFault } from './control.js';
export type { ChipSecurity } from './efuse.js';
export { type Fault, type FaultKind, faultKinds, type Trigger } from './faults.js';
export { type ResetCause, type SimulatedChipName, simulatedChipNames } from './identity.js';
export { simulatedLine } from './line.js';
export type { ChipProgram, ProgramBoard } from './program.js';
export type { Bridge } from './reset-circuit.js';
export { serveControl } from './serve/control.js';
export { type ServeChipHow, serveChip } from './serve/index.js';
export type { ServedChip } from './serve/types.js';
export {
  type ChipEvent,
  chipEventSchema,
  describeChipEvent,
  type SimulateChipOptions,
  simulateChip,
} from './simulate.js';
export type { ChipTiming } from './wire.js';
