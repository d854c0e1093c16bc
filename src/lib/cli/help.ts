import { type Command, CommandHelp, Help, type Interfaces } from '@oclif/core';
import { width, wrapped } from './render/wrap.js';

/** Usage lines say what has to be there; flags that need not be are listed below anyhow, with what they go with. */
class AiotCommandHelp extends CommandHelp {
  override wrap(body: string, spacing = this.indentSpacing): string {
    return wordWrap(this.render(body), this.opts.maxWidth - spacing);
  }

  override renderList(...[input, opts]: Parameters<CommandHelp['renderList']>): string {
    return listWithin(super.renderList(input, opts), this.opts.maxWidth - 2, () =>
      super.renderList(input, { ...opts, multiline: true, indentation: opts.indentation + 2 }),
    );
  }

  protected override flags(flags: Command.Flag.Any[]): [string, string | undefined][] | undefined {
    return super.flags(flags.map(withValues));
  }

  protected override defaultUsage(): string {
    const { id, args, flags } = this.command;
    const words = Object.values(args ?? {}).filter(({ hidden }) => !hidden);
    const needed = Object.values(flags ?? {}).filter(({ required, hidden }) => required && !hidden);
    return [
      id,
      ...words.map(({ name, required, multiple }) => {
        const word = `${name.toUpperCase()}${multiple ? '...' : ''}`;
        return required ? word : `[${word}]`;
      }),
      ...needed.map((flag) => `--${flag.name}${flag.type === 'option' ? ` ${placeholderOf(flag)}` : ''}`),
      '[FLAGS]',
    ].join(' ');
  }
}

/** Values with commas between them can go on in a further line; oclif shows `a|b|c`, and breaks it anywhere. */
function withValues(flag: Command.Flag.Any): Command.Flag.Any {
  if (flag.type !== 'option' || !flag.options?.length) return flag;
  const helpValue = flag.helpValue ?? '<option>';
  return { ...flag, helpValue, summary: `${flag.summary ?? ''} Values: ${flag.options.join(', ')}.` };
}

/** Ends lines between words, and inside of a word only where it is longer than a line, after punctuation. */
function wordWrap(text: string, columns: number): string {
  return text
    .split('\n')
    .flatMap((line) => wrapped(line.trim(), columns))
    .join('\n');
}

/** A list as it is where it fits, else as `other` has it: oclif's block form counts two columns too few. */
function listWithin(list: string, columns: number, other: () => string): string {
  return list.split('\n').some((line) => width(line) > columns) ? other() : list;
}

function placeholderOf({
  helpValue,
  options,
}: Command.Flag.Any & { helpValue?: unknown; options?: unknown }): string {
  if (typeof helpValue === 'string') return helpValue;
  return Array.isArray(options) ? options.join('|') : '<value>';
}

/**
 * oclif's help with a front page of our own: it tells the journey from a first try to a running fleet, not the alphabet.
 * Imports oclif alone, which is loaded by then: help must stay quick.
 */
export default class AiotHelp extends Help {
  protected override CommandHelpClass = AiotCommandHelp;

  override wrap(body: string, spacing = this.indentSpacing): string {
    return wordWrap(this.render(body), this.opts.maxWidth - spacing);
  }

  /** The first line of a command's help, which oclif leaves to the terminal's edge. */
  protected override log(...texts: string[]): void {
    super.log(...texts.map((text) => text.replace(/^\S.*$/gm, (line) => this.wrap(line, 0))));
  }

  protected override async showRootHelp(): Promise<void> {
    const { bin, pjson } = this.config;
    const sections = groups(this.sortedCommands, this.config.topics).map(({ title, entries }) =>
      this.section(
        title.toUpperCase(),
        this.renderList(entries, { indentation: 2, spacer: '\n', stripAnsi: this.opts.stripAnsi ?? false }),
      ),
    );
    this.log(
      [
        pjson.description ?? '',
        this.section('USAGE', `$ ${bin} COMMAND [--json] [--help]`),
        ...sections,
        `${bin} COMMAND --help tells more; ${bin} explain CODE tells what an error means.`,
      ].join('\n\n'),
    );
  }

