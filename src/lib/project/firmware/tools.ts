import { availableParallelism } from 'node:os';
import { AiotError, systemCode } from '../../core/errors.js';
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
  await requireBuilt(ran, what, log);
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

/**
 * Writes the output of a build to a file. If the build failed, the error quotes the first line that looks like the reason.
 * @throws AIOT_FIRMWARE_BUILD, AIOT_FILE_NOT_WRITABLE
 */
export async function requireBuilt(ran: readonly Ran[], what: string, log: string): Promise<void> {
  await writeFileAtomic(log, ran.map(({ said }) => said).join('\n'));
  const failed = ran.find(({ code }) => code !== 0);
  if (failed === undefined) return;
  const lines = failed.said.split('\n').map((line) => line.trim());
  const first =
    lines.find((line) => /(?:^|\s)(?:fatal )?error:|CMake Error|undefined reference|Error: /i.test(line)) ??
    lines.findLast((line) => line !== '');
  throw new AiotError('AIOT_FIRMWARE_BUILD', `building ${what} failed: ${first ?? `code ${failed.code}`}`, {
    next: `For the full output, see ${log}.`,
  });
}
