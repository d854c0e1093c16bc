import { type Command, CommandHelp, Errors, Help, type Interfaces } from '@oclif/core';
import { width, wrapped } from './render/wrap.js';

type Flag = Command.Flag.Any & { helpValue?: unknown; options?: readonly string[]; multiple?: boolean };
type Entry = [label: string, text: string];

/**
 * Maximum width of labels in a column. The text of a wider label begins on the next line, so that one long name does not narrow the text
 * column.
 */
const widestLabel = 24;

/** Examples above the flags. Further ones follow below, so that the flags of a command with many are still on the first screen. */
const examplesFirst = 3;

/** Flags with a common meaning. They come last in their section, in this order. */
const vocabulary = [
  'project',
  'out',
  'report',
  'open',
  'junit',
  'context',
  'timeout',
  'wait',
  'dry-run',
  'yes',
];

/** The help of one command: summary, usage, examples, description, arguments, flags by group, and the flags of every command. */
class AiotCommandHelp extends CommandHelp {
  override generate(): string {
    const { description, aliases } = this.command;
    return [
      this.part('usage', commandLines(`$ ${this.config.bin} ${this.words()}`, this.opts.maxWidth - 2, '')),
      this.part('examples', this.exampleLines(0, examplesFirst)),
      this.part('description', description && this.paragraphs(description)),
      this.part('arguments', this.list(this.argumentEntries())),
      ...this.flagParts(),
      this.part('more examples', this.exampleLines(examplesFirst)),
      this.part('short form', aliases.map((alias) => `$ ${this.config.bin} ${spaced(alias)}`).join('\n')),
    ]
      .filter(Boolean)
      .join('\n\n');
  }

  private part(title: string, body: string | undefined): string | undefined {
    return body ? this.section(title.toUpperCase(), body) : undefined;
  }

  private paragraphs(text: string): string {
    return wrappedText(this.render(text), this.opts.maxWidth - 2);
  }

  private list(entries: Entry[]): string {
    return inColumns(entries, this.opts.maxWidth - 2);
  }

  /** The command's own usage text, or else its arguments and required flags. Optional flags are listed below. */
  private words(): string {
    const { id, args, flags, usage } = this.command;
    if (usage !== undefined) return `${[usage].flat().join(' ')} [FLAGS]`;
    const needed = Object.entries<Flag>(flags).filter(([, { required, hidden }]) => required && !hidden);
    return [
      spaced(id),
      ...Object.values(args)
        .filter(({ hidden }) => !hidden)
        .map(({ name, required, multiple }) => {
          const word = `${name.toUpperCase()}${multiple ? '...' : ''}`;
          return required ? word : `[${word}]`;
        }),
      ...needed.map(([name, flag]) => ['--', name, placeholderOf(name, flag)].join('')),
      '[FLAGS]',
    ].join(' ');
  }

  private exampleLines(from: number, to?: number): string {
    const texts = (this.command.examples ?? [])
      .slice(from, to)
      .map((example) =>
        typeof example === 'string' ? example : `# ${example.description}\n${example.command}`,
      );
    return texts
      .flatMap((text) => this.render(text).split('\n'))
      .map((line) => (line.startsWith('#') ? line : `$ ${line}`))
      .map((line) => commandLines(line, this.opts.maxWidth - 2))
      .join('\n');
  }

  private argumentEntries(): Entry[] {
    return Object.values(this.command.args)
      .filter(({ hidden }) => !hidden)
      .map(({ name, description = '', options, default: standard, required }) => [
        required ? name.toUpperCase() : `[${name.toUpperCase()}]`,
        withValues(description, options, standard),
      ]);
  }

  private flagParts(): (string | undefined)[] {
    const byGroup = new Map<string, [string, Flag][]>();
    for (const [name, flag] of Object.entries<Flag>(this.command.flags)) {
      const group = flag.helpGroup ?? '';
      if (!flag.hidden) byGroup.set(group, [...(byGroup.get(group) ?? []), [name, flag]]);
    }
    const { GLOBAL: common = [], '': main = [], ...groups } = Object.fromEntries(byGroup);
    const entries = (flags: [string, Flag][]) => this.list(flagEntries(flags.sort(byImportance)));
    const env =
      'You can also set any flag with an environment variable, such as AIOT_QUIET=true for --quiet.';
    return [
      ...[['', main] as const, ...Object.entries(groups)]
        .filter(([, flags]) => flags.length > 0)
        .map(([group, flags]) => this.part(`${group} flags`.trim(), entries(flags))),
      this.part('common flags', `${entries(common)}\n${wrappedText(env, this.opts.maxWidth - 2)}`),
    ];
  }
}

