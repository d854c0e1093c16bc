import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import * as z from 'zod';
import { errorBodySchema, platformUrlsSchema } from '../../api/api.js';
import { catalogue, type ErrorCode } from '../../core/catalogue.js';
import { platformFolderOfCa, readContexts } from '../../core/contexts.js';
import { AiotError, systemCode } from '../../core/errors.js';
import { makeFolder } from '../../core/files.js';
import { packageRoot } from '../../core/folders.js';
import { type ChildProcess, isAlive, startProgram } from '../../core/process.js';
import { onAbort } from '../../core/tasks.js';
import { type Clock, systemClock } from '../../core/time.js';
import { restartSchema, runningPlatform } from '../running.js';
import { argumentsOf, platformFolder, type UpOptions, type UpResult, upResultSchema } from './options.js';

/**
 * Starts `aiot up` as a separate process that outlives this one, and logs to platform.log in the platform's folder.
 * Resolves with the JSON output when the platform is ready.
 * @throws AIOT_FILE_NOT_WRITABLE (the log), the cause of a failed start, or AIOT_PLATFORM_FAILED
 */
export async function upDetached(options: UpOptions, signal?: AbortSignal): Promise<UpResult> {
  const folder = platformFolder(options.data);
  await makeFolder(folder, 0o700);
  const path = join(folder, 'platform.log');
  const log = await open(path, 'a', 0o600).catch((cause: unknown) => {
    throw new AiotError('AIOT_FILE_NOT_WRITABLE', `cannot write ${path}`, { cause });
  });
  const child = startProgram(process.execPath, [entry(), ...argumentsOf(folder, options)], {
    detached: true,
    stdio: ['ignore', 'pipe', log.fd],
    // Values may be credentials. Other users can read a process's arguments, but not its environment.
    env: {
      ...process.env,
      ...options.project?.set,
      ...enginesOf(options),
      AIOT_DETACH: 'false',
      AIOT_QUIET: 'false',
      AIOT_LOG: 'json',
      AIOT_SET: undefined,
      AIOT_LOG_FILE: path,
    },
  });
  const stop = () => child.kill('SIGTERM');
  const leave = onAbort(signal, stop);
  try {
    return resultOf(await firstLine(child), path);
  } finally {
    leave();
    signal?.throwIfAborted();
    await log.close();
    child.stdout?.destroy();
    child.unref();
  }
}

/** Entry point of the running program: from the build, or the development entry point for the sources. */
function entry(): string {
  const sources = import.meta.url.endsWith('.ts');
  return join(packageRoot(), 'bin', sources ? 'dev.js' : 'run.js');
}

/** Environment variables with the addresses of engines, which may contain passwords. */
function enginesOf({ engines }: UpOptions): Record<string, string | undefined> {
  return {
    AIOT_DATABASE: engines?.database,
    AIOT_BLOBS: engines?.blobs,
    AIOT_EVENTS: engines?.events,
    AIOT_BROKER: engines?.broker,
    AIOT_BROKER_CONTROL: engines?.brokerControl,
    AIOT_INGEST: engines?.ingest,
  };
}

/** The child's first line of output; empty if the child ends without output. */
async function firstLine(child: ChildProcess): Promise<string> {
  const started = new Promise<never>((_, reject) =>
    child.once('error', (cause) => {
      const why = systemCode(cause) ?? cause.message;
      reject(new AiotError('AIOT_PLATFORM_FAILED', `the platform could not be started (${why})`, { cause }));
    }),
  );
  if (child.pid === undefined) return await started;
  const line = (async () => {
    for await (const text of createInterface({ input: child.stdout as NodeJS.ReadableStream })) return text;
    return '';
  })();
  return Promise.race([line, started]);
}

function resultOf(line: string, log: string): UpResult {
  const value: unknown = line.startsWith('{') ? JSON.parse(line) : undefined;
  const result = upResultSchema.safeParse(value);
  if (result.success) return result.data;
  const told = errorBodySchema.safeParse(value);
  if (told.success && Object.hasOwn(catalogue, told.data.error.code)) {
    const { code, message, next } = told.data.error;
    throw new AiotError(code as ErrorCode, message, next ? { next } : {});
  }
  throw new AiotError('AIOT_PLATFORM_FAILED', 'the platform stopped before it was ready', {
    next: `See ${log}.`,
  });
}

