import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../cli.js';

interface Flag {
  type: 'boolean' | 'option';
  char?: string;
  allowNo?: boolean;
  multiple?: boolean;
  required?: boolean;
  options?: string[];
  exclusive?: string[];
  dependsOn?: string[];
  default?: unknown;
}

interface Command {
  id: string;
  hiddenAliases: string[];
  strict: boolean;
  args: Record<string, { required?: boolean; options?: string[] }>;
  flags: Record<string, Flag>;
}

let known: Map<string, Command> | undefined;

/** The commands of this build as found by oclif, by their words. */
function commands(): Map<string, Command> {
  if (known) return known;
  const manifest = JSON.parse(readFileSync(join(root, 'oclif.manifest.json'), 'utf8'));
  known = new Map();
  for (const command of Object.values<Command>(manifest.commands)) {
    for (const id of [command.id, ...command.hiddenAliases]) known.set(id.replaceAll(':', ' '), command);
  }
  return known;
}

/** The strictness of a check. A line to type must be complete, whereas a line that is only mentioned may omit parts. */
export type Reading = 'typed' | 'spoken';

/**
 * Finds errors in `aiot WORDS` without running it: a command, a flag or a flag value that does not exist, too many or too few positionals,
 * flags that require or exclude each other. Undefined = no errors.
 */
export function wrongWith(words: readonly string[], reading: Reading = 'typed'): string | undefined {
  const [first = ''] = words;
  // `aiot`, `aiot --help`, `aiot COMMAND --help`.
  if (first === '' || first.startsWith('-') || isPlaceholder(first)) return undefined;
  const count = [3, 2, 1].find((length) => commands().has(words.slice(0, length).join(' ')));
  if (count === undefined) return isTopic(words, reading) ? undefined : 'no such command';
  const name = words.slice(0, count).join(' ');
  const command = commands().get(name)!;
  // A topic on its own runs its list command, and takes no name.
  const isAlias = command.id.replaceAll(':', ' ') !== name;
  if (isAlias && /^[a-z]/.test(words[count] ?? ''))
    return isTopic(words, reading) ? undefined : 'no such command';
  const given = read(command, words.slice(count), reading);
  if (typeof given === 'string') return given;
  if (reading === 'spoken' || given.open || given.flags.has('help')) return undefined;
  return missing(command, given) ?? unfit(command, given);
}

/**
 * Whether the words name a topic, such as `aiot device`, which lists its commands. A line that is only mentioned may also have
 * placeholders, such as `aiot flash read | write`.
 */
function isTopic(words: readonly string[], reading: Reading): boolean {
  if (reading === 'typed' && !words.every((word) => /^[a-z]/.test(word))) return false;
  const start = `${words.filter((word) => /^[a-z]/.test(word)).join(' ')} `;
  return [...commands().keys()].some((id) => id.startsWith(start));
}

interface Given {
  flags: Map<string, string[]>;
  positionals: string[];
  /** Whether a part is omitted with `…` or comes from a variable. */
  open: boolean;
}

function read(command: Command, words: readonly string[], reading: Reading): Given | string {
  const flags = new Map<string, string[]>();
  const positionals: string[] = [];
  let open = false;
  let greedy: string | undefined;
  for (let i = 0; i < words.length; i++) {
    const word = words[i]!;
    const [, long, short, joined] = /^(?:--([a-z][\w-]*)|-([A-Za-z]))(?:=?([\s\S]+))?$/.exec(word) ?? [];
    if (long === undefined && short === undefined) {
      if (word === '…' || word === '...') open = true;
      else if (greedy !== undefined) flags.get(greedy)!.push(word);
      else positionals.push(word);
      continue;
    }
    greedy = undefined;
    const name = flagNamed(command, long, short);
    if (name === undefined) return `no flag ${word.split('=')[0]}`;
    const flag = command.flags[name];
    const values = flags.get(name) ?? [];
    flags.set(name, values);
    if (flag?.type !== 'option') continue;
    const value = joined ?? words[++i];
    if (value === undefined && reading === 'typed') return `no value for --${name}`;
    if (value !== undefined) values.push(value);
    // oclif assigns the words after a repeatable flag to that flag. Not all flags do this, and the manifest does not show which,
    // so names must come first.
    if (flag.multiple) greedy = name;
  }
  return { flags, positionals, open };
}

function flagNamed(command: Command, long?: string, short?: string): string | undefined {
  if (long === 'help' || short === 'h') return 'help';
  if (short !== undefined)
    return Object.keys(command.flags).find((name) => command.flags[name]?.char === short);
  if (long! in command.flags) return long;
  const positive = long!.replace(/^no-/, '');
  return command.flags[positive]?.allowNo ? positive : undefined;
}

function missing({ args, flags, strict }: Command, given: Given): string | undefined {
  const names = Object.keys(args);
  const wanted = names.filter((name) => args[name]?.required);
  const { positionals } = given;
  if (positionals.length < wanted.length) return `no ${wanted[positionals.length]!.toUpperCase()}`;
  if (strict && positionals.length > names.length)
    return `too many words: ${positionals.slice(names.length).join(' ')}`;
  const absent = Object.keys(flags).find((name) => flags[name]?.required && !given.flags.has(name));
  return absent === undefined ? undefined : `no --${absent}`;
}

function unfit({ flags }: Command, given: Given): string | undefined {
  for (const [name, values] of given.flags) {
    const { options, exclusive = [], dependsOn = [] } = flags[name] ?? {};
    const other = values.find((value) => options && !isPlaceholder(value) && !options.includes(value));
    if (other !== undefined) return `--${name} is not ${other}, but ${options?.join(', ')}`;
    const against = exclusive.find((flag) => given.flags.has(flag));
    if (against !== undefined) return `--${name} beside --${against}`;
    const needed = dependsOn.find((flag) => !given.flags.has(flag) && flags[flag]?.default === undefined);
    if (needed !== undefined) return `--${name} without --${needed}`;
  }
  return undefined;
}

/** A placeholder for the reader to replace, or an omission. */
function isPlaceholder(word: string): boolean {
  return /^[A-Z$][A-Z_-]*/.test(word) || word.includes('…');
}
