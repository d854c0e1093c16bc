/** The motion system's four stages over NATS JetStream, as the HAR original laid them out. */
export type { MotionStream } from './layout.js';
export { motionStreams } from './layout.js';
export { runStage } from './run-stage.js';
export type * from './types.js';
export { stageNames } from './types.js';
