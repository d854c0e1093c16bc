import { createInterface } from 'node:readline';
import { Writable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { Flags } from '@oclif/core';
import { AiotError, onAbort, readText } from '../core/index.js';

interface Terminal {
  input: NodeJS.ReadStream;
  output: NodeJS.WriteStream;
}

const variable = 'AIOT_BACKUP_PASSPHRASE';

/** Where the passphrase of a backup is. */
export const passphraseFile = Flags.string({
  summary: 'File with the passphrase in its first line; - = stdin.',
  env: 'AIOT_PASSPHRASE_FILE',
  helpValue: 'FILE',
});

/**
 * A passphrase from a file, from stdin (`-`), from AIOT_BACKUP_PASSPHRASE, or typed: never from the command line, which is
 * in the shell's history and in every process list. Only its line end is left out.
 * @param twice a new one: typed once more, so that it is what was meant
 * @throws AIOT_USAGE (nobody to ask, or two that differ), AIOT_FILE_NOT_FOUND, AIOT_INTERRUPTED
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
    throw new AiotError('AIOT_USAGE', `expected a passphrase: ${variable}, or --passphrase-file FILE`);
  }
  const first = await ask('Passphrase: ', signal, terminal);
  if (twice && (await ask('Once more: ', signal, terminal)) !== first) {
    throw new AiotError('AIOT_USAGE', 'the two passphrases differ');
  }
  return first;
}

function firstLine(content: string): string {
  return content.split(/\r?\n/)[0] ?? '';
}

/** What is typed is not shown. */
async function ask(question: string, signal: AbortSignal, { input, output }: Terminal): Promise<string> {
  output.write(question);
  const silent = new Writable({ write: (_chunk, _encoding, done) => done() });
  const lines = createInterface({ input, output: silent, terminal: true });
  try {
    return await new Promise<string>((resolve, reject) => {
      const stop = () => reject(new AiotError('AIOT_INTERRUPTED', 'no passphrase was given'));
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
