import jsonata, { type Expression } from 'jsonata';
import type { LiveMessage } from '../../../src/lib/api/index.js';
import { isCheap, limitSteps, shortText } from '../../../src/lib/stream/decode/step-limit.js';
import { isTrue } from '../../../src/lib/stream/decode/truth.js';

/**
 * A JSONata condition on messages, as in `aiot stream tail --where`. Its root is the payload: a JSON value, text, or base64. The variables
 * are `$topic`, `$time` (ms since 1970), `$headers` (by name), `$qos` and `$retain`.
 */
export interface Condition {
  /** @throws Error with the reason why it could not be evaluated */
  matches(message: LiveMessage): Promise<boolean>;
}

/** Compiles a condition. @throws Error if the text is not JSONata */
export function conditionOf(text: string): Condition {
  const expression: Expression = jsonata(text, { RegexEngine: CheapRegExp as unknown as RegExpConstructor });
  limitSteps(expression);
  return {
    async matches(message) {
      if (message.cut) throw new Error('the payload is too long for this page');
      const { payload, topic, time, qos = 0, retain = false } = message;
      const variables = { topic, time, qos, retain, headers: headersOf(message) };
      try {
        return isTrue(await expression.evaluate(payload, variables));
      } catch (error) {
        throw new Error((error as { message?: string }).message ?? String(error));
      }
    },
  };
}

/** Searches in a browser have no time limit, and a link to this page may contain any pattern. The library calls `exec` as for a RegExp. */
class CheapRegExp {
  constructor(private readonly pattern: RegExp) {
    if (!isCheap(pattern)) {
      throw new Error(
        'expected a regular expression with at most one repetition, which follows no group, and alternatives in at most one group',
      );
    }
  }

  set lastIndex(value: number) {
    this.pattern.lastIndex = value;
  }

  get lastIndex(): number {
    return this.pattern.lastIndex;
  }

  exec(text: string): RegExpExecArray | null {
    if (text.length > shortText)
      throw new Error(`a regular expression searches at most ${shortText} characters`);
    return this.pattern.exec(text);
  }
}

/** Several headers with one name are an array. */
function headersOf({ headers = [] }: LiveMessage): Record<string, string | string[]> {
  const named = new Map<string, string | string[]>();
  for (const [name, value] of headers) {
    const known = named.get(name);
    named.set(name, known === undefined ? value : [known, value].flat());
  }
  return Object.fromEntries(named);
}
