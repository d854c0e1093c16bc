import { AiotError, startProgram, systemCode, writeFileAtomic } from '../../core/index.js';

export interface Ran {
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
