import { shellWord } from '../core/index.js';

interface Typed {
  flags: object;
  given: (flag: string) => boolean;
}

/**
 * Flags as they were typed on this command line, to be repeated by what is proposed next: ` --project "my watch"`. Those that
 * come from the environment or are defaults need no repeating.
 */
export function again({ flags, given }: Typed, ...names: string[]): string {
  const values = flags as Record<string, unknown>;
  return names
    .filter((name) => given(name))
    .map((name) => ` --${name} ${shellWord(String(values[name]))}`)
    .join('');
}

/** Steps of a project as an error proposes them, by themselves: those with a file or a project of their own are left alone. */
const projectStep = /\baiot model (?:train|quantize|evaluate|push)(?=$| &&| --(?!project\b)|[,.;](?:\s|$))/g;

/** What an error proposes, for the project that the command line named: libraries do not know how it was called. */
export function forProject(proposed: string, argv: readonly string[]): string {
  const at = argv.findIndex((word) => /^(-p|--project)(=|$)/.test(word));
  if (at < 0) return proposed;
  const own = argv[at]!.includes('=') ? argv[at]!.replace(/^[^=]*=/, '') : argv[at + 1];
  if (own === undefined) return proposed;
  return proposed.replace(projectStep, (step) => `${step} --project ${shellWord(own)}`);
}
