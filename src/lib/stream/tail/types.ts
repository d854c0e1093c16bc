import type { DecoderName } from '../decode/types.js';
import type { Message } from '../message.js';
import type { StreamOptions } from '../options.js';

/** A message as it was chosen to be shown. A source's deliveries are such ones as they are. */
export interface Shown {
  readonly message: Message;
  /** What to show instead of the payload: the result of `map`, the chosen fields, or what a decoder gave. */
  readonly value?: unknown;
}

export interface SelectOptions {
  /** Expressions: which messages, and what to show of them. */
  where?: string;
  map?: string;
  /** Paths in the payload (`a`, `motor.current`) or variables (`$topic`): shown as an object. */
  fields?: readonly string[];
  decode?: DecoderName;
  /** Schema of `decode`, and the message type in it. */
  schema?: string;
  messageType?: string;
}

export interface TailOptions extends StreamOptions, SelectOptions {
  /** Several are merged by the messages' times. */
  urls: readonly string[];
  /** Ends after so many were shown. */
  count?: number;
  /** Ends after this time, ms. */
  forMs?: number;
  /** Fails after this time, ms, when `count` was not reached. */
  timeoutMs?: number;
  /** Shows the messages for which this is true and ends with the first, or after `count`; within `withinMs`, if that is set. */
  expect?: string;
  withinMs?: number;
  /** Shows and ends with the first message for which this is true; after `forMs` all is well. */
  never?: string;
  /** From now on no message is missed. */
  onOpen?: (endpoint: string) => void;
  /** Every second. */
  onProgress?: (progress: TailProgress) => void;
}

export interface TailProgress {
  /** Since the beginning. */
  seen: number;
  dropped: number;
}

export interface TailEnd {
  /** Shown. */
  messages: number;
  /** Received, whatever became of them. */
  seen: number;
  /** Messages thrown away because they came faster than they were taken. */
  dropped: number;
  /** Messages about which an expression or the decoder failed: they count as not chosen. `first` says why. */
  failed: number;
  first?: string;
  /** Why it ended; `source` = there is no more. */
  ended: 'count' | 'for' | 'source';
}
