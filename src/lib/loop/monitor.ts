import type { LoopStatus } from './status.js';

/** A running loop as others may look at it: the status file, the health page, a live view. Asking costs little and changes nothing. */
export interface LoopMonitor {
  status(): LoopStatus;
}
