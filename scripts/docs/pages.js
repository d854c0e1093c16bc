import { exampleText, flagsOf } from './commands.js';

const generated = '<!-- Made by npm run docs; do not edit. -->';

/**
 * docs/reference/cli/: a page for each topic, and an index.
 * @param {import('./commands.js').CommandFile[]} commands
 * @param {Record<string, {description: string}>} topics
 * @returns {Map<string, string>} path → text
 */
export function commandPages(commands, topics) {
  const names = [...new Set(commands.map(({ id }) => id.split(' ')[0] ?? id))].sort();
  const pages = new Map();
  const index = [generated, '', '# Commands', ''];
  for (const name of names) {
    const own = commands.filter(({ id }) => id.split(' ')[0] === name);
    const description = topics[name]?.description ?? own[0]?.command.summary ?? '';
    index.push(`- [${name}](${name}.md): ${description}`);
    const sections = own.map((entry) => section(entry));
    pages.set(
      `docs/reference/cli/${name}.md`,
      [generated, '', `# aiot ${name}`, '', description, '', ...sections].join('\n'),
    );
  }
  index.push('', ...globalFlags(commands[0]?.command), '');
  pages.set('docs/reference/cli/README.md', index.join('\n'));
  return pages;
}

function section({ id, command }) {
  const args = Object.entries(command.args ?? {});
  const own = flagsOf(command).filter(([, flag]) => flag.helpGroup !== 'GLOBAL');
  const words = [id, ...args.map(([name, arg]) => wrap(name.toUpperCase(), arg.required))];
  const usage = ['aiot', command.usage ?? words.join(' '), '[flags]'].join(' ');
  return [
    `## aiot ${id}`,
    '',
    command.summary,
    ...(command.description ? ['', command.description] : []),
    ...(command.aliases ?? []).flatMap((alias) => [
      '',
      `Short form: \`aiot ${alias.replaceAll(':', ' ')}\`.`,
    ]),
    '',
    '```sh',
    usage,
    '```',
    '',
    ...(args.length > 0 ? ['| argument | |', '| --- | --- |', ...args.map(argumentRow), ''] : []),
    ...(own.length > 0
      ? ['| flag | variable | default | |', '| --- | --- | --- | --- |', ...own.map(flagRow), '']
      : []),
    '```sh',
    ...(command.examples ?? []).map((example) => exampleText(example, id)),
    '```',
    '',
    `With \`--json\`: [schema](../schemas/${id.replaceAll(' ', '-')}.json).`,
    '',
  ].join('\n');
}

const wrap = (name, required) => (required ? name : `[${name}]`);
const cell = (text) =>
  String(text ?? '')
    .replaceAll('|', '\\|')
    .replaceAll('\n', ' ');

const withDefault = (text, standard) => `${text.replace(/\.$/, '')} [default: ${standard}].`;

function argumentRow([name, arg]) {
  const about = typeof arg.default === 'string' ? withDefault(arg.description, arg.default) : arg.description;
  return `| \`${wrap(name.toUpperCase(), arg.required)}\` | ${cell(about)} |`;
}

function flagRow([name, flag]) {
  const short = flag.char ? `-${flag.char}, ` : '';
  const choice = flag.helpValue === undefined ? (flag.options ?? []).join('|') : '';
  // As in the terminal's help: few and short values are the placeholder.
  const isShort = choice !== '' && choice.length <= 16;
  const placeholder = isShort ? choice : (flag.helpValue ?? name.split('-').at(-1).toUpperCase());
  const value = flag.type === 'boolean' ? '' : ` ${placeholder}`;
  const shown = flag.allowNo ? `--[no-]${name}` : `--${name}`;
  const standard = flag.shownDefault ?? flag.default;
  const fallback = typeof standard === 'function' || standard === undefined ? '' : `\`${standard}\``;
  const options = flag.options && !isShort ? ` One of ${flag.options.join(', ')}.` : '';
  const required = flag.required ? ' Required.' : '';
  return `| \`${cell(`${short}${shown}${value}`)}\` | ${flag.env ?? ''} | ${fallback} | ${cell(flag.summary)}${options}${required} |`;
}

function globalFlags(command) {
  const rows = flagsOf(command).filter(([, flag]) => flag.helpGroup === 'GLOBAL');
  return [
    'Every command has these flags:',
    '',
    '| flag | variable | default | |',
    '| --- | --- | --- | --- |',
    ...rows.map(flagRow),
    '',
    'Every flag has an environment variable. Precedence: flag, environment, project file, context, default.',
    '`aiot config show` shows where each value comes from.',
    '',
    'With `--json`, a list is an array of all its entries. With `--after`, it is one page: an object `{NOUN: […], next}`, where `next`',
    'is the value of `--after` for the next page, or null after the last one. A list that belongs to a single item (a',
    "project's recordings, a file's routes) is an object that also contains the item.",
    '',
    'Exit codes: 0 ok · 1 failed · 2 usage · 3 partly failed · 4 not found · 5 not allowed · 6 a check or gate failed ·',
    '124 timed out · 130 interrupted.',
  ];
}

/**
 * docs/reference/errors.md from the catalogue.
 * @param {Record<string, {exit: number, family: string, about: string, next: string, subjects?: Record<string, string>}>} catalogue
 */
export function errorPage(catalogue) {
  const families = { user: 'the input', outside: 'the environment', bug: 'aiot itself' };
  const entries = Object.entries(catalogue).map(([code, { exit, family, about, next, subjects = {} }]) =>
    [
      `## ${code}`,
      '',
      about,
      '',
      `- Try: ${next}`,
      ...Object.entries(subjects).map(([subject, step]) => `- For \`${subject}\`: ${step}`),
      `- Exit code ${exit}; the cause is ${families[family]}.`,
      '',
    ].join('\n'),
  );
  const intro = 'Every error has a code, a description and a next step. `aiot error CODE` prints its entry.';
  return [generated, '', '# Errors', '', intro, '', ...entries].join('\n');
}
