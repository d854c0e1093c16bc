import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Seed } from './types.js';

// The worker is bundled into dist/.fuzz, including this module.
const root = dirname(dirname(import.meta.dirname));

/**
 * Contents of a file or of a folder's files, up to 64 KiB each, in this repository. If `ending` is given, only files with it are read.
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

/** Parses the input as JSON and passes the value on. Input that is not JSON is skipped, because it would not test our code. */
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

export const texts = (...values: unknown[]): string[] => values.map((value) => JSON.stringify(value));

/** The examples of a message in docs/reference/protocol.md, which tests check against our schemas and writers. */
export function specified(word: string): string[] {
  const text = readFileSync(join(root, 'docs/reference/protocol.md'), 'utf8');
  return [...text.matchAll(/^```json (\w+)\n(.*?)^```$/gms)].flatMap(([, of, example]) =>
    of === word ? [example!] : [],
  );
}
