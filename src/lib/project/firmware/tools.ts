import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { isAbsolute, join, relative, resolve } from 'node:path';
import { AiotError, systemCode } from '../../core/errors.js';
import { plural } from '../../core/figures.js';
import { writeFileAtomic } from '../../core/files.js';
import { runProgram } from '../../core/process.js';

/** Advice that names Debian's packages. The names are similar in other distributions. */
export const install = {
  cmake: 'On Debian: apt-get install cmake gcc make',
  host: 'On Debian: apt-get install libssl-dev libmosquitto-dev pkg-config',
  rv32: 'On Debian: apt-get install gcc-riscv64-unknown-elf picolibc-riscv64-unknown-elf qemu-system-misc',
} as const;

interface CmakeBuild {
  sources: string;
  build: string;
  /** CMake definitions, each `-D…`. */
  settings: string[];
  /** Targets to build; absent = all, an empty list = configure only. */
  targets?: string[] | undefined;
  /** Description of the target for errors, and its requirements besides CMake and a compiler. */
  what: string;
  needs: { what: string; next: string };
  /** File to which the output is written. */
  log: string;
}

/**
 * Configures a CMake project and builds it.
 * @throws AIOT_PROGRAM_NOT_FOUND (CMake, a compiler, or a requirement of the target), AIOT_FIRMWARE_BUILD
 */