  /** `aiot device --help` is about the whole topic, also where `aiot device` alone lists. */
  override async showHelp(argv: string[]): Promise<void> {
    const words = argv.filter((word) => !word.startsWith('-'));
    const topic = words.length === 1 ? this.topicOf(words[0] ?? '') : undefined;
    if (topic) await this.showTopicHelp(topic);
    else await super.showHelp(argv);
  }

  /** A topic has commands below it; oclif takes every command for one. */
  private topicOf(name: string): Interfaces.Topic | undefined {
    // `aiot flash` is a command of its own too: oclif shows that, and then those below it.
    const own = this.config.commands.find(({ id }) => id === name);
    if (own && !own.hiddenAliases.includes(name)) return undefined;
    const has = this.config.commandIDs.some((id) => id.startsWith(`${name}:`));
    return has ? this.config.findTopic(name) : undefined;
  }

  protected override formatTopic(topic: Interfaces.Topic): string {
    const alone = this.config.commands.find(({ hiddenAliases }) => hiddenAliases.includes(topic.name));
    const same = alone ? `\n\n${this.config.bin} ${topic.name} alone = ${alone.id.replaceAll(':', ' ')}` : '';
    return `${super.formatTopic(topic).trimEnd()}${same}\n`;
  }

  /** The bare topic is another name of its list: it gets no line of its own. */
  protected override get sortedCommands(): Command.Loadable[] {
    return super.sortedCommands.filter(({ id, hiddenAliases }) => !hiddenAliases.includes(id));
  }
}

/** The front page's groups, in the order in which a newcomer meets them; topics and commands that exist are listed. */
const journey: [title: string, topics: string[]][] = [
  ['Start', ['demo', 'init', 'up', 'dashboard', 'down', 'status', 'doctor', 'docs']],
  ['Devices', ['device', 'flash', 'monitor', 'firmware', 'serial', 'ota']],
  ['Models', ['data', 'model', 'pipeline']],
  ['Streams', ['stream', 'cheat', 'vision', 'loop']],
  [
    'Operate',
    [
      'deploy',
      'backup',
      'user',
      'token',
      'trust',
      'events',
      'config',
      'context',
      'explain',
      'completion',
      'update',
      'mcp',
    ],
  ],
];

interface Listed {
  id: string;
  summary?: string | undefined;
}

interface Topic {
  name: string;
  description?: string | undefined;
}

interface Group {
  title: string;
  /** Name and what it does; a topic's second line names its commands. */
  entries: [string, string][];
}

/** Commands by group; what the journey does not name comes last, under `More`. */
function groups(commands: readonly Listed[], topics: readonly Topic[]): Group[] {
  const first = [...new Set(commands.map(({ id }) => id.split(':')[0] ?? id))];
  const named = new Set(journey.flatMap(([, names]) => names));
  const all: typeof journey = [...journey, ['More', first.filter((name) => !named.has(name)).sort()]];
  // One width for all groups, so that their columns stand below each other.
  const widest = Math.max(...first.map((name) => name.length));
  return all
    .map(([title, names]) => ({
      title,
      entries: names
        .filter((name) => first.includes(name))
        .map((name): [string, string] => [name.padEnd(widest), about(name, commands, topics)]),
    }))
    .filter(({ entries }) => entries.length > 0);
}

function about(name: string, commands: readonly Listed[], topics: readonly Topic[]): string {
  const own = commands.find(({ id }) => id === name);
  if (own) return own.summary ?? '';
  const description = topics.find((topic) => topic.name === name)?.description ?? '';
  const verbs = commands
    .filter(({ id }) => id.startsWith(`${name}:`))
    .map(({ id }) => id.slice(name.length + 1));
  return `${description}\n${verbs.join(' · ').replaceAll(':', ' ')}`;
}
