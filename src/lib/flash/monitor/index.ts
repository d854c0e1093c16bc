/** What a board says on its serial line: lines, levels, numbers and crashes, across resets and pulled cables. */
export type { CrashFrame } from './decode.js';
export { type MonitorEnd, type MonitorEvent, monitorEventSchema } from './events.js';
export { type Level, levels } from './level.js';
export { monitor } from './monitor.js';
export type { MonitorControl } from './monitor-run.js';
export { lineEnds, type MonitorOptions } from './options.js';
export { parsePattern } from './pattern.js';
