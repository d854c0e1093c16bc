import { realpath } from 'node:fs/promises';
import { dirname, sep } from 'node:path';
import { type RemoteOpen, type RemoteRequest, remoteTarget } from '../../api/remote.js';
import { AiotError } from '../../core/errors.js';
import { runProgram } from '../../core/process.js';

/** Sessions that a device accepts. Everything else is refused, whatever the platform asks for. */
export interface RemotePolicy {
  shell: boolean;
  /** `HOST:PORT`, as in a request. */
  forward: readonly string[];
  /** Folders from which and into which files may be copied. */
  copy: readonly string[];
  /** A program that is asked about each session; it accepts with exit code 0. */
  consent?: string | undefined;
}

/** How long the program may take, ms. The platform waits longer. */
const consentProgramMs = 50_000;

/**
 * The policy from the words of `--allow`: `shell`, `forward=PORT`, `forward=HOST:PORT`, `copy=FOLDER`.
 * @throws AIOT_USAGE
 */
export function remotePolicy(words: readonly string[], consent?: string): RemotePolicy {
  const policy = { shell: false, forward: [] as string[], copy: [] as string[], consent };
  for (const word of words) {
    const [, kind = '', value] = /^([a-z]+)(?:=(.+))?$/s.exec(word) ?? [];
    const [, host = '127.0.0.1', port = ''] = /^(?:([a-z0-9.:-]+):)?([0-9]{1,5})$/i.exec(value ?? '') ?? [];
    if (kind === 'shell' && value === undefined) policy.shell = true;
    else if (kind === 'forward' && Number(port) >= 1 && Number(port) <= 65_535)
      policy.forward.push(`${host}:${Number(port)}`);
    else if (kind === 'copy' && value?.startsWith('/')) policy.copy.push(value);
    else
      throw new AiotError(
        'AIOT_USAGE',
        `--allow: expected shell, forward=PORT, forward=HOST:PORT or copy=/FOLDER, got ${word}`,
      );
  }
  return policy;
}

/** Why the device refuses a session; null = it accepts. */
export async function refusalOf(policy: RemotePolicy, asked: RemoteOpen): Promise<string | null> {
  const wrong = await outside(policy, asked.request);
  if (wrong !== null || policy.consent === undefined) return wrong;
  const { open: session, who, until, request } = asked;
  const input = Buffer.from(
    JSON.stringify({ session, who, until, kind: request.kind, target: remoteTarget(request) }),
  );
  try {
    const { code, timedOut } = await runProgram(policy.consent, [], {
      ...{ input, timeoutMs: consentProgramMs, graceMs: 1000, group: true, env: shellEnvironment() },
    });
    if (code === 0) return null;
    return timedOut ? 'nobody on the device agreed in time' : 'the consent program on the device said no';
  } catch {
    return 'the consent program on the device could not be started';
  }
}

async function outside(policy: RemotePolicy, request: RemoteRequest): Promise<string | null> {
  if (request.kind === 'shell') return policy.shell ? null : 'its agent runs without --allow shell';
  if (request.kind === 'forward') {
    const { host, port } = request;
    const short = host === '127.0.0.1' ? `${port}` : `${host}:${port}`;
    return policy.forward.includes(`${host}:${port}`)
      ? null
      : `its agent runs without --allow forward=${short}`;
  }
  return (await placeOf(policy, request)) === null
    ? `${request.path} is not in a folder that its agent allows with --allow copy=FOLDER`
    : null;
}

/**
 * The real path of a file that may be copied, with all symbolic links resolved; null = it is outside the allowed folders. A new file's
 * folder must exist.
 */
export async function placeOf(
  { copy }: RemotePolicy,
  { path, direction }: RemoteRequest & { kind: 'copy' },
): Promise<string | null> {
  const real = (place: string) => realpath(place).catch(() => null);
  const existing = direction === 'from' ? await real(path) : null;
  const folder = existing === null ? await real(dirname(path)) : null;
  const base = path.slice(path.lastIndexOf('/') + 1);
  if (existing === null && (folder === null || base === '' || base === '.' || base === '..')) return null;
  const place = existing ?? `${folder === '/' ? '' : folder}/${base}`;
  for (const allowed of copy) {
    const root = await real(allowed);
    if (root !== null && (root === sep || place.startsWith(`${root}${sep}`))) return place;
  }
  return null;
}

/** The environment of programs that are started for a session. It contains none of the agent's settings. */
export function shellEnvironment(): NodeJS.ProcessEnv {
  const names = ['HOME', 'LANG', 'LC_ALL', 'LOGNAME', 'PATH', 'SHELL', 'TZ', 'USER'];
  return Object.fromEntries(names.flatMap((name) => (process.env[name] ? [[name, process.env[name]]] : [])));
}
