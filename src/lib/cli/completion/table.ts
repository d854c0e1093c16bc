import type { Command, Interfaces } from '@oclif/core';
import type { NameKind } from './names.js';

/** Kinds of values: one of a fixed list of words, a path, one of this user's contexts, a resource on its platform, or anything else. */
export type Wanted =
  | { kind: 'words'; words: readonly string[] }
  | { kind: 'names'; of: NameKind }
  | { kind: 'files' | 'folders' | 'contexts' | 'other' };

/** A possible word, and its description. */
export type Candidate = [word: string, about: string];

/** Everything that a completion script needs. Keys are the words of a command, joined by spaces; '' = aiot alone. */
export interface CompletionTable {
  /** Subcommands and topics of a command or topic. */
  below: Map<string, Candidate[]>;
  flags: Map<string, Candidate[]>;
  /** Arguments of commands, if they can be completed. */
  args: Map<string, Wanted>;
  /**
   * Values of flags, keyed by `COMMAND --flag`, or by `* --flag` if the flag has the same values everywhere. Only flags that take
   * a value are included.
   */
  values: Map<string, Wanted>;
}

const files = new Set(
  'base csv data elf file flow image images now out path pictures plan recordings'.split(' '),
);

/** Kind of resource by topic, for a command's argument `name` or `id`. */
const ofTopic: Readonly<Record<string, NameKind>> = {
  device: 'devices',
  user: 'users',
  rollout: 'rollouts',
  job: 'jobs',
  token: 'tokens',
  session: 'sessions',
  webhook: 'webhooks',
  alarm: 'alarms',
};

/** Kind of resource by argument name. */
const ofArgument: Readonly<Record<string, NameKind>> = {
  model: 'models',
  firmware: 'firmware',
  config: 'configs',
  stream: 'streams',
  a: 'models',
};

/** Kind of resource by flag name and placeholder. */
const ofFlag: Readonly<Record<string, NameKind>> = {
  'selector SELECTOR': 'devices',
  'device NAME': 'devices',
  'model MODEL': 'models',
  'model NAME@VERSION': 'models',
  'rollback-to NAME@VERSION': 'models',
  'firmware FIRMWARE': 'firmware',
  'configuration CONFIGURATION': 'configs',
  'stream STREAM': 'streams',
};

/** Ids of commands that create a resource. Its new name cannot be completed. */
const creates = /:(?:add|claim|create|provision|simulate|start)$/;

/** Serial ports are device files. The other flags with the placeholder PORT take port numbers. */
const takesFile = /^\S+ (FILE|PATH)|^port PORT$/;

/**
 * @param commands all commands in oclif's form, none of which needs to be loaded
 * @param named values that the program itself defines, keyed by command id for an argument, or by command and flag, as in `init
 * --template`
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
    for (const name of [id, ...command.hiddenAliases.map((alias) => alias.replaceAll(':', ' '))]) {
      about.set(name, command.summary ?? '');
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
  const of = ofFlag[`${name} ${shown}`];
  if (of) return { kind: 'names', of };
  if (shown === 'DIR') return { kind: 'folders' };
  return { kind: takesFile.test(`${name} ${shown}`) ? 'files' : 'other' };
}

function wantedArgument({ id, args }: Command.Loadable): Wanted {
  const [first] = Object.values(args);
  if (first?.options && first.options.length > 0) return { kind: 'words', words: first.options };
  if (id === 'context:use' || id === 'context:remove') return { kind: 'contexts' };
  const topic = id.split(':')[0] ?? '';
  const isName = first?.name === 'name' || first?.name === 'id';
  const of = (isName && !creates.test(id) && ofTopic[topic]) || ofArgument[first?.name ?? ''];
  if (of) return { kind: 'names', of };
  if (first?.name === 'dir') return { kind: 'folders' };
  // The value may be a path or a name on the platform. Only paths are completed.
  return { kind: first && files.has(first.name) ? 'files' : 'other' };
}

/** Combines the values of flags. A flag that has the same values in all commands gets a single entry. */
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

/** A single-quoted word for bash and zsh. */
export const shQuoted = (text: string) => `'${text.replaceAll("'", "'\\''")}'`;

/** Like `shQuoted`, but for fish, where backslashes are special within single quotes. */
export const fishQuoted = (text: string) => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;

/** A key of the table as a `case` pattern. The key `* --flag` applies to every command. */
export const shPattern = (key: string) =>
  key.startsWith('* ') ? `*${shQuoted(key.slice(1))}` : shQuoted(key);

/** The text on a single line; a summary may span several. */
export const oneLine = (text: string) => text.replaceAll(/\s+/g, ' ').trim();
