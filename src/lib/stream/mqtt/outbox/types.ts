import type { OutgoingMessage } from '../../message.js';

export type Publishable = OutgoingMessage & { qos: 0 | 1 | 2 };

/** One `write`. */
export interface Batch {
  /** Messages that have not arrived. */
  left: number;
  resolve(): void;
  reject(error: unknown): void;
}

export interface Item {
  message: Publishable;
  /** Absent once its write has failed: then nobody waits for it. */
  batch: Batch | undefined;
  /** What the session has seen of it. `released` = QoS 2: the broker has it, and our PUBREL is under way. */
  state: 'new' | 'sent' | 'released';
}
