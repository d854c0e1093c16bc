import { constants } from 'node:fs';
import { access, realpath } from 'node:fs/promises';
import { delimiter, join, relative, sep } from 'node:path';
import { shellWord } from '../core/text.js';

/** The environment that decides how a shell finds this program. */
interface Invocation {
  /** Absolute path of bin/run.js. */
  script: string;
  /** Folder of the shell that the next command is typed in. */
  cwd: string;
  /** PATH of that shell. */
  path: string;
  platform?: NodeJS.Platform;
}

/** This process's own. npm scripts run in the package's folder, with INIT_CWD naming the shell's. */
export function invocation(): Invocation {
  const { INIT_CWD, PATH = '' } = process.env;
  return { script: process.argv[1] ?? '', cwd: INIT_CWD ?? process.cwd(), path: PATH };
}

/**
 * The words that start this program in the user's shell: `aiot` where that is this program, otherwise the path of bin/run.js. npm and
 * npx put their own folders on the PATH of what they run; the shell does not have them.
 */
export async function programName({
  script,
  cwd,
  path,
  platform = process.platform,
}: Invocation): Promise<string> {
  const own = await realpath(script).catch(() => script);
  const folders = path
    .split(delimiter)
    .filter((folder) => folder !== '' && !folder.includes(join('node_modules', '.bin')));
  for (const folder of folders) {
    const file = join(folder, 'aiot');
    const found = await access(file, constants.X_OK).then(
      () => realpath(file),
      () => null,
    );
    // The first one on the PATH is the one that runs.
    if (found !== null) {
      if (found === own) return 'aiot';
      break;
    }
  }
  const near = relative(cwd, own);
  const shown = near.startsWith(`..${sep}..`) ? own : near.includes(sep) ? near : `.${sep}${near}`;
  return platform === 'win32' ? `node ${shellWord(shown)}` : shellWord(shown);
}

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