/** A command's id as it is typed: `device:list` becomes `device list`. */
const spaced = (id: string) => id.replaceAll(':', ' ');

const rank = (name: string, { required }: Flag) => (required ? -1 : vocabulary.indexOf(name) + 1);

/** Compares flags: required ones come first, those of the vocabulary last, and others in the command's order. */
function byImportance([nameA, a]: [string, Flag], [nameB, b]: [string, Flag]): number {
  return rank(nameA, a) - rank(nameB, b);
}

function flagEntries(flags: [string, Flag][]): Entry[] {
  const indent = flags.some(([, { char }]) => char) ? '    ' : '';
  return flags.map(([name, flag]) => {
    const shown = flag.type === 'boolean' && flag.allowNo ? `--[no-]${name}` : `--${name}`;
    const { summary = '', description = '', options, default: standard, required, helpValue } = flag;
    return [
      `${flag.char ? `-${flag.char}, ` : indent}${shown}${placeholderOf(name, flag)}`,
      `${required ? 'Required. ' : ''}${withValues(summary || description, helpValue === undefined && choiceOf(options) ? [] : options, standard)}`,
    ];
  });
}

/** The placeholder after a flag, such as ` NAME`. */
function placeholderOf(name: string, { type, helpValue, multiple, options }: Flag): string {
  if (type === 'boolean') return '';
  const value =
    typeof helpValue === 'string' ? helpValue : (choiceOf(options) ?? name.split('-').at(-1)?.toUpperCase());
  return ` ${value}${multiple ? '...' : ''}`;
}

/** The values of a flag as a placeholder, such as `pause|rollback`; only if they are few and short. */
function choiceOf(options: readonly string[] | undefined): string | undefined {
  const choice = options?.join('|') ?? '';
  return choice !== '' && choice.length <= 16 ? choice : undefined;
}

/** The default is part of the last sentence: `Run on this machine [default: local].` */
function withValues(text: string, options: readonly string[] | undefined, standard: unknown): string {
  const known = (typeof standard === 'string' || typeof standard === 'number') && standard !== '';
  const values = options && options.length > 0 ? ` Values: ${options.join(', ')}.` : '';
  return `${known ? `${text.replace(/\.$/, '')} [default: ${standard}].` : text}${values}`;
}

/** Wraps lines between words. A word that is longer than a line is broken after punctuation. */
function wrappedText(text: string, columns: number): string {
  return text
    .split('\n')
    .flatMap((line) => wrapped(line.trim(), columns))
    .join('\n');
}

/** Formats labels and texts as two columns. */
function inColumns(entries: Entry[], columns: number): string {
  const widest = Math.max(0, ...entries.map(([label]) => width(label)).filter((wide) => wide <= widestLabel));
  // On a very narrow terminal, texts begin below their labels.
  const left = columns - widest < 22 ? 4 : widest + 2;
  return entries
    .flatMap(([label, text]) => {
      const [first = '', ...more] = wrappedText(text, Math.max(20, columns - left)).split('\n');
      const rest = more.map((line) => ' '.repeat(left) + line);
      if (width(label) + 2 > left) return [label, ' '.repeat(left) + first, ...rest];
      return [`${label.padEnd(left)}${first}`.trimEnd(), ...rest];
    })
    .join('\n');
}

/**
 * Splits a command over several lines, by default in a form that a shell accepts. Lines are broken only between words, and never
 * between a flag and its value.
 */
