import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { type Command, Config, Errors, type Interfaces, run, settings } from '@oclif/core';
import { switchedOn } from './switches.js';

/**
 * Runs one command line. The base class of commands shows a command's errors. Failures before there is a command (such as an unknown
 * command) are shown here in the same form. Only the modules that --help needs are loaded immediately; the core module, with its
 * schemas, is loaded only after a failure.
 *
 * @param program URL of a file of this package, or oclif's options if commands are not read from dist/
 */
export async function main(args: string[], program: Interfaces.LoadOptions): Promise<void> {
  // Limits the heap while commands are loaded, like core's keepYoungHeapSmall, which is not loaded yet. The command later removes the
  // limit.
  setFlagsFromString('--semi-space-growth-factor=1');
  listenToOutput();
  // Progress and logs that cannot be written are lost, for example the log of a detached platform on a full disk. The command continues.
  process.stderr.on('error', () => {});
  const argv = args[0] === 'help' ? [...args.slice(1), '--help'] : args;
  // With NODE_ENV=development or test, oclif would look for sources and load TypeScript. Commands are always loaded from dist/.
  settings.enableAutoTranspile = false;
  let config: Config | undefined;
  try {
    config = await Config.load(program);
    if (switchedOn('json', argv) && isTopic(argv, config)) throw new Errors.CLIError('no command');
    await run(argv, config);
  } catch (error) {
    if (error instanceof Errors.ExitError) process.exitCode = error.oclif.exit ?? 0;
    else await fail(error, argv, config);
  }
}

/** Stops commands when stdout can no longer be written; oclif would rethrow the raw error. */
function listenToOutput(): void {
  let failed = false;
  process.stdout.removeAllListeners('error');
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    // In `aiot … | head`, the reader closes stdout when it needs no further output.
    if (error.code === 'EPIPE' || failed) return;
    failed = true;
    const code =
      error.code === 'ENOSPC' || error.code === 'EDQUOT' ? 'AIOT_DISK_FULL' : 'AIOT_FILE_NOT_WRITABLE';
    process.stderr.write(`✗ ${code}: cannot write to standard output: ${error.message}\n`);
    process.once('exit', () => {
      process.exitCode = 1;
    });
  });
}

/** Whether the command line names only a topic, such as `stream`. oclif would print its help, which is not JSON. */
function isTopic(argv: string[], config: Config): boolean {
  if (argv.includes('--help') || argv.includes('-h')) return false;
  const id = argv.filter((word) => !word.startsWith('-')).join(':');
  return config.findTopic(id) !== undefined && config.findCommand(id) === undefined;
}

async function fail(error: unknown, argv: string[], config: Config | undefined): Promise<void> {
  const [{ AiotError }, { showError }] = await Promise.all([
    import('../core/index.js'),
    import('./errors.js'),
  ]);
  const style = { json: switchedOn('json', argv), debug: switchedOn('debug', argv) };
  if (!config || !(error instanceof Errors.CLIError)) return showError(error, style);
  const words = argv.filter((word) => !word.startsWith('-'));
  const ids = config.commandIDs.map((id) => id.replaceAll(':', ' '));
  const command = ids.find(
    (id) => words.join(' ').startsWith(`${id} `) && !config.topics.some(({ name }) => name === id),
  );
  if (command) {
    // Words after the first may be the values of flags.
    const from = argv.slice(argv.findIndex((word) => !word.startsWith('-')));
    const flag = from.findIndex((word) => word.startsWith('-'));
    const more = from.slice(command.split(' ').length, flag < 0 ? undefined : flag);
    const message = `unexpected argument${more.length > 1 ? 's' : ''}: ${more.join(', ')}`;
    const flagged =
      more.length === 1
        ? await flagFor(more[0]!, config.findCommand(command.replaceAll(' ', ':')))
        : undefined;
    const next = flagged
      ? `aiot ${command} ${flagged}`
      : `To see the arguments and flags, run \`aiot ${command} --help\`.`;
    return showError(new AiotError('AIOT_USAGE', message, { next, cause: error }), style);
  }
  // Words after the command's name are its arguments.
  const depth =
    words.findLastIndex((_, at) =>
      config.topics.some(({ name }) => name === words.slice(0, at + 1).join(':')),
    ) + 1;
  const whole = config.topics.some(({ name }) => name === words.join(':'));
  const message =
    words.length === 0
      ? 'expected a command'
      : whole
        ? `expected a command of ${words.join(' ')}`
        : `no such command: ${words.slice(0, Math.max(2, depth + 1)).join(' ')}`;
  showError(
    new AiotError('AIOT_USAGE', message, { next: await advice(words, namesOf(config)), cause: error }),
    style,
  );
}

