import { AiotError } from '../../core/index.js';

/** A regular expression as people write it: `ready`, `^I .*wifi`, or with flags `/ready/i`. @throws AIOT_USAGE */
export function parsePattern(text: string): RegExp {
  const [, body = text, flags = ''] = /^\/(.+)\/([imsu]*)$/.exec(text) ?? [];
  try {
    return new RegExp(body, flags);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new AiotError('AIOT_USAGE', `expected a regular expression, got "${text}" (${why})`, {
      next: 'Put a \\ before ( [ . * + ? when they are meant as they are.',
      cause,
    });
  }
}
