import type { Command, Interfaces } from '@oclif/core';

/** What a value can be: one of some words, a path, a context of this user, or what nobody can know. */
export type Wanted =
  | { kind: 'words'; words: readonly string[] }
  | { kind: 'files' | 'folders' | 'contexts' | 'other' };

/** A word that may come, and what it means. */
export type Candidate = [word: string, about: string];

/** All that a shell has to know of the command line. Keys are words of a command, joined by spaces; '' = aiot alone. */
export interface CompletionTable {
  /** Commands and topics that go on from there. */
  below: Map<string, Candidate[]>;
  flags: Map<string, Candidate[]>;
  /** What stands behind the command, where it can be told. */
  args: Map<string, Wanted>;
  /** `COMMAND --flag`, or `* --flag` where it is the same everywhere; flags that take a value alone. */
  values: Map<string, Wanted>;
}

const files = new Set(
  'base csv data elf file firmware flow image images now out path pictures plan recordings a b'.split(' '),
);

const takesFile = /^(FILE|PATH|PORT$)/;

/**
 * @param commands all of them, as oclif knows them: nothing is loaded for it
 * @param named words that come with the program: of a command's argument by its id, of a flag as `init --template`
 */
export function completionTable(
  commands: readonly Command.Loadable[],
  topics: readonly Interfaces.Topic[],
  named: Readonly<Record<string, readonly string[]>> = {},
): CompletionTable {
  const table: CompletionTable = { below: new Map(), flags: new Map(), args: new Map(), values: new Map() };
  const about = new Map(
    topics.map(({ name, description }) => [name.replaceAll(':', ' '), description ?? '']),
  );
  const values: [string, string, Wanted][] = [];
  const ofNamed = (key: string): Wanted | undefined => named[key] && { kind: 'words', words: named[key] };
  for (const command of commands) {
    const id = command.id.replaceAll(':', ' ');
    if (command.hiddenAliases.includes(command.id) || command.hidden) continue;
    about.set(id, command.summary ?? '');
    for (const name of [id, ...command.hiddenAliases]) {
      table.flags.set(name, flagsOf(command));
      const wanted = ofNamed(id) ?? wantedArgument(command);
      if (wanted.kind !== 'other') table.args.set(name, wanted);
      for (const flag of Object.values(command.flags)) {
        if (flag.type === 'boolean' || flag.hidden) continue;
        const found = ofNamed(`${id} --${flag.name}`) ?? wantedValue(flag);
        for (const word of wordsOf(flag)) values.push([name, word, found]);
      }
    }
  }
  for (const id of [...about.keys()].sort()) {
    const words = id.split(' ');
    const above = words.slice(0, -1).join(' ');
    table.below.set(above, [...(table.below.get(above) ?? []), [words.at(-1)!, about.get(id) ?? '']]);
  }
  joinValues(table.values, values);
  return table;
}

function flagsOf(command: Command.Loadable): Candidate[] {
  const shown = Object.values(command.flags).filter(({ hidden }) => !hidden);
  const own = shown.flatMap((flag): Candidate[] => {
    const summary = flag.summary ?? '';
    const negative = flag.type === 'boolean' && flag.allowNo;
    return [[`--${flag.name}`, summary], ...(negative ? [[`--no-${flag.name}`, summary] as Candidate] : [])];
  });
  return [...own, ['--help', 'Show help.']];
}

function wordsOf({ name, char }: { name: string; char?: string }): string[] {
  return char ? [`--${name}`, `-${char}`] : [`--${name}`];
}

function wantedValue(flag: Command.Flag.Cached & { type: 'option' }): Wanted {
  const { name, options, helpValue } = flag;
  const shown = Array.isArray(helpValue) ? helpValue[0] : helpValue;
  if (options && options.length > 0) return { kind: 'words', words: options };
  if (name === 'context') return { kind: 'contexts' };
  if (shown === 'DIR') return { kind: 'folders' };
  return { kind: takesFile.test(shown ?? '') ? 'files' : 'other' };
}

function wantedArgument({ id, args }: Command.Loadable): Wanted {
  const [first] = Object.values(args);
  if (first?.options && first.options.length > 0) return { kind: 'words', words: first.options };
  if (id === 'context:use' || id === 'context:remove') return { kind: 'contexts' };
  if (first?.name === 'dir') return { kind: 'folders' };
  // A path, or a name that the platform knows: the path can be told.
  return { kind: first && files.has(first.name) ? 'files' : 'other' };
}

/** A flag that means the same everywhere is told once. */
function joinValues(into: CompletionTable['values'], all: readonly [string, string, Wanted][]): void {
  const byWord = new Map<string, [string, Wanted][]>();
  for (const [command, word, wanted] of all) {
    byWord.set(word, [...(byWord.get(word) ?? []), [command, wanted]]);
  }
  for (const [word, found] of [...byWord].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const kinds = new Set(found.map(([, wanted]) => JSON.stringify(wanted)));
    if (kinds.size === 1) into.set(`* ${word}`, found[0]![1]);
    else for (const [command, wanted] of found) into.set(`${command} ${word}`, wanted);
  }
}

/** A word in single quotes, as bash and zsh read it. */
export const shQuoted = (text: string) => `'${text.replaceAll("'", "'\\''")}'`;

/** The same for fish, where backslashes count within them. */
export const fishQuoted = (text: string) => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;

/** Pattern of a `case` for a key of the table: `* --flag` is of every command. */
export const shPattern = (key: string) =>
  key.startsWith('* ') ? `*${shQuoted(key.slice(1))}` : shQuoted(key);

/** On one line: a summary may have several. */
export const oneLine = (text: string) => text.replaceAll(/\s+/g, ' ').trim();
