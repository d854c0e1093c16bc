import { readFileSync } from 'node:fs';

let known: string | undefined;

/** Version of this program, from its package.json; read once. */
export function aiotVersion(): string {
  known ??= String(
    JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8')).version,
  );
  return known;
}
