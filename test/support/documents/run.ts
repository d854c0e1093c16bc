import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { root } from '../cli.js';
import { type Block, blocksOf, pageText } from './pages.js';
import { type ShellLine, shellLines } from './shell.js';

/**
 * Result of running a page's blocks: undefined if everything works as documented, otherwise the location of the
 * failure and the last output.
 */
export type PageRun = { at: string; why: string; output: string } | undefined;

/** The blocks of a page to run: all marked ones, but long ones only on request. */
export function runnable(page: string, long: boolean): Block[] {
  return blocksOf(pageText(page)).filter(({ run }) => run && (long || !run.long));
}

/**
 * Types the commands of a page into one shell, in order, with a separate home and working folder. A line must exit
 * with 0, or with N if its comment starts with `exit code N`. Lines of blocks marked `beside` are started as if in
 * another terminal, and end with the page.
 */
export async function runPage(
  page: string,
  { long, timeoutMs }: { long: boolean; timeoutMs: number },
): Promise<PageRun> {
  const folder = await mkdtemp(join(tmpdir(), 'aiot-page-'));
  try {
    for (const name of ['bin', 'home', 'work']) await mkdir(join(folder, name));
    await symlink(join(root, 'bin/run.js'), join(folder, 'bin/aiot'));
    const script = join(folder, 'page.sh');
    await writeFile(script, scriptOf(page, runnable(page, long)));
    return await run(folder, script, timeoutMs);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

const helpers = `
set -uo pipefail
# at PLACE: what is typed next. ended STATUS WANTED: how it went.
at() { echo "$1" >"$FOLDER/at"; printf '\\n$ %s\\n' "$1"; }
ended() { [ "$1" = "$2" ] || { echo "exit code $1, not $2" >"$FOLDER/why"; exit 1; }; }
# started PID LOG: as soon as it has said something, the next line is typed.
started() { until [ -s "$2" ]; do kill -0 "$1" 2>/dev/null || { cat "$2"; ended 1 0; }; sleep 0.1; done; }
`;

function scriptOf(page: string, blocks: readonly Block[]): string {
  const lines = blocks.flatMap(({ text, line, run }) =>
    shellLines(text, line).map((typed, i) => step(page, typed, run?.beside ? `${line}.${i}` : undefined)),
  );
  return [helpers, ...lines, ''].join('\n');
}

function step(page: string, { text, comment, line }: ShellLine, beside: string | undefined): string {
  const place = `at '${page}:${line}: ${text.replaceAll("'", `'\\''`)}'`;
  if (beside !== undefined) {
    const log = `"$FOLDER/beside-${beside}"`;
    return `${place}\n{ ${text}\n} >${log} 2>&1 &\nstarted $! ${log}`;
  }
  const [, wanted = '0'] = /^exit code (\d+)/.exec(comment) ?? [];
  return `${place}\nstatus=0\n{ ${text}\n} || status=$?\nended "$status" ${wanted}`;
}

async function run(folder: string, script: string, timeoutMs: number): Promise<PageRun> {
  const env = environment(folder);
  const shell = spawn('bash', [script], {
    cwd: join(folder, 'work'),
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
    // A separate process group, so that background processes end with it.
    detached: true,
  });
  let output = '';
  for (const stream of [shell.stdout, shell.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output = (output + text).slice(-6000);
    });
  }
  let over = false;
  const timer = setTimeout(() => {
    over = true;
    end(shell, 'SIGKILL');
  }, timeoutMs);
  const [code] = (await once(shell, 'exit')) as [number | null];
  clearTimeout(timer);
  end(shell, 'SIGTERM');
  // Stops the platform that a page leaves running. If there is none, the command only prints a message.
  await once(spawn(join(folder, 'bin/aiot'), ['down'], { env, stdio: 'ignore' }), 'exit');
  end(shell, 'SIGKILL');
  if (code === 0) return undefined;
  const told = (name: string) =>
    readFile(join(folder, name), 'utf8').then(
      (text) => text.trim(),
      () => '',
    );
  return {
    at: await told('at'),
    why: over ? `not done within ${timeoutMs / 1000} s` : await told('why'),
    output,
  };
}

/** Excludes the user's settings, and replaces the default ports with free ones. */
function environment(folder: string): NodeJS.ProcessEnv {
  const env = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^(?:AIOT|XDG)_/.test(name)),
  );
  const ports = ['HTTP', 'MQTT', 'PLAIN', 'BOARD'].map((name) => [`AIOT_${name}_PORT`, '0'] as const);
  return {
    ...env,
    ...Object.fromEntries(ports),
    ...{ HOME: join(folder, 'home'), FOLDER: folder, NO_COLOR: '1', COLUMNS: '120' },
    PATH: `${join(folder, 'bin')}:${process.env.PATH}`,
  };
}

function end(shell: ChildProcess, signal: NodeJS.Signals): void {
  try {
    process.kill(-shell.pid!, signal);
  } catch {
    // ESRCH: all processes of the group have ended.
  }
}
