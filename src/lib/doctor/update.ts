import * as z from 'zod';
import { AiotError, systemCode } from '../core/errors.js';
import { aiotVersion } from '../core/folders.js';
import { runProgram } from '../core/process.js';
import { parsedJson } from '../core/text.js';
import { compareVersions } from '../fleet/version.js';

export const updateSchema = z.object({
  /** The running version. */
  version: z.string(),
  /** Whether the registry was queried. */
  checked: z.boolean(),
  /** The latest version in the registry; null = not queried. */
  latest: z.string().nullable(),
  newer: z.boolean().nullable(),
  /** The command that installs the latest version. */
  install: z.string(),
});
export type Update = z.output<typeof updateSchema>;

interface UpdateOptions {
  /** Whether to query the registry. Nothing else in aiot queries it. */
  check: boolean;
  timeoutMs: number;
  signal?: AbortSignal | undefined;
}

/**
 * Checks whether npm's registry has a newer version. The query is sent by npm, which is already configured for proxies, certificates and
 * accounts.
 * @throws AIOT_NOT_FOUND (the registry has no such package), AIOT_PROGRAM_NOT_FOUND, AIOT_PROGRAM_FAILED with npm's own reason,
 * AIOT_TIMEOUT, AIOT_INTERRUPTED
 */
export async function lookForUpdate({ check, timeoutMs, signal }: UpdateOptions): Promise<Update> {
  const version = aiotVersion();
  const install = 'npm install --global aiot@latest';
  if (!check) return { version, checked: false, latest: null, newer: null, install };
  const latest = await latestVersion(timeoutMs, signal);
  return { version, checked: true, latest, newer: (compareVersions(latest, version) ?? 0) > 0, install };
}

async function latestVersion(timeoutMs: number, signal: AbortSignal | undefined): Promise<string> {
  const end = await runProgram('npm', ['view', 'aiot@latest', 'version', '--json'], {
    signal,
    timeoutMs,
    graceMs: 500,
    // Without a network npm would retry three times, for more than a minute.
    env: { ...process.env, npm_config_fetch_retries: '0' },
    // On Windows, the program is npm.cmd.
    shell: process.platform === 'win32',
  }).catch((cause: Error) => {
    signal?.throwIfAborted();
    const why = systemCode(cause) ?? cause.message;
    throw new AiotError('AIOT_PROGRAM_NOT_FOUND', `npm cannot be run (${why})`, {
      cause,
      next: 'If you installed aiot from a Debian package or a tarball, check that source.',
    });
  });
  if (end.timedOut) throw new AiotError('AIOT_TIMEOUT', `npm did not respond within ${timeoutMs / 1000} s`);
  const found = end.code === 0 ? versionIn(end.stdout) : undefined;
  if (found === undefined) throw failureOf(end);
  return found;
}

function versionIn(stdout: string): string | undefined {
  const value = parsedJson(stdout);
  return typeof value === 'string' ? value : undefined;
}

/** The error of a failed query. With --json, npm also prints its error on stdout. */
function failureOf({ stdout, stderr }: { stdout: string; stderr: string }): AiotError {
  const { error } = (parsedJson(stdout) ?? {}) as { error?: { code?: string; summary?: string } };
  if (error?.code === 'E404') {
    return new AiotError('AIOT_NOT_FOUND', 'the npm registry has no package named aiot', {
      next: 'To see the registry, run `npm config get registry`. Until aiot is published there, update your clone, archive or package.',
    });
  }
  const [line = ''] = stderr.split('\n').filter((each) => each.trim() !== '');
  const told = [error?.code, error?.summary?.split('\n')[0]].filter(Boolean).join(': ');
  const reason = told || line || 'its response contains no version';
  return new AiotError('AIOT_PROGRAM_FAILED', `npm view aiot: ${reason}`);
}
