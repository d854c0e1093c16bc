import { createInterface } from 'node:readline';
import { Writable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { Flags } from '@oclif/core';
import { AiotError } from '../core/errors.js';
import { readText } from '../core/files.js';
import { onAbort } from '../core/tasks.js';

/**
 * Reads a secret from a file, from stdin (`-`) or from the environment. The command line is not an option, because it ends up in shell
 * history and process listings.
 * @returns the single line without its line ending; undefined if neither file nor variable is given
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
      next: `Pipe the secret in, specify a file, or set ${variable}.`,
    });
  }
  return oneLine(await text(stdin), 'stdin');
}

function oneLine(content: string, from: string): string {
  const secret = content.trim();
  if (/^[\u0021-\u007e]+$/.test(secret)) return secret;
  // The text is not quoted in the error, because it may contain most of a secret.
  const got = secret === '' ? 'nothing' : `${secret.split(/\s+/).length} words or other characters`;
  throw new AiotError(
    'AIOT_FILE_MALFORMED',
    `${from}: expected one word of printable characters; got ${got}`,
  );
}

interface Terminal {
  input: NodeJS.ReadStream;
  output: NodeJS.WriteStream;
}

const variable = 'AIOT_BACKUP_PASSPHRASE';

/** Flag for a file with a backup's passphrase. */
export const passphraseFile = Flags.string({
  summary: 'File with the passphrase in its first line, or - for stdin.',
  env: 'AIOT_PASSPHRASE_FILE',
  helpValue: 'FILE',
});

/**
 * Reads a passphrase from a file, from stdin (`-`), from AIOT_BACKUP_PASSPHRASE, or from the terminal. The command line is not an option,
 * because it ends up in shell history and process listings. Only the line ending is removed.
 * @param twice for a new passphrase, which is typed twice to detect typos
 * @throws AIOT_USAGE (no terminal, or the two differ), AIOT_FILE_NOT_FOUND, AIOT_INTERRUPTED
 */
export async function readPassphrase(
  file: string | undefined,
  { twice, signal }: { twice: boolean; signal: AbortSignal },
  terminal: Terminal = { input: process.stdin, output: process.stderr },
): Promise<string> {
  if (file !== undefined) {
    return firstLine(file === '-' ? await text(terminal.input) : await readText(file));
  }
  const given = process.env[variable];
  if (given) return given;
  if (!terminal.input.isTTY) {
    throw new AiotError(
      'AIOT_USAGE',
      `a passphrase is required: set ${variable} or pass --passphrase-file FILE`,
    );
  }
  const first = await askSecret('Passphrase: ', signal, terminal);
  if (twice && (await askSecret('Repeat the passphrase: ', signal, terminal)) !== first) {
    throw new AiotError('AIOT_USAGE', 'the two passphrases differ');
  }
  return first;
}

function firstLine(content: string): string {
  return content.split(/\r?\n/)[0] ?? '';
}

/**
 * Asks a question on the terminal without displaying the typed answer.
 * @throws AIOT_INTERRUPTED at Ctrl-C, or if the terminal is closed
 */
export async function askSecret(
  question: string,
  signal: AbortSignal,
  { input, output }: Terminal = { input: process.stdin, output: process.stderr },
): Promise<string> {
  output.write(question);
  const silent = new Writable({ write: (_chunk, _encoding, done) => done() });
  const lines = createInterface({ input, output: silent, terminal: true });
  try {
    return await new Promise<string>((resolve, reject) => {
      const stop = () => reject(new AiotError('AIOT_INTERRUPTED', 'nothing was entered'));
      onAbort(signal, stop);
      lines.once('SIGINT', stop);
      lines.once('close', stop);
      lines.question('', resolve);
    });
  } finally {
    lines.close();
    output.write('\n');
  }
}
