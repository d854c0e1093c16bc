import { constants } from 'node:fs';
import { access, realpath } from 'node:fs/promises';
import { delimiter, join, relative, sep } from 'node:path';
import { shellWord } from '../core/text.js';

/** Environment that determines how a shell finds this program. */
interface Invocation {
  /** Absolute path of bin/run.js. */
  script: string;
  /** Current folder of the shell in which the next command will be typed. */
  cwd: string;
  /** PATH of that shell. */
  path: string;
  platform?: NodeJS.Platform;
}

/** The environment of this process. npm scripts run in the package's folder, and INIT_CWD names the shell's. */
export function invocation(): Invocation {
  const { INIT_CWD, PATH = '' } = process.env;
  return { script: process.argv[1] ?? '', cwd: INIT_CWD ?? process.cwd(), path: PATH };
}

/**
 * The words that start this program in the user's shell: `aiot` if that resolves to this program, otherwise the path of bin/run.js. Both
 * npm and npx prepend folders to the PATH of their child processes. The user's shell does not have those.
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
    // The first match on the PATH is the one that runs.
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
 * Flags that were typed on this command line, to be repeated in suggested commands: ` --project "my watch"`. Flags from the environment and
 * defaults need no repetition.
 */
export function again({ flags, given }: Typed, ...names: string[]): string {
  const values = flags as Record<string, unknown>;
  return names
    .filter((name) => given(name))
    .map((name) => ` --${name} ${shellWord(String(values[name]))}`)
    .join('');
}

/** Project steps suggested by an error, without arguments: those with a file or a project of their own are unchanged. */
const projectStep =
  /\baiot model (?:train|quantize|evaluate|push)(?=$|`| &&| --(?!project\b)|[,.;](?:\s|$))/g;

/** An error's suggestion, adapted to the project on the command line, because libraries do not know how they were called. */
export function forProject(proposed: string, argv: readonly string[]): string {
  const at = argv.findIndex((word) => /^(-p|--project)(=|$)/.test(word));
  if (at < 0) return proposed;
  const own = argv[at]!.includes('=') ? argv[at]!.replace(/^[^=]*=/, '') : argv[at + 1];
  if (own === undefined) return proposed;
  return proposed.replace(projectStep, (step) => `${step} --project ${shellWord(own)}`);
}
