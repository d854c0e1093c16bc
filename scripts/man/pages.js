import { exampleText } from '../docs/commands.js';

/**
 * All manual pages of section 1.
 * @param {object} input
 * @param {{commands: Record<string, any>}} input.manifest oclif's
 * @param {any} input.packageJson
 * @param {string} input.date such as 2027-01-31
 * @returns {Map<string, string>} file name → man(7) source
 */
export function manualPages({ manifest, packageJson, date }) {
  const all = { topics: packageJson.oclif.topics, version: packageJson.version, date };
  const commands = Object.values(manifest.commands).filter(({ hidden }) => !hidden);
  const topics = topicsOf(commands);
  const pages = new Map([['aiot.1', frontPage(commands, topics, packageJson, all)]]);
  for (const id of topics) {
    // `aiot flash` is a command and also has subcommands.
    if (!manifest.commands[id]) pages.set(fileOf(id), topicPage(id, commands, all));
  }
  for (const command of commands) pages.set(fileOf(command.id), commandPage(command, commands, all));
  return pages;
}

const nameOf = (id) => `aiot-${id.replaceAll(':', '-')}`;
const fileOf = (id) => `${nameOf(id)}.1`;
const wordsOf = (id) => `aiot ${id.replaceAll(':', ' ')}`;

function topicsOf(commands) {
  const above = commands.flatMap(({ id }) => {
    const words = id.split(':');
    return words.slice(1).map((_, at) => words.slice(0, at + 1).join(':'));
  });
  return [...new Set(above)].sort();
}

function heading(name, { date, version }) {
  return `.TH ${text(name.toUpperCase())} 1 ${date} "aiot ${text(version)}" "aiot manual"\n`;
}

/** The NAME section, whose description has no full stop. */
const nameSection = (name, about) =>
  section('NAME', `${text(name)} \\- ${text(about).replaceAll(/\s+/g, ' ').replace(/\.$/, '')}`);

function commandPage(command, commands, all) {
  const { id, summary, description, args = {}, aliases = [] } = command;
  const below = commands.filter((each) => each.id.startsWith(`${id}:`));
  const examples = (command.examples ?? []).map((each) => exampleText(each, id.replaceAll(':', ' ')));
  return [
    heading(nameOf(id), all),
    nameSection(nameOf(id), summary),
    section('SYNOPSIS', synopsis(id, args)),
    ...(description || aliases.length > 0 ? [section('DESCRIPTION', describe(description, aliases))] : []),
    ...(Object.keys(args).length > 0
      ? [section('ARGUMENTS', Object.values(args).map(argument).join('').trimEnd())]
      : []),
    section('OPTIONS', options(command)),
    ...(below.length > 0 ? [section('COMMANDS', listed(below))] : []),
    section('EXAMPLES', example(examples.flatMap((each) => each.split('\n'))).trimEnd()),
    exitStatus(),
    seeAlso(id),
  ].join('');
}

function describe(description, aliases) {
  const same = aliases.map((alias) => `Short form:\n.B ${text(wordsOf(alias))}`);
  return [...(description ? [prose(description)] : []), ...same].join('\n.PP\n');
}

function synopsis(id, args) {
  const words = Object.values(args).map(({ name, required }) => {
    const shown = italic(name.toUpperCase());
    return required ? shown : `[${shown}]`;
  });
  return [bold(wordsOf(id)), ...words, `[${italic('flags')}]`].join(' ');
}

const withDefault = (text, standard) => `${text.replace(/\.$/, '')} [default: ${standard}].`;

function argument({ name, description, options: choices, default: standard }) {
  const about = typeof standard === 'string' ? withDefault(description, standard) : description;
  const values = choices ? ` One of ${choices.join(', ')}.` : '';
  return term(italic(name.toUpperCase()), prose(`${about}${values}`));
}

function options({ flags }) {
  const shown = Object.values(flags).filter(({ hidden }) => !hidden);
  const own = shown.filter(({ helpGroup }) => helpGroup !== 'GLOBAL');
  const common = shown.filter(({ helpGroup }) => helpGroup === 'GLOBAL');
  return [...own, ...common].map(option).join('').trimEnd();
}

function option({
  name,
  char,
  type,
  allowNo,
  helpValue,
  summary,
  options: choices,
  default: standard,
  env,
  required,
}) {
  const long = allowNo ? `--[no-]${name}` : `--${name}`;
  const value = type === 'boolean' ? '' : ` ${italic(helpValue ?? name.split('-').at(-1).toUpperCase())}`;
  const short = char ? `${bold(`-${char}`)}, ` : '';
  const known = typeof standard === 'string' || typeof standard === 'number';
  const about = known ? withDefault(summary, standard) : summary;
  const more = [
    ...(choices && choices.length > 0 ? [`One of ${choices.join(', ')}.`] : []),
    ...(required ? ['Required.'] : []),
    ...(env ? [`[env: ${env}]`] : []),
  ];
  return term(`${short}${bold(long)}${value}`, prose([about, ...more].join(' ')));
}