function commandLines(line: string, columns: number, lineEnd = ' \\'): string {
  if (width(line) <= columns) return line;
  const lines: string[] = [];
  let current = '';
  for (const word of line.match(/(?:--?[a-z][a-z-]* )?(?!-)(?:'[^']*'|"[^"]*"|[^\s'"])+|--?[a-z-]+/g) ?? []) {
    if (current !== '' && width(current) + width(word) + 3 > columns) {
      lines.push(`${current}${lineEnd}`);
      current = `    ${word}`;
    } else current = current === '' ? word : `${current} ${word}`;
  }
  return [...lines, current].join('\n');
}

/** Former names of topics, which users may still type. */
const formerTopics: Readonly<Record<string, string>> = { ota: 'rollout' };

/**
 * oclif's help with our own pages: a front page of one screen, one line for each command of a topic, examples before flags. Help
 * must be fast, so this file imports only oclif, which is already loaded.
 */
export default class AiotHelp extends Help {
  protected override CommandHelpClass = AiotCommandHelp;

  protected override async showRootHelp(): Promise<void> {
    this.log(frontPage(this.config.bin, this.opts.maxWidth));
  }

  /** Shows help. Help can be requested anywhere on the command line, and by any name or alias of a command. */
  override async showHelp(argv: string[]): Promise<void> {
    const end = argv.indexOf('--');
    const words = argv
      .slice(0, end < 0 ? argv.length : end)
      .filter((word) => !word.startsWith('-'))
      .flatMap((word) =>
        this.config.findTopic(word) || this.config.findCommand(word) ? word.split(':') : [word],
      );
    if (words.length === 0) return this.showRootHelp();
    for (let begin = 0; begin < words.length; begin++) {
      for (let count = Math.min(3, words.length - begin); count > 0; count--) {
        const id = words.slice(begin, begin + count).join(':');
        const command = this.config.findCommand(id);
        if (command) return this.showCommandHelp(await this.canonical(command));
        const topic = this.config.findTopic(formerTopics[id] ?? id);
        if (topic && begin + count === words.length) return this.showTopicHelp(topic);
      }
      // Words before the command may be the values of flags, but an unknown command of a topic has no help.
      if (this.config.findTopic(formerTopics[words[begin]!] ?? words[begin]!)) break;
    }
    throw new Errors.CLIError(`Command ${words.join(' ')} not found.`);
  }

  /** Replaces an alias with the command itself, with the formatted defaults. */
  private async canonical(found: Command.Loadable): Promise<Command.Loadable> {
    const command = aliasesOf(found).includes(found.id)
      ? (this.config.commands.find(
          ({ id, ...other }) => aliasesOf(other).includes(found.id) && !aliasesOf(other).includes(id),
        ) ?? found)
      : found;
    if (!command.hasDynamicHelp) return command;
    const { flags } = await command.load();
    for (const [name, { type, defaultHelp, ...flag }] of Object.entries<Flag & { defaultHelp?: unknown }>(
      flags,
    )) {
      const cached = command.flags[name];
      if (type === 'boolean' || typeof defaultHelp !== 'function' || !cached) continue;
      Object.assign(cached, { default: await defaultHelp({ options: flag, flags: {} }) });
    }
    return command;
  }

  override async showCommandHelp(command: Command.Loadable): Promise<void> {
    const { maxWidth } = this.opts;
    this.log(`${wrappedText(this.summary(command) ?? '', maxWidth)}\n`);
    this.log(this.formatCommand({ ...command }));
    const below = this.entriesBelow(command.id);
    if (below.length > 0) this.log(`\n${this.section('COMMANDS', inColumns(below, maxWidth - 2))}`);
  }

  protected override async showTopicHelp({ name, description = '' }: Interfaces.Topic): Promise<void> {
    const { maxWidth } = this.opts;
    const typed = `${this.config.bin} ${spaced(name)}`;
    this.log(
      [
        wrappedText(description, maxWidth),
        this.section('USAGE', `$ ${typed} COMMAND`),
        this.section('COMMANDS', inColumns(this.entriesBelow(name), maxWidth - 2)),
        `For help on a command, run ${typed} COMMAND --help.`,
      ].join('\n\n'),
    );
  }

  /** The commands below a topic, without the topic's name, such as `config deploy` for `device`. Aliases are shown next to each name. */
  private entriesBelow(topic: string): Entry[] {
    const below = (id: string) => (id.startsWith(`${topic}:`) ? [spaced(id.slice(topic.length + 1))] : []);
    return this.sortedCommands.flatMap((command) =>
      below(command.id).map((name): Entry => {
        const names = [name, ...command.aliases.flatMap(below)];
        return [names.join(', '), command.summary ?? ''];
      }),
    );
  }

  /** All commands without their aliases. */
  protected override get sortedCommands(): Command.Loadable[] {
    return super.sortedCommands.filter((command) => !aliasesOf(command).includes(command.id));
  }
}

const aliasesOf = ({
  aliases = [],
  hiddenAliases = [],
}: Pick<Command.Loadable, 'aliases' | 'hiddenAliases'>) => [...aliases, ...hiddenAliases];

/** One line of the front page: commands or topics, and their purpose. */
export type FrontLine = readonly [names: string, purpose: string];

/** The front page, in the order of a newcomer's first steps. Each command and topic appears on one of the lines. */
export const frontGroups: readonly (readonly [title: string, lines: readonly FrontLine[]])[] = [
  [
    'Start',
    [
      ['demo', 'Train, deploy and run a model on this machine'],
      ['init', 'Create a project from a template or your data'],
      ['up', 'Start a platform on this machine'],
      ['doctor', 'Check that this machine has what aiot needs'],
      ['docs', 'Read the documentation'],
    ],
  ],
  [
    'Devices',
    [
      ['board', 'Inspect, monitor, share or simulate a board'],
      ['flash', "Write and verify a chip's flash"],
      ['firmware', 'Build firmware, and manage its releases'],
      ['device', 'Provision devices and manage their identities'],
      ['fleet', 'Simulate a fleet of devices'],
      ['rollout', 'Update a fleet in waves'],
    ],
  ],
  [
    'Models',
    [
      ['data', 'Record, label, check and export data'],
      ['model', 'Train, quantize, sign and deploy models'],
      ['pipeline', 'Run all steps from data to devices'],
    ],
  ],
  [
    'Streams',
    [
      ['stream', 'Follow, publish, record and bridge messages'],
      ['loop', 'Run inference on this machine, unattended'],
      ['vision', 'Detect faces in pictures'],
    ],
  ],
  [
    'Platform',
    [
      ['status, dashboard, down', 'Inspect, open or stop the platform'],
      ['platform, backup', 'Install the service, read logs, back up data'],
      ['deploy', 'Generate and apply an installation'],
      ['user, token, trust', 'Manage users, permissions and signing keys'],
      ['login, logout, session', 'Log in with a provider, log out, end logins'],
      ['events, job, webhook', 'Follow changes and long-running work'],
      ['alarm, audit', 'Raise alarms, and see who changed what'],
    ],
  ],
  [
    'More',
    [
      ['context, config', 'Choose a platform, and show settings'],
      ['examples, error', 'Show commands to copy, and explain an error'],
      ['completion, mcp', 'Set up your shell, or connect an AI agent'],
      ['tools, version', 'Calculate components, and check for updates'],
    ],
  ],
];

function frontPage(bin: string, columns: number): string {
  const titles = Math.max(...frontGroups.map(([title]) => title.length)) + 2;
  const names = Math.max(...frontGroups.flatMap(([, lines]) => lines.map(([each]) => each.length))) + 2;
  const purposes = Math.max(
    ...frontGroups.flatMap(([, lines]) => lines.map(([, purpose]) => purpose.length)),
  );
  const isNarrow = titles + names + purposes > columns;
  const groups = frontGroups.map(([title, lines]) =>
    isNarrow
      ? `${title}\n${inColumns(
          lines.map(([each, purpose]) => [`  ${each}`, purpose]),
          columns,
        )}`
      : lines
          .map(
            ([each, purpose], i) => `${(i === 0 ? title : '').padEnd(titles)}${each.padEnd(names)}${purpose}`,
          )
          .join('\n'),
  );
  return [
    wrappedText('From sensor data to models on microcontrollers, and a fleet that stays current.', columns),
    `Usage: ${bin} COMMAND [FLAGS]`,
    ...groups,
    wrappedText(
      `${bin} TOPIC lists its commands. ${bin} COMMAND --help shows examples and flags. ${bin} docs quick-start is the five-minute tour.`,
      columns,
    ),
  ].join('\n\n');
}
