import { createContext, Script } from 'node:vm';
import { AiotError } from '../../core/errors.js';

/**
 * Maximum time for matching a text against a pattern, ms. Without it, a pattern such as `(a+)+$` could take forever on a text that
 * nearly matches.
 */
const longestMs = 500;

const look = new Script('pattern.exec(text)');

/** A regular expression with a time limit, which costs 0.1 ms per line. */
class BoundedPattern extends RegExp {
  private readonly box = createContext({ pattern: new RegExp(this.source, this.flags), text: '' });

  override exec(text: string): RegExpExecArray | null {
    this.box.text = text;
    try {
      return look.runInContext(this.box, { timeout: longestMs }) as RegExpExecArray | null;
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code !== 'ERR_SCRIPT_EXECUTION_TIMEOUT') throw cause;
      const what = `${this} took more than ${longestMs} ms for ${text.length} characters`;
      throw new AiotError('AIOT_USAGE', what, {
        next: 'Rewrite it without nested repetition, for example a+ instead of (a+)+.',
        cause,
      });
    }
  }
}

/**
 * Parses a regular expression entered by a user: `ready`, `^I .*wifi`, or with flags `/ready/i`. Matching throws AIOT_USAGE too if it takes
 * too long. @throws AIOT_USAGE
 */
export function parsePattern(text: string): RegExp {
  const [, body = text, flags = ''] = /^\/(.+)\/([imsu]*)$/.exec(text) ?? [];
  try {
    return new BoundedPattern(body, flags);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new AiotError('AIOT_USAGE', `expected a regular expression, got "${text}" (${why})`, {
      next: 'To match the characters ( [ . * + ? literally, put a \\ before them.',
      cause,
    });
  }
}