export async function cmakeBuild(asked: CmakeBuild, options: ToolOptions): Promise<void> {
  const { sources, build, settings, targets, what, needs, log } = asked;
  const ran: Ran[] = [];
  ran.push(await runTool('cmake', ['-S', sources, '-B', build, ...settings], install.cmake, options));
  if (ran[0]?.code === 0 && targets?.length !== 0) {
    const jobs = ['--parallel', String(Math.max(1, availableParallelism()))];
    const wanted = targets === undefined ? [] : ['--target', ...targets];
    ran.push(await runTool('cmake', ['--build', build, ...jobs, ...wanted], install.cmake, options));
  }
  const said = ran.map((each) => each.said).join('\n');
  const failed = ran.some(({ code }) => code !== 0);
  if (failed && /CMAKE_C_COMPILER|CMAKE_MAKE_PROGRAM/.test(said))
    throw new AiotError(
      'AIOT_PROGRAM_NOT_FOUND',
      `${what} needs a C compiler and make, which are not installed`,
      {
        next: install.cmake,
      },
    );
  if (failed && /No rule to make target [`']?[\w-]+'?|unknown target/.test(said))
    throw new AiotError('AIOT_PROGRAM_NOT_FOUND', `${what} needs ${needs.what}, which is not installed`, {
      next: needs.next,
    });
  await requireBuilt(ran, what, log, { root: sources, bases: [build] });
}

interface Ran {
  code: number;
  /** The complete output of the program, in order. */
  said: string;
}

export interface ToolOptions {
  cwd?: string;
  signal?: AbortSignal | undefined;
  /** Maximum run time, ms. */
  timeoutMs?: number;
}

/** Maximum length of a program's output, characters. */
const mostSaid = 4_000_000;

/**
 * Runs a program and waits until it ends. The caller checks the exit code.
 * @throws AIOT_PROGRAM_NOT_FOUND with `next` as the next step, AIOT_FIRMWARE_BUILD after the timeout, the signal's reason
 */
export async function runTool(
  program: string,
  args: string[],
  next: string,
  options: ToolOptions = {},
): Promise<Ran> {
  const { cwd, signal, timeoutMs = 900_000 } = options;
  let said = '';
  const onOutput = (text: string) => {
    said = (said + text).slice(-mostSaid);
  };
  const { code, timedOut } = await runProgram(program, args, {
    cwd,
    signal,
    timeoutMs,
    mostOutput: 0,
    onOutput,
  }).catch((cause: Error) => {
    signal?.throwIfAborted();
    const why = systemCode(cause);
    const reason = why === 'ENOENT' ? 'is not installed' : `cannot be run (${why ?? cause.message})`;
    throw new AiotError('AIOT_PROGRAM_NOT_FOUND', `${program} ${reason}`, { cause, next });
  });
  if (timedOut)
    throw new AiotError('AIOT_FIRMWARE_BUILD', `${program} did not finish within ${timeoutMs / 1000} s`, {
      next: `Run ${program} by hand to see where it stops.`,
    });
  return { code: code ?? 1, said };
}

/** Locations of a build's sources, so that errors can show shortened paths. */
export interface SourcePlaces {
  /** Folder to which displayed paths are relative. */
  root: string;
  /** Folders to which paths in the tool's output may be relative. */
  bases: readonly string[];
}

/**
 * Writes the output of a build to a file. If the build fails, the thrown error quotes the first build errors, each with its file and line.
 * @throws AIOT_FIRMWARE_BUILD, AIOT_FILE_NOT_WRITABLE
 */
export async function requireBuilt(
  ran: readonly Ran[],
  what: string,
  log: string,
  places: SourcePlaces,
): Promise<void> {
  await writeFileAtomic(log, ran.map(({ said }) => said).join('\n'));
  const failed = ran.find(({ code }) => code !== 0);
  if (failed === undefined) return;
  const reasons = buildErrors(failed.said, places);
  const shown = reasons.slice(0, mostReasons);
  const rest = reasons.length - shown.length;
  if (rest > 0) shown.push(`and ${plural(rest, 'more error')}`);
  const why = shown.length > 0 ? shown.join('; ') : `code ${failed.code}`;
  throw new AiotError('AIOT_FIRMWARE_BUILD', `building ${what} failed: ${why}`, {
    next: `For the full output, see ${log}.`,
  });
}

/** Maximum number of reasons that an error quotes, and of characters in each. */
const mostReasons = 3;
const mostReasonText = 300;

/** Beginnings of lines that follow from an error above them. */
const consequences =
  /^(?:ninja: |make(?:\[\d+\])?: |gmake(?:\[\d+\])?: |FAILED: |collect2: |HINT: |-- |\S+ failed with exit code)/;

/**
 * The errors in the output of a compiler, a linker, CMake or ESP-IDF's tools, in order and without repetitions. If none has a known
 * form, returns the last line.
 */
export function buildErrors(output: string, places: SourcePlaces): string[] {
  // Some environments make compilers print colors even to a pipe.
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the escape sequences of terminals
  const lines = output.replace(/\u001b\[[\d;]*[A-Za-z]/g, '').split(/\r?\n/);
  const found = new Set<string>();
  lines.forEach((line, i) => {
    const reason = reasonIn(line, lines, i, places);
    if (reason !== null) found.add(reason.replace(/\s+/g, ' ').trim().slice(0, mostReasonText));
  });
  if (found.size > 0) return [...found];
  const said = lines.map((line) => line.trim()).filter((line) => line !== '');
  const last = said.findLast((line) => !consequences.test(line)) ?? said.at(-1);
  return last === undefined ? [] : [last.slice(0, mostReasonText)];
}

function reasonIn(line: string, lines: readonly string[], i: number, places: SourcePlaces): string | null {
  const compiler = /^\s*([^\s:]+):(\d+):(?:(\d+):)? ((?:fatal )?error: .+)$/i.exec(line);
  if (compiler) {
    const [, file = '', row, column, text] = compiler;
    return `${shortened(file, places)}:${row}${column === undefined ? '' : `:${column}`}: ${text}`;
  }
  const cmake = /^CMake Error(?: at ([^:]+):(\d+) \([^)]*\))?:(.*)$/.exec(line);
  if (cmake) {
    const [, file, row, text = ''] = cmake;
    const at = file === undefined ? '' : ` at ${shortened(file, places)}:${row}`;
    return `CMake Error${at}:${text} ${indentedBelow(lines, i)}`;
  }
  const linker =
    /(?:^|[ :/])([\w.-]+\.[cS](?:pp)?):(\d+): (undefined reference to .+|multiple definition of .+)$/.exec(
      line,
    );
  if (linker) return `${linker[1]}:${linker[2]}: ${linker[3]}`;
  const memory = /region [`']\w+' overflowed by \d+ bytes|(?:undefined reference|cannot find -l).*$/.exec(
    line,
  );
  if (memory) return memory[0];
  // A line of a Python tool, which may be followed by a list.
  const tool = /^(?:Error|ERROR): *(.*)$/.exec(line) ?? /^error: (.+)$/.exec(line);
  return tool ? `${tool[1]} ${indentedBelow(lines, i)}` : null;
}

/** The indented lines directly below a line, joined into one. CMake puts a blank line between the paragraphs of a message. */
function indentedBelow(lines: readonly string[], i: number): string {
  const found: string[] = [];
  for (const line of lines.slice(i + 1, i + 6)) {
    if (!/^\s+\S/.test(line)) break;
    found.push(line.trim());
  }
  return found.join(' ');
}

/** A source's path relative to the firmware folder or to ESP-IDF's folder; other paths are unchanged. */
function shortened(file: string, { root, bases }: SourcePlaces): string {
  for (const base of ['/', ...bases]) {
    const path = relative(root, resolve(base, file));
    if (!path.startsWith('..') && !isAbsolute(path) && existsSync(join(root, path))) return path;
  }
  const idf = process.env.IDF_PATH;
  const here = idf === undefined || idf === '' ? '..' : relative(idf, file);
  return here.startsWith('..') || isAbsolute(here) ? file : `$IDF_PATH/${here}`;
}
