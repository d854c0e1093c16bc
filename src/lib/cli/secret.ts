import { text } from 'node:stream/consumers';
import { AiotError, readText } from '../core/index.js';

/**
 * A secret from a file, from stdin (`-`) or from the environment, never from the command line: that one is in the
 * shell's history and in every process list.
 *
 * @returns the one line without its line end; undefined when neither file nor variable is given
 * @throws AIOT_FILE_NOT_FOUND, AIOT_FILE_MALFORMED (not one line), AIOT_USAGE (stdin is a terminal)
 */
export async function readSecret(
  file: string | undefined,
  variable: string,
  stdin: NodeJS.ReadStream = process.stdin,
): Promise<string | undefined> {
  if (file === undefined) {
    const value = process.env[variable];
    return value ? oneLine(value, variable) : undefined;
  }
  if (file !== '-') return oneLine(await readText(file), file);
  if (stdin.isTTY) {
    throw new AiotError('AIOT_USAGE', 'expected the secret on stdin; got a terminal', {
      next: `Pipe it in, name a file, or set ${variable}.`,
    });
  }
  return oneLine(await text(stdin), 'stdin');
}

function oneLine(content: string, from: string): string {
  const secret = content.trim();
  if (/^[\u0021-\u007e]+$/.test(secret)) return secret;
  // What was got is not told: it may be most of a secret.
  const got = secret === '' ? 'nothing' : `${secret.split(/\s+/).length} words or other characters`;
  throw new AiotError(
    'AIOT_FILE_MALFORMED',
    `${from}: expected one word of printable characters; got ${got}`,
  );
}
