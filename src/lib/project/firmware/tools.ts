import { availableParallelism } from 'node:os';
import { AiotError, systemCode } from '../../core/errors.js';
import { writeFileAtomic } from '../../core/files.js';
import { startProgram } from '../../core/process.js';

/** Debian's packages; other systems have them by like names. */
export const install = {
  cmake: 'On Debian: apt-get install cmake gcc make',
  host: 'On Debian: apt-get install libssl-dev libmosquitto-dev pkg-config',
  rv32: 'On Debian: apt-get install gcc-riscv64-unknown-elf picolibc-riscv64-unknown-elf qemu-system-misc',
} as const;

interface CmakeBuild {
  sources: string;
  build: string;
  /** -D… */
  settings: string[];
  /** Targets; absent = all, none = configure alone. */
  targets?: string[] | undefined;
  /** What is being built, and what it takes beside CMake and a compiler: for errors. */
  what: string;
  needs: { what: string; next: string };
  /** File for what is printed. */
  log: string;
}

/**
 * Configures and builds.
 * @throws AIOT_PROGRAM_NOT_FOUND (CMake, a compiler, or what the target takes), AIOT_FIRMWARE_BUILD
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
    throw new AiotError('AIOT_PROGRAM_NOT_FOUND', `${what} takes a C compiler and make, which are not here`, {
      next: install.cmake,
    });
  if (failed && /No rule to make target [`']?[\w-]+'?|unknown target/.test(said))
    throw new AiotError('AIOT_PROGRAM_NOT_FOUND', `${what} takes ${needs.what}, which is not here`, {
      next: needs.next,
    });
  await requireBuilt(ran, what, log);
}

interface Ran {
  code: number;
  /** All that it printed, in the order in which it came. */
  said: string;
}

export interface ToolOptions {
  cwd?: string;
  signal?: AbortSignal | undefined;
  /** Longest time, ms. */
  timeoutMs?: number;
}

/** A compiler may print without end. */
const mostSaid = 4_000_000;

/**
 * Runs a program and waits for its end; its code is the caller's to judge.
 * @throws AIOT_PROGRAM_NOT_FOUND with what `next` says, AIOT_INTERRUPTED, AIOT_TIMED_OUT
 */
export function runTool(
  program: string,
  args: string[],
  next: string,
  options: ToolOptions = {},
): Promise<Ran> {
  const { cwd, signal, timeoutMs = 900_000 } = options;
  return new Promise((resolve, reject) => {
    const child = startProgram(program, args, { cwd, signal, stdio: ['ignore', 'pipe', 'pipe'] });
    let said = '';
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      child.kill('SIGKILL');
    }, timeoutMs);
    const take = (chunk: Buffer) => {
      said = (said + chunk.toString('utf8')).slice(-mostSaid);
    };
    child.stdout.on('data', take);
    child.stderr.on('data', take);
    child.on('error', (cause) => {
      clearTimeout(timer);
      if (signal?.aborted) return reject(signal.reason);
      const reason =
        systemCode(cause) === 'ENOENT'
          ? 'is not here'
          : `cannot be run (${systemCode(cause) ?? cause.message})`;
      reject(new AiotError('AIOT_PROGRAM_NOT_FOUND', `${program} ${reason}`, { cause, next }));
    });
    child.on('close', (code) => {
      clearTimeout(timer);
      if (signal?.aborted) return reject(signal.reason);
      if (late)
        return reject(
          new AiotError('AIOT_FIRMWARE_BUILD', `${program} did not end within ${timeoutMs / 1000} s`),
        );
      resolve({ code: code ?? 1, said });
    });
  });
}

/**
 * What a build printed goes into a file; where it failed, the first line that says why into the error.
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
  throw new AiotError(
    'AIOT_FIRMWARE_BUILD',
    `${what} could not be built: ${first ?? `code ${failed.code}`}`,
    {
      next: `All that was printed is in ${log}`,
    },
  );
}