function topicPage(id, commands, all) {
  const { description = '' } = all.topics[id] ?? {};
  const below = commands.filter((each) => each.id.startsWith(`${id}:`));
  return [
    heading(nameOf(id), all),
    nameSection(nameOf(id), description || `commands of ${wordsOf(id)}`),
    section('SYNOPSIS', `${bold(wordsOf(id))} ${italic('COMMAND')} [${italic('flags')}]`),
    section('COMMANDS', listed(below)),
    seeAlso(id),
  ].join('');
}

function listed(commands) {
  return commands
    .map(({ id, summary }) => term(`${bold(nameOf(id))}(1)`, prose(summary)))
    .join('')
    .trimEnd();
}

function frontPage(commands, topics, { description }, all) {
  const alone = commands.filter(({ id }) => !id.includes(':') && !topics.includes(id));
  const first = topics.filter((id) => !id.includes(':'));
  const about = (id) => all.topics[id]?.description ?? '';
  return [
    heading('aiot', all),
    nameSection('aiot', description),
    section('SYNOPSIS', `${bold('aiot')} ${italic('COMMAND')} [${italic('flags')}]`),
    section('COMMANDS', listed(alone)),
    section(
      'TOPICS',
      first
        .map((id) => term(`${bold(nameOf(id))}(1)`, prose(about(id))))
        .join('')
        .trimEnd(),
    ),
    section('OPTIONS', options({ flags: globalOf(commands[0]) })),
    section(
      'ENVIRONMENT',
      prose(
        'Every flag has an environment variable, which the page of its command names. Precedence: flag, environment, project file, context, default. aiot config show shows where each value comes from.',
      ),
    ),
    section(
      'FILES',
      [
        term(italic('aiot.yaml'), prose('The project in this folder.')),
        term(italic('~/.config/aiot'), prose('Contexts, tokens and keys of this user (AIOT_CONFIG_DIR).')),
        term(italic('~/.local/share/aiot'), prose('Platforms of this machine (AIOT_DATA_DIR).')),
      ]
        .join('')
        .trimEnd(),
    ),
    exitStatus(),
  ].join('');
}

const globalOf = ({ flags }) =>
  Object.fromEntries(Object.entries(flags).filter(([, { helpGroup }]) => helpGroup === 'GLOBAL'));

const codes = {
  0: 'success',
  1: 'failed',
  2: 'invalid command line, or invalid file named in it',
  3: 'partly failed',
  4: 'not found',
  5: 'permission denied',
  6: 'a check or gate failed',
  124: 'timed out',
  130: 'interrupted',
};
const exitStatus = () =>
  section(
    'EXIT STATUS',
    Object.entries(codes)
      .map(([code, meaning]) => term(bold(code), `${text(meaning)}.`))
      .join('')
      .trimEnd(),
  );

function seeAlso(id) {
  const words = id.split(':');
  const above = words.slice(1).map((_, at) => nameOf(words.slice(0, at + 1).join(':')));
  return section('SEE ALSO', ['aiot', ...above].map((name) => `.BR ${text(name)} (1)`).join(',\n'));
}

// The following functions write man(7) source for groff and mandoc.

/** Literal text: characters that are special to roff are escaped. */
const text = (words) =>
  String(words ?? '')
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replaceAll("'", '\\(aq')
    .replaceAll('`', '\\(ga')
    .replaceAll('^', '\\(ha')
    .replaceAll('~', '\\(ti')
    .replaceAll('"', '\\(dq');

/** Prose: each sentence begins a line, hyphens remain hyphens, and text in backticks is bold. */
function prose(words) {
  return text(words)
    .replaceAll(/\\\(ga(.+?)\\\(ga/g, '\\fB$1\\fR')
    .replaceAll(/(?<=\w)\\-(?=\w)/g, '-')
    .replaceAll(/\s+/g, ' ')
    .trim()
    .split(/(?<=[.!?]) (?=[A-Z“])/)
    .map(guarded)
    .join('\n');
}

/** Escapes a leading dot or quote, which would make the line a request. */
const guarded = (line) => (/^[.']/.test(line) ? `\\&${line}` : line);

const section = (name, body) => `.SH ${name}\n${body}\n`;

/** A term in bold, with its description below. */
const term = (head, body) => `.TP\n${head}\n${body}\n`;
const bold = (words) => `\\fB${text(words)}\\fR`;
const italic = (words) => `\\fI${text(words)}\\fR`;

/** An example, whose lines are kept unchanged so that they can be copied. */
const example = (lines) => `.RS 4\n.nf\n${lines.map((line) => guarded(text(line))).join('\n')}\n.fi\n.RE\n`;
