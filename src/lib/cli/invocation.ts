import { accessSync, constants, readFileSync, realpathSync } from 'node:fs';
import { delimiter, dirname, join, relative, sep } from 'node:path';
import { packageRoot } from '../core/folders.js';
import { shellWord } from '../core/text.js';

/** The environment in which the shell looks for this program. */
interface Invocation {
  /** Absolute path of bin/run.js. */
  script: string;
  /** Current folder of the shell, where the user will type the next command. */
  cwd: string;
  /** PATH of the user's shell. */
  path: string;
  platform?: NodeJS.Platform;
}

/**
 * The words that start this program in the user's shell: `aiot` if that resolves to this program, `npx …` if npx finds it, otherwise the
 * path of bin/run.js.
 */
export function programName({ script, cwd, path, platform = process.platform }: Invocation): string {
  const own = realPath(script) ?? script;
  if (isOnPath(own, path)) return 'aiot';
  const npx = npxWords(own, cwd);
  if (npx !== null) return npx;
  const near = relative(cwd, own);
  const shown = near.startsWith(`..${sep}..`) ? own : near.includes(sep) ? near : `.${sep}${near}`;
  return platform === 'win32' ? `node ${shellWord(shown)}` : shellWord(shown);
}

function realPath(file: string): string | null {
  try {
    return realpathSync(file);
  } catch {
    return null;
  }
}

/** Whether `aiot` on the PATH of the user's shell runs this program. Ignores folders that npm and npx prepend for their child processes. */
function isOnPath(own: string, path: string): boolean {
  const folders = path
    .split(delimiter)
    .filter((folder) => folder !== '' && !folder.includes(join('node_modules', '.bin')));
  for (const folder of folders) {
    const file = join(folder, 'aiot');
    if (!isExecutable(file)) continue;
    // Only the first match on the PATH can run. In packages that contain Node, the match is a script next to lib/aiot.
    const found = realPath(file) ?? file;
    return found === own || join(dirname(dirname(found)), 'lib', 'aiot', 'bin', 'run.js') === own;
  }
  return false;
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/**
 * The words that run this program through npx: the package name as given to npx, or `aiot` if a project has installed the package. null =
 * npx does not find it.
 */
function npxWords(own: string, cwd: string): string | null {
  const [, cached] = /^(.*[\\/]_npx[\\/][^\\/]+)[\\/]node_modules[\\/]/.exec(own) ?? [];
  if (cached !== undefined) {
    const named = namedForNpx(cached);
    return named === null ? null : `npx ${shellWord(named)}`;
  }
  for (let folder = cwd; ; folder = dirname(folder)) {
    if (realPath(join(folder, 'node_modules', '.bin', 'aiot')) === own) return 'npx aiot';
    if (dirname(folder) === folder) return null;
  }
}

/** The package name that was given to npx; npm stores it in its folder. */
function namedForNpx(folder: string): string | null {
  try {
    const { _npx } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
    const [only, ...more]: unknown[] = _npx.packages;
    return typeof only === 'string' && more.length === 0 ? only : null;
  } catch {
    return null;
  }
}

let name: string | undefined;

/**
 * The name of this program, or `aiot` if another program uses this package. npm scripts run in the package's folder, so INIT_CWD is used as
 * the shell's folder.
 */
function ownName(): string {
  const { INIT_CWD, PATH = '' } = process.env;
  const [, script = ''] = process.argv;
  name ??=
    realPath(script) === join(packageRoot(), 'bin', 'run.js')
      ? programName({ script, cwd: INIT_CWD ?? process.cwd(), path: PATH })
      : 'aiot';
  return name;
}

/** Replaces `aiot` in a suggested command, or in each of several joined by `&&`, with the words that the user must type. */
export function asTyped(command: string, program = ownName()): string {
  return command.replace(/(^| && )aiot(?= |$)/g, (_, before: string) => before + program);
}

/**
 * An error's suggestion, with its commands as the user can type them. Commands have backticks within a sentence, but none at its
 * start, after a colon or in a list of commands.
 */
export function adviceAsTyped(text: string, program = ownName()): string {
  const command = text.startsWith('aiot ') ? /(^|`|: |, )aiot(?= [a-z-])/g : /(`|: |^Run )aiot(?= [a-z-])/g;
  return text.replace(command, (_, before: string) => before + program);
}

interface Typed {
  flags: object;
  given: (flag: string) => boolean;
}

/**
 * Flags that were typed on this command line and must be repeated in suggested commands, such as ` --project "my watch"`. Flags set by the
 * environment or a default need no repetition.
 */
export function again({ flags, given }: Typed, ...names: string[]): string {
  const values = flags as Record<string, unknown>;
  return names
    .filter((name) => given(name))
    .map((name) => ` --${name} ${shellWord(String(values[name]))}`)
    .join('');
}

/** Matches suggested commands that work on the current project. Commands that specify a file or a project do not match. */
const projectStep =
  /\baiot model (?:train|quantize|evaluate|push)(?=$|`| &&| --(?!project\b)|[,.;](?:\s|$))/g;

/** Adds the project on the command line to an error's suggestion, because libraries do not know the command line. */
export function forProject(proposed: string, argv: readonly string[]): string {
  const at = argv.findIndex((word) => /^(-p|--project)(=|$)/.test(word));
  if (at < 0) return proposed;
  const own = argv[at]!.includes('=') ? argv[at]!.replace(/^[^=]*=/, '') : argv[at + 1];
  if (own === undefined) return proposed;
  return proposed.replace(projectStep, (step) => `${step} --project ${shellWord(own)}`);
}
