import type { Shown } from '../tail/types.js';

/** A batch of messages as what is written of them: whole lines. */
export type Printer = (batch: readonly Shown[]) => string | Uint8Array | Promise<string>;
