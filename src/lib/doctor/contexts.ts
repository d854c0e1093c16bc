import { request } from 'node:https';
import type { TLSSocket } from 'node:tls';
import { createClient } from '../api/client.js';
import { adviceFor } from '../api/context.js';
import { type ChosenContext, chosenContext, readContexts } from '../core/contexts.js';
import { AiotError, isUntrusted, systemCode } from '../core/errors.js';
import { readText } from '../core/files.js';
import { configFolder } from '../core/folders.js';
import { timeLimit } from '../core/tasks.js';
import { type DoctorOptions, type Finding, fail, ok, warn } from './finding.js';

const day = 86_400_000;
const clockToleranceMs = 60_000;

type Options = Pick<DoctorOptions, 'timeoutMs' | 'now' | 'signal'>;

/** Checks each of the user's platforms: reachability, certificate, time, and token. */
export async function checkContexts(env: NodeJS.ProcessEnv, options: Options): Promise<Finding[]> {
  const { contexts } = await readContexts(configFolder(env));
  const entries = Object.entries(contexts);
  const chosen = await chosenContext(undefined, env);
  const findings = await Promise.all([
    ...(chosen?.from === 'environment' ? [checkContext('AIOT_URL', chosen, true, options)] : []),
    ...entries.map(([name, context]) => {
      const isCurrent = name === chosen?.name;
      // Alternatives are suggested only for the current context.
      const others = isCurrent ? chosen.others : [];
      const known = { ...context, name, kind: context.kind ?? 'platform', from: 'name', others } as const;
      return checkContext(`context ${name}`, known, isCurrent, options);
    }),
  ]);
  if (entries.length === 0 && findings.length === 0)
    return [ok('contexts', 'none yet; aiot up creates the first one')];
  const none = warn('contexts', 'no context is selected', 'aiot context use NAME');
  return [...(chosen === null ? [none] : []), ...findings.flat()];
}

async function checkContext(
  check: string,
  context: ChosenContext,
  current: boolean,
  options: Options,
): Promise<Finding[]> {
  const { url } = context;
  try {
    const ca = context.ca ? await readText(context.ca) : undefined;
    const seen = await probe(url, ca, options.timeoutMs, options.signal);
    const token = await checkToken(context, ca);
    return [
      ok(check, `${url} responds${token}${current ? ', and is the current context' : ''}`),
      certificate(check, seen.expires - options.now()),
      ...clock(check, seen.time - options.now()),
    ];
  } catch (error) {
    options.signal.throwIfAborted();
    const { code, message, next } =
      error instanceof AiotError
        ? error
        : {
            code: 'AIOT_BUG' as const,
            message: String(error),
            next: 'Run the command again with --debug and report the output.',
          };
    // An unreachable platform is not a fault of this machine, but an untrusted certificate is. Platforms other than the current one do not
    // affect the main use case.
    const status = current && code !== 'AIOT_PLATFORM_UNREACHABLE' ? fail : warn;
    return [status(check, message, adviceFor(context)[code] ?? next)];
  }
}

async function checkToken(context: ChosenContext, ca: string | undefined): Promise<string> {
  if (context.token === undefined) return '';
  const client = createClient({ url: context.url, token: context.token, ...(ca ? { ca } : {}) });
  try {
    await client.status();
    return ' and accepts the token';
  } finally {
    await client.close();
  }
}

function certificate(check: string, leftMs: number): Finding {
  const days = Math.floor(leftMs / day);
  const detail = `its certificate is valid for ${days} more days`;
  return leftMs < 30 * day
    ? warn(`${check} certificate`, detail, 'Run `aiot down`, then `aiot up`, which renews the certificate.')
    : ok(`${check} certificate`, detail);
}

function clock(check: string, offMs: number): Finding[] {
  if (Math.abs(offMs) <= clockToleranceMs) return [];
  const seconds = Math.round(Math.abs(offMs) / 1000);
  const detail = `its clock is ${seconds} s ${offMs > 0 ? 'ahead of' : 'behind'} this one`;
  return [
    warn(
      `${check} clock`,
      detail,
      'Synchronize both clocks: certificates and manifests have validity periods.',
    ),
  ];
}

interface Probe {
  /** Expiry of the server's certificate, ms since 1970. */
  expires: number;
  /** The server's time from its Date header, to the second; this machine's time if there is no such header. */
  time: number;
}

/**
 * Sends one HTTPS request to /healthz, with a verified certificate. Always ends within `timeoutMs`.
 * @throws AIOT_PLATFORM_UNREACHABLE, AIOT_PLATFORM_UNTRUSTED
 */
function probe(url: string, ca: string | undefined, timeoutMs: number, signal: AbortSignal): Promise<Probe> {
  return new Promise((resolve, reject) => {
    const ends = timeLimit(timeoutMs, signal);
    const outgoing = request(new URL('/healthz', url), { ca, signal: ends, agent: false }, (answer) => {
      const peer = (answer.socket as TLSSocket).getPeerCertificate();
      const date = Date.parse(answer.headers.date ?? '');
      resolve({ expires: Date.parse(peer.valid_to), time: Number.isNaN(date) ? Date.now() : date });
      outgoing.destroy();
    });
    outgoing.on('error', (error) => reject(told(error, url, timeoutMs)));
    outgoing.end();
  });
}

function told(error: Error, url: string, timeoutMs: number): AiotError {
  const code = systemCode(error) ?? error.name;
  const details = { cause: error, endpoint: url };
  if (isUntrusted(code))
    return new AiotError('AIOT_PLATFORM_UNTRUSTED', `${url} is not trusted (${code})`, details);
  const reason = code === 'ABORT_ERR' ? `no response within ${timeoutMs} ms` : code;
  return new AiotError('AIOT_PLATFORM_UNREACHABLE', `no response from ${url} (${reason})`, details);
}
