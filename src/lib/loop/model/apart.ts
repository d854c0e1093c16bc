import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import {
  AiotError,
  type ErrorCode,
  type ErrorDetails,
  onAbort,
  type Project,
  packageRoot,
  startProgram,
  systemCode,
} from '../../core/index.js';
import type { Settings } from './options.js';
import { type Trained, trainedHere } from './simulate.js';

/** What the other process is told, and what it tells. */
interface Job {
  project: Project;
  cache: string;
}
type Told =
  | { step: string }
  | { trained: Trained }
  | { error: { code: ErrorCode; message: string; details: ErrorDetails } };

/**
 * Trains in a process of its own: what it needs of memory, half as much again as a loop, is given back whole when it ends.
 * @throws what `trainedHere` throws, AIOT_TRAINING_ENDED
 */
export async function trainedApart(project: Project, settings: Settings): Promise<Trained> {
  settings.signal?.throwIfAborted();
  const child = start();
  const stop = () => child.kill('SIGKILL');
  const leave = onAbort(settings.signal, stop);
  try {
    if (child.pid !== undefined) child.send({ project, cache: resolve(settings.cache) } satisfies Job);
    return await outcomeOf(child, settings);
  } finally {
    leave();
    stop();
  }
}

/** A room of the build is a module; of the sources this file is, by way of what runs them in development. */
function start(): ChildProcess {
  const sources = import.meta.url.endsWith('.ts');
  const entry = sources
    ? fileURLToPath(import.meta.url)
    : join(packageRoot(), 'dist', 'lib', 'loop', 'index.js');
  const code = 'const { serveTraining } = await import(process.argv[1]); serveTraining();';
  const runner = sources ? ['--import', 'tsx'] : [];
  return startProgram(
    process.execPath,
    [...runner, '--input-type=module', '--eval', code, pathToFileURL(entry).href],
    {
      cwd: packageRoot(),
      // Ctrl-C in a terminal is for the loop, which ends this one. Nothing of it belongs on stdout.
      detached: true,
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      serialization: 'advanced',
    },
  );
}

async function outcomeOf(child: ChildProcess, { signal, onStep }: Settings): Promise<Trained> {
  let told: Told | undefined;
  child.on('message', (message: Told) => {
    if ('step' in message) onStep?.(message.step);
    else told = message;
  });
  const [status, killedBy] = await once(child, 'close').catch((cause: unknown) => {
    const why = systemCode(cause) ?? String(cause);
    throw new AiotError('AIOT_TRAINING_ENDED', `training could not be started (${why})`, { cause });
  });
  signal?.throwIfAborted();
  if (told && 'trained' in told) return told.trained;
  if (told && 'error' in told) throw new AiotError(told.error.code, told.error.message, told.error.details);
  throw new AiotError('AIOT_TRAINING_ENDED', `training ended by ${killedBy ?? `exit code ${status}`}`);
}

/** The other process: does what it is told by the one that started it, and ends with it. */
export function serveTraining(): void {
  const orphaned = new AbortController();
  process.once('disconnect', () => orphaned.abort());
  process.once('message', async ({ project, cache }: Job) => {
    const tell = (told: Told) => new Promise<void>((sent) => process.send?.(told, () => sent()) ?? sent());
    const onStep = (step: string) => void tell({ step });
    try {
      await tell({ trained: await trainedHere(project, { cache, signal: orphaned.signal, onStep }) });
    } catch (error) {
      await tell({ error: plain(error) });
    }
    if (process.connected) process.disconnect();
  });
}

function plain(error: unknown) {
  if (!(error instanceof AiotError))
    return { code: 'AIOT_BUG' as const, message: String(error), details: {} };
  const { code, message, next, endpoint, retryable } = error;
  return { code, message, details: { next, ...(endpoint === undefined ? {} : { endpoint }), retryable } };
}
