import type { Expression } from 'jsonata';
import type { LiveMessage } from '../../../src/lib/api/index.js';
import { isCheap, limitSteps, shortText } from '../../../src/lib/stream/decode/step-limit.js';

/** A JSONata condition on messages, with the variables of `aiot stream tail --where`. */
export interface Condition {
  /** @throws Error with the reason why it could not be evaluated */
  matches(message: LiveMessage): Promise<boolean>;
}

/** Compiles a condition. The library is loaded with the first one. @throws Error if the text is not JSONata */
export async function conditionOf(text: string): Promise<Condition> {
  const { default: jsonata } = await import('jsonata');
  const expression: Expression = jsonata(text, { RegexEngine: CheapRegExp as unknown as RegExpConstructor });
  limitSteps(expression);
  return {
    async matches(message) {
      if (message.cut) throw new Error('the payload is too long for this page');
      const { payload, topic, time, qos, retain } = message;
      const variables = { topic, time, qos, retain, headers: headersOf(message) };
      try {
        return (await expression.evaluate(payload, variables)) === true;
      } catch (error) {
        throw new Error((error as { message?: string }).message ?? String(error));
      }
    },
  };
}

/** Searches in a browser have no time limit, and a link to this page may contain any pattern. The library calls `exec` as for a RegExp. */
class CheapRegExp {
  constructor(private readonly pattern: RegExp) {
    if (!isCheap(pattern)) throw new Error('expected a regular expression with at most one repetition');
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