/** The flag that the user probably forgot before a project folder or a data file; undefined if the command has no such flag. */
async function flagFor(word: string, command: Command.Loadable | undefined): Promise<string | undefined> {
  const flag = existsSync(join(word, 'aiot.yaml'))
    ? 'project'
    : /\.(csv|jsonl|parquet)$/i.test(word) && existsSync(word)
      ? 'data'
      : undefined;
  if (!flag || !command?.flags[flag]) return undefined;
  const { shellWord } = await import('../core/index.js');
  return `--${flag} ${shellWord(word)}`;
}

/** Maps all names of commands, including former names, which still work, to the current names. */
function namesOf(config: Config): Map<string, string> {
  const spaced = (id: string) => id.replaceAll(':', ' ');
  const own = config.commands.filter(
    ({ id, aliases, hiddenAliases }) => ![...aliases, ...hiddenAliases].includes(id),
  );
  return new Map(
    own.flatMap(({ id, aliases, hiddenAliases }) =>
      [id, ...aliases, ...hiddenAliases].map((name): [string, string] => [spaced(name), spaced(id)]),
    ),
  );
}

const firstWord = (id: string) => id.split(' ')[0] ?? id;
const lastWord = (id: string) => id.split(' ').at(-1) ?? id;

/**
 * Suggests the intended command if the intention is clear, otherwise the help. Equally similar names are all suggested, because a wrong
 * suggestion could make the user change something.
 */
async function advice(words: string[], names: Map<string, string>): Promise<string> {
  const { nearestOnes } = await import('../core/index.js');
  const ids = [...names.keys()];
  /** The commands whose names are nearest to the typed one. */
  const near = (typed: string, ofCandidate: (id: string) => string, among: string[]) =>
    nearestOnes(typed, [...new Set(among.map(ofCandidate))], 2).flatMap((name) =>
      among.flatMap((id) => (ofCandidate(id) === name ? [names.get(id) ?? id] : [])),
    );
  const typed = (found: string[]) => [...new Set(found)].map((line) => `aiot ${line}`).join(', ');
  const wordsOf = (count: number) => ids.filter((id) => id.split(' ').length === count);
  const whole = (id: string) => id;

  const [first = '', second = '', third = ''] = words;
  const topic = `${first} ${second}`;
  const inTopic = ids.filter((id) => id.startsWith(`${topic} `));
  const deep =
    inTopic.length > 0
      ? near(third, lastWord, inTopic)
      : near(words.slice(0, 3).join(' '), whole, wordsOf(3));
  if (deep.length > 0) return typed(deep);
  if (inTopic.length > 0) return `aiot ${topic} --help`;
  if (second !== '') {
    const close = near(topic, whole, wordsOf(2));
    if (close.length > 0) return typed(close);
    const beginning = wordsOf(2).filter((id) => id.startsWith(`${topic}-`));
    if (beginning.length > 0) return typed(beginning.map((id) => names.get(id) ?? id));
  }
  // A topic is as likely to be meant as a command.
  const topics = new Map(
    [...names].filter(([id]) => id.includes(' ')).map((pair) => pair.map(firstWord) as [string, string]),
  );
  const alone = second === '' ? ids : wordsOf(1);
  const found = nearestOnes(first, [...new Set([...topics.keys(), ...alone])], 2);
  if (found.length > 0)
    return typed(found.map((name) => names.get(name) ?? `${topics.get(name) ?? name} --help`));
  // Users often remember only the last word of a command: train, push, flash.
  const verbs = near(
    first,
    lastWord,
    [...new Set(names.values())].filter((id) => id.includes(' ')),
  );
  return verbs.length > 0 && verbs.length <= 4 ? typed(verbs) : 'Run aiot --help to list the commands.';
}
