import * as z from 'zod';
import { digestOf } from '../../core/crypto.js';
import { AiotError } from '../../core/errors.js';
import { readBytes } from '../../core/files.js';
import { findSection, readAnyElf } from '../../formats/elf/read.js';
import { functionsOf } from '../../formats/elf/symbols.js';
import type { RegistryClient } from '../client.js';
import { symbolsAddedSchema } from '../contract/crashes.js';

export const pushedSymbolsSchema = symbolsAddedSchema.extend({
  file: z.string(),
  bytes: z.int(),
  /** Number of functions in the symbol table. */
  functions: z.int(),
  /** Whether the file has line tables, so that crashes are shown with file and line. */
  lines: z.boolean(),
});
export type PushedSymbols = z.output<typeof pushedSymbolsSchema>;

interface SymbolsClient {
  crashes: Pick<RegistryClient['crashes'], 'addSymbols'>;
  blobs: Pick<RegistryClient['blobs'], 'put'>;
}

/**
 * Uploads the ELF file of a program, with which the platform names the functions and lines of the program's crashes.
 * @throws AIOT_FILE_NOT_FOUND, AIOT_IMAGE_MALFORMED, AIOT_USAGE (a file without functions)
 */
export async function pushSymbols(client: SymbolsClient, path: string): Promise<PushedSymbols> {
  const content = await readBytes(path);
  const elf = readAnyElf(content, path);
  const functions = functionsOf(elf).length;
  const lines = findSection(elf, '.debug_line') !== undefined;
  if (functions === 0 && !lines)
    throw new AiotError('AIOT_USAGE', `${path} has neither a symbol table nor debug information`, {
      next: 'Specify the ELF file that the build writes before it is stripped, and compile with -g.',
    });
  const digest = digestOf(content);
  await client.blobs.put(digest, content);
  const { builds } = await client.crashes.addSymbols(digest);
  return { builds, file: path, bytes: content.length, functions, lines };
}
