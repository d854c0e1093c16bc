import { join } from 'node:path';
import { z } from 'zod';
import { AiotError, readJson, writeJsonAtomic } from '../../core/index.js';

/** Beside an identity: the board that has it. */
const fileOf = (folder: string) => join(folder, 'board.json');
const givenSchema = z.object({ mac: z.string() });

/** MAC of the board that an identity was written to; null = none, as far as its folder tells. */
export async function boardGiven(folder: string): Promise<string | null> {
  const parsed = givenSchema.safeParse(await readJson(fileOf(folder)).catch(unlessDefect));
  return parsed.success ? parsed.data.mac : null;
}

/**
 * Keeps which board gets an identity: told before it is written, for a board that fails in the middle may hold its key.
 * @returns a warning where the folder cannot be written; null = it is kept
 */
export async function keepGiven(folder: string, mac: string): Promise<string | null> {
  try {
    await writeJsonAtomic(fileOf(folder), { mac });
    return null;
  } catch (error) {
    unlessDefect(error);
    return `${folder} cannot be written: it does not tell that this board has the identity now`;
  }
}

function unlessDefect(error: unknown): void {
  if (!(error instanceof AiotError)) throw error;
}
