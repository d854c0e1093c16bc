/** What a board says on its serial line: lines, levels, numbers and crashes, across resets and pulled cables. */
export type { CrashFrame } from './decode.js';
export { type MonitorEnd, type MonitorEvent, monitorEventSchema } from './events.js';
export { type Level, levels } from './level.js';
export { type MonitorControl, monitor } from './monitor.js';
export { lineEnds, type MonitorOptions } from './options.js';
export { parsePattern } from './pattern.js';
