import { createContext, Script } from 'node:vm';
import { AiotError } from '../../core/errors.js';

/** How long a pattern may look at one text, ms: one like `(a+)+$` would look for ever at a line that it nearly matches. */
const longestMs = 500;

const look = new Script('pattern.exec(text)');

/** A regular expression whose every look has an end; it costs 0.1 ms a line. */
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
        next: 'Write it without a repetition inside of a repetition, such as a+ for (a+)+.',
        cause,
      });
    }
  }
}

/**
 * A regular expression as people write it: `ready`, `^I .*wifi`, or with flags `/ready/i`. It throws AIOT_USAGE, too, when it
 * takes too long for a text. @throws AIOT_USAGE
 */
export function parsePattern(text: string): RegExp {
  const [, body = text, flags = ''] = /^\/(.+)\/([imsu]*)$/.exec(text) ?? [];
  try {
    return new BoundedPattern(body, flags);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new AiotError('AIOT_USAGE', `expected a regular expression, got "${text}" (${why})`, {
      next: 'Put a \\ before ( [ . * + ? when they are meant as they are.',
      cause,
    });
  }
}
