/** The motion system's four stages over NATS JetStream, as the HAR original laid them out. */
export type * from './types.js';
export { stageNames } from './types.js';
