import type { Decoder } from '../decode/types.js';
import type { Message } from '../message.js';

/**
 * A JSONata expression about one message. Its root is the decoded payload (`temperature > 80`); `$topic`, `$time` (ms since 1970),
 * `$key` (text), `$headers` (by name; several of one name are an array), `$source`, `$qos`, `$retain` and `$position` are variables.
 */
export interface Expression {
  readonly text: string;
  /** True when it is one of the common forms, which are evaluated at once; others are given to the library, and promise. */
  readonly simple: boolean;
  /**
   * Names of the payload's own fields, where the expression looks at nothing but these: a payload that has only them gives the same.
   * Undefined where it looks at more.
   */
  readonly reads?: readonly string[];
  /**
   * Undefined where there is nothing, such as a field that is missing.
   * Simple expressions promise too, when a message's values are of kinds that only the library treats.
   * @throws AIOT_STREAM_EVALUATION (or rejects), and what `decode` throws
   */
  evaluate(message: Message, decode: Decoder): unknown | Promise<unknown>;
}