export const downResultSchema = z.object({
  pid: z.int(),
  data: z.string(),
  /** Addresses that the platform had. */
  urls: platformUrlsSchema,
  /** The platform's other options; null if an earlier version of aiot ran the platform. */
  restart: restartSchema.nullable(),
  /** A context of this platform, preferably the current one; null = none. */
  ownContext: z.string().nullable(),
  /** The current context, if it belongs to another platform. */
  foreignContext: z.string().nullable(),
  /** The current context, if it belongs to this platform. */
  context: z.string().nullable(),
  /**
   * Another platform's context to switch to, if the current context belongs to this platform; a running platform is
   * preferred.
   */
  otherContext: z.string().nullable(),
});

export type DownResult = z.output<typeof downResultSchema>;

interface DownOptions {
  data?: string | undefined;
  /** Time limit for stopping, ms. */
  timeoutMs: number;
  signal?: AbortSignal;
  clock?: Clock;
}

/** Stops the platform of a folder and waits until it has ended. @throws AIOT_PLATFORM_NOT_RUNNING, AIOT_TIMEOUT */
export async function down(options: DownOptions): Promise<DownResult> {
  const { timeoutMs, signal, clock = systemClock } = options;
  const data = platformFolder(options.data);
  const running = await runningPlatform(data);
  if (!running) {
    const others = await runningFolders(data);
    throw new AiotError('AIOT_PLATFORM_NOT_RUNNING', `no platform is running on ${data}`, {
      next:
        others.length > 0
          ? `To stop another platform, run ${others.map((folder) => `\`aiot down --data ${folder}\``).join(' or ')}.`
          : `To start one, run \`aiot up${options.data === undefined ? '' : ` --data ${data}`}\`.`,
    });
  }
  const { pid, urls, restart = null } = running;
  const deadline = clock.now() + timeoutMs;
  process.kill(pid, 'SIGTERM');
  while (await isAlive(running)) {
    if (clock.now() > deadline) {
      throw new AiotError('AIOT_TIMEOUT', `the platform (pid ${pid}) did not stop within ${timeoutMs} ms`, {
        next: `Inspect it, or run kill -9 ${pid}. Acknowledged data is not lost.`,
      });
    }
    await clock.sleep(50, signal);
  }
  return { pid, data, urls, restart, ...(await contextsAfter(data)) };
}

/** The contexts for the platform in this folder, and another context to switch to if the current context is one of them. */
async function contextsAfter(data: string): Promise<Omit<DownResult, 'pid' | 'data' | 'urls' | 'restart'>> {
  // The platform is already stopped, so an unreadable file of contexts is not an error of this command.
  const { current, contexts } = await readContexts().catch(() => ({ current: undefined, contexts: {} }));
  const folders = Object.entries(contexts).map(([name, { ca }]) => ({
    name,
    folder: platformFolderOfCa(ca),
  }));
  const own = folders.filter(({ folder }) => folder === data).map(({ name }) => name);
  if (current === undefined || !own.includes(current))
    return {
      ...{ ownContext: own[0] ?? null, foreignContext: current ?? null },
      ...{ context: null, otherContext: null },
    };
  const others = folders.filter(({ folder }) => folder !== data);
  const running = await runningFolders(data);
  const other = others.find(({ folder }) => folder !== undefined && running.includes(folder)) ?? others[0];
  return {
    ...{ ownContext: current, foreignContext: null },
    ...{ context: current, otherContext: other?.name ?? null },
  };
}

/** Data folders in the user's contexts, other than this one, with a running platform. */
async function runningFolders(except: string): Promise<string[]> {
  const { contexts } = await readContexts();
  const folders = Object.values(contexts).flatMap(({ ca }) => platformFolderOfCa(ca) ?? []);
  const others = [...new Set(folders)].filter((folder) => folder !== except);
  const running = await Promise.all(others.map((folder) => runningPlatform(folder).catch(() => null)));
  return others.filter((_folder, at) => running[at]);
}
