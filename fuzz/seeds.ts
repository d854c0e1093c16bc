import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Seed } from './types.js';

// The worker is bundled into dist/.fuzz, and so is this.
const root = dirname(dirname(import.meta.dirname));

/**
 * What is in a file or a folder of this repository, or of the samples beside it: those with this ending, if there are any, up to 64 KiB
 * each.
 */
export function filesIn(place: string, ending = ''): Seed[] {
  const path = join(root, place);
  if (!existsSync(path)) return [];
  const files = statSync(path).isFile()
    ? [path]
    : readdirSync(path)
        .sort()
        .map((name) => join(path, name));
  return files
    .filter((file) => file.endsWith(ending) && statSync(file).isFile() && statSync(file).size <= 65_536)
    .map((file) => readFileSync(file));
}

/** The value that a text of JSON is, handed on; texts that are none say nothing about us. */
export function asJson<T>(read: (value: unknown) => T): (input: Buffer) => T | undefined {
  return (input) => {
    let value: unknown;
    try {
      value = JSON.parse(input.toString());
    } catch {
      return undefined;
    }
    return read(value);
  };
}

/** Texts of JSON of these values. */
export const texts = (...values: unknown[]): string[] => values.map((value) => JSON.stringify(value));

/** The examples of a message in docs/protocol.md, which tests hold to our schemas and writers. */
export function specified(word: string): string[] {
  const text = readFileSync(join(root, 'docs/protocol.md'), 'utf8');
  return [...text.matchAll(/^```json (\w+)\n(.*?)^```$/gms)].flatMap(([, of, example]) =>
    of === word ? [example!] : [],
  );
}
