/** Following streams: choosing, merging, and checking what comes. */
export { fieldReader } from './fields.js';
export { placeFrom } from './place.js';
export { createStatistics, type StreamStatistics, streamStatisticsSchema } from './statistics.js';
export { tail } from './tail.js';
export type { SelectOptions, Shown, TailEnd, TailOptions, TailProgress } from './types.js';
