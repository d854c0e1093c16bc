import * as z from 'zod';
import { AiotError, systemCode } from '../core/errors.js';
import { aiotVersion } from '../core/folders.js';
import { startProgram } from '../core/process.js';
import { compareVersions } from '../fleet/version.js';

export const updateSchema = z.object({
  /** That is running. */
  version: z.string(),
  /** Whether the registry was asked. */
  checked: z.boolean(),
  /** The registry's latest; null: it was not asked. */
  latest: z.string().nullable(),
  newer: z.boolean().nullable(),
  /** What installs it. */
  install: z.string(),
});
export type Update = z.output<typeof updateSchema>;

export interface UpdateOptions {
  /** Ask the registry. Nothing in aiot does but this. */
  check: boolean;
  timeoutMs: number;
  signal?: AbortSignal | undefined;
}

/**
 * Whether the registry that npm is set up for has a newer version. npm asks it: it knows proxies, certificates and accounts.
 * @throws AIOT_NOT_FOUND (the registry has no such package), AIOT_PROGRAM_NOT_FOUND, AIOT_PROGRAM_FAILED with npm's own reason, AIOT_TIMEOUT, AIOT_INTERRUPTED
 */
export async function lookForUpdate({ check, timeoutMs, signal }: UpdateOptions): Promise<Update> {
  const version = aiotVersion();
  const install = 'npm install --global aiot@latest';
  if (!check) return { version, checked: false, latest: null, newer: null, install };
  const latest = await latestVersion(timeoutMs, signal);
  return { version, checked: true, latest, newer: (compareVersions(latest, version) ?? 0) > 0, install };
}

function latestVersion(timeoutMs: number, signal: AbortSignal | undefined): Promise<string> {
  const limit = AbortSignal.timeout(timeoutMs);
  return new Promise((resolve, reject) => {
    const child = startProgram('npm', ['view', 'aiot@latest', 'version', '--json'], {
      stdio: ['ignore', 'pipe', 'pipe'],
      signal: signal ? AbortSignal.any([signal, limit]) : limit,
      // Without a network npm would try three times, for a minute and more.
      env: { ...process.env, npm_config_fetch_retries: '0' },
      // npm.cmd there.
      shell: process.platform === 'win32',
    });
    const said = { stdout: '', stderr: '' };
    for (const name of ['stdout', 'stderr'] as const) {
      child[name].on('data', (chunk: Buffer) => {
        said[name] = (said[name] + chunk.toString('utf8')).slice(0, 100_000);
      });
    }
    child.on('error', (cause) => {
      if (signal?.aborted) return reject(signal.reason);
      if (limit.aborted) {
        const text = `npm did not answer within ${timeoutMs / 1000} s`;
        return reject(new AiotError('AIOT_TIMEOUT', text, { cause }));
      }
      reject(
        new AiotError('AIOT_PROGRAM_NOT_FOUND', `npm cannot be run (${systemCode(cause) ?? cause.message})`, {
          cause,
          next: 'Where aiot came as a Debian package or a tarball, look where it came from.',
        }),
      );
    });
    child.on('close', (code) => {
      const found = code === 0 ? versionIn(said.stdout) : undefined;
      if (found !== undefined) return resolve(found);
      reject(failureOf(said));
    });
  });
}

function versionIn(stdout: string): string | undefined {
  const value = json(stdout);
  return typeof value === 'string' ? value : undefined;
}

/** With --json npm prints its error on stdout, too. */
function failureOf({ stdout, stderr }: { stdout: string; stderr: string }): AiotError {
  const { error } = (json(stdout) ?? {}) as { error?: { code?: string; summary?: string } };
  if (error?.code === 'E404') {
    return new AiotError('AIOT_NOT_FOUND', 'the npm registry in use has no package named aiot', {
      next: 'npm config get registry names the registry. Until aiot is published there, update the clone, archive or package that you installed from.',
    });
  }
  const [line = ''] = stderr.split('\n').filter((each) => each.trim() !== '');
  const told = [error?.code, error?.summary?.split('\n')[0]].filter(Boolean).join(': ');
  const reason = told || line || 'no version in its answer';
  return new AiotError('AIOT_PROGRAM_FAILED', `npm view aiot: ${reason}`);
}

function json(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
