import { AiotError, startProgram } from '../../core/index.js';

/** A program of this machine, with its words; never a shell. */
export interface Step {
  command: readonly string[];
  about: string;
}

export interface RunOptions {
  cwd: string;
  env?: NodeJS.ProcessEnv;
  signal?: AbortSignal | undefined;
  /** What it says meanwhile, line by line. */
  onLine?: ((line: string) => void) | undefined;
}

/** @returns what it printed @throws AIOT_DEPLOY_FAILED (it is not here, or ended with another code than 0), AIOT_INTERRUPTED */
export async function runStep(
  { command }: Step,
  { cwd, env = process.env, signal, onLine }: RunOptions,
): Promise<string> {
  const [program = '', ...words] = command;
  const shown = command.join(' ');
  return new Promise((resolve, reject) => {
    const child = startProgram(program, words, {
      cwd,
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
      ...(signal ? { signal } : {}),
    });
    let out = '';
    let last = '';
    const lines = (chunk: string) => {
      for (const line of chunk.split('\n')) {
        if (line.trim() === '') continue;
        last = line.trim();
        onLine?.(line);
      }
    };
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
      out += chunk;
      lines(chunk);
    });
    child.stderr.setEncoding('utf8').on('data', lines);
    child.on('error', (cause: NodeJS.ErrnoException) => {
      if (signal?.aborted) return reject(signal.reason);
      const why = cause.code === 'ENOENT' ? `${program} is not on this machine` : cause.message;
      reject(new AiotError('AIOT_DEPLOY_FAILED', `${shown}: ${why}`, { cause }));
    });
    child.on('close', (code) => {
      if (code === 0) resolve(out);
      else
        reject(
          new AiotError(
            'AIOT_DEPLOY_FAILED',
            `${shown}: ended with ${code}${last === '' ? '' : `: ${last}`}`,
          ),
        );
    });
  });
}
