import { lookup } from 'node:dns/promises';
import { connect as connectTcp } from 'node:net';
import { connect as connectTls, type PeerCertificate, type TLSSocket } from 'node:tls';
import * as z from 'zod';
import { AiotError, hasCode, systemCode } from '../../core/errors.js';
import { systemClock } from '../../core/time.js';
import { credentialNames, withKeptCredentials } from '../credentials.js';
import type { StreamCredentials, StreamOptions } from '../message.js';
import { openAdmin, platformBroker } from '../open.js';
import { parseStreamUrl } from '../url.js';
import type { CheckResult } from './admin.js';

export const checkedSchema = z.object({
  endpoint: z.string(),
  /** Whether nothing failed. A missing capability of the broker does not count as a failure. */
  ok: z.boolean(),
  results: z.array(
    z.object({
      what: z.string(),
      state: z.enum(['ok', 'no', 'failed', 'skipped']),
      detail: z.string(),
    }),
  ),
});

export type Checked = z.output<typeof checkedSchema>;

/** Schemes that use TLS from the start of a connection. NATS starts without it, and the adapter handles the upgrade. */
const tlsFirst = new Set(['https', 'kafkas', 'mqtts', 'rediss', 'wss']);

/**
 * Tests each connection stage (name, port, TLS, authentication), then the capabilities. After a failure, later stages
 * are skipped.
 * @throws AIOT_STREAM_URL, AIOT_STREAM_SCHEME (the scheme has no checks)
 */
export async function checkEndpoint(url: string, options: StreamOptions = {}): Promise<Checked> {
  const parts = parseStreamUrl(url);
  const places = placesOf(credentialNames(parts));
  const credentials = await withKeptCredentials(parts, options);
  const results: CheckResult[] = [];
  const timeoutMs = options.connectTimeoutMs ?? 10_000;
  const failed = () => results.some(({ state }) => state === 'failed');
  for (const place of parts.scheme === 'aiot' ? [] : places) {
    const steps = [
      () => resolves(place),
      () => accepts(place, timeoutMs),
      ...(tlsFirst.has(parts.scheme) ? [() => encrypts(place, credentials, timeoutMs)] : []),
    ];
    for (const step of steps) {
      options.signal?.throwIfAborted();
      const result = await step();
      results.push(result);
      if (result.state === 'failed') break;
    }
  }
  if (failed()) results.push({ what: 'broker', state: 'skipped', detail: 'not reached' });
  else results.push(...(await asked(url, options, results.length > 0)));
  return { endpoint: parts.endpoint, ok: !failed(), results };
}

/**
 * Why none of an address's hosts accepts connections: a name that does not resolve, or a port that is closed. Sends
 * nothing to the peer.
 * @param options connectTimeoutMs applies to each host
 * @returns undefined if a host accepts connections, or if the address has no host and port
 */
export async function unreachable(url: string, options: StreamOptions): Promise<string | undefined> {
  const given = parseStreamUrl(url);
  const parts = given.scheme === 'aiot' ? (await platformBroker(given, options))[0] : given;
  let reason: string | undefined;
  for (const place of placesOf(credentialNames(parts))) {
    const name = await resolves(place);
    const tried = name.state === 'ok' ? await accepts(place, options.connectTimeoutMs ?? 10_000) : name;
    if (tried.state === 'ok') return undefined;
    reason ??= tried.detail;
  }
  return reason;
}

/** The adapter's own checks. A failure to connect becomes a failed check instead of an error. */
async function asked(url: string, options: StreamOptions, reached: boolean): Promise<CheckResult[]> {
  try {
    const admin = await openAdmin(url, options);
    try {
      return await admin.check(options.signal ? { signal: options.signal } : {});
    } finally {
      await admin.close();
    }
  } catch (error) {
    if (!(error instanceof AiotError) || error.exit === 130) throw error;
    if (hasCode(error, 'AIOT_STREAM_SCHEME') && reached) {
      return [{ what: 'broker', state: 'skipped', detail: 'nothing else to check' }];
    }
    if (error.exit === 2) throw error;
    return [{ what: 'broker', state: 'failed', detail: `${error.message}. ${error.next}` }];
  }
}

/** Host and port of each endpoint, such as `mqtt://host:1883`. Endpoints without a port, such as buckets, are left out. */
function placesOf(names: string[]): Place[] {
  return names.flatMap((name) => {
    const [, bracketed, plain, port] = /^[a-z0-9+.-]+:\/\/(?:\[(.+)\]|([^:]+)):(\d+)$/.exec(name) ?? [];
    const host = bracketed ?? plain;
    return host === undefined ? [] : [{ host, port: Number(port) }];
  });
}

interface Place {
  host: string;
  port: number;
}

/** Whether a name resolves to an address. */
async function resolves({ host }: Place): Promise<CheckResult> {
  const what = `name ${host}`;
  try {
    const found = await lookup(host, { all: true });
    return { what, state: 'ok', detail: found.map(({ address }) => address).join(', ') };
  } catch (error) {
    const code = systemCode(error);
    const why =
      code === 'ENOTFOUND'
        ? "no such name: check the spelling and this machine's DNS"
        : (code ?? 'no response');
    return { what, state: 'failed', detail: why };
  }
}

const reasons: Record<string, string> = {
  ECONNREFUSED: 'nothing listens on this port: check that the broker is running and that the port is correct',
  EHOSTUNREACH: 'no route to this host: check the network, the VPN and its firewall',
  ENETUNREACH: 'no route to this network: check the network and the VPN',
  ETIMEDOUT: 'no response: a firewall may be dropping packets, or the host is offline',
};

/** Whether something accepts connections at this host and port. */
async function accepts({ host, port }: Place, timeoutMs: number): Promise<CheckResult> {
  const what = `port ${port}`;
  const started = systemClock.now();
  const socket = connectTcp({ host, port });
  try {
    await settled(socket, 'connect', timeoutMs);
    return { what, state: 'ok', detail: `open, ${systemClock.now() - started} ms` };
  } catch (error) {
    const code = systemCode(error) ?? 'no response';
    return { what, state: 'failed', detail: reasons[code] ?? code };
  } finally {
    socket.destroy();
  }
}

/** Whether a TLS connection can be established, with details of the certificate. */
async function encrypts(
  { host, port }: Place,
  { ca, cert, key }: StreamCredentials,
  timeoutMs: number,
): Promise<CheckResult> {
  const what = 'TLS';
  const socket = connectTls({
    host,
    port,
    servername: /^[\d.]+$|:/.test(host) ? '' : host,
    // The certificate is verified below instead, so that its details can be reported even if it is not trusted.
    rejectUnauthorized: false,
    ...(ca ? { ca } : {}),
    ...(cert && key ? { cert, key } : {}),
  });
  try {
    await settled(socket, 'secureConnect', timeoutMs);
    return { what, ...judged(socket) };
  } catch (error) {
    const code = systemCode(error) ?? '';
    const plain = code === 'ERR_SSL_WRONG_VERSION_NUMBER' || code === 'ECONNRESET';
    const why = plain ? 'the server does not speak TLS: use the scheme without the s' : code;
    return { what, state: 'failed', detail: why || (error as Error).message };
  } finally {
    socket.destroy();
  }
}

function judged(socket: TLSSocket): Pick<CheckResult, 'state' | 'detail'> {
  const certificate = socket.getPeerCertificate();
  const until = `valid until ${certificate.valid_to ?? '?'}`;
  const of = `${socket.getProtocol()}, certificate of ${subjectOf(certificate)}`;
  if (socket.authorized) return { state: 'ok', detail: `${of}, ${until}` };
  const error = String(socket.authorizationError ?? '');
  const next = /EXPIRED/.test(error)
    ? `it has expired (${until})`
    : /ALTNAME/.test(error)
      ? `it is not valid for this name, only for ${certificate.subjectaltname ?? 'none'}`
      : `it is signed by ${certificate.issuer?.CN ?? 'a CA'}, which is not trusted here: add --ca FILE`;
  return { state: 'failed', detail: `${of}: ${next}` };
}

function subjectOf({ subject }: PeerCertificate): string {
  return String(subject?.CN ?? 'nobody');
}

function settled(
  socket: ReturnType<typeof connectTcp>,
  event: 'connect' | 'secureConnect',
  timeoutMs: number,
): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.setTimeout(timeoutMs, () =>
      reject(Object.assign(new Error('no response'), { code: 'ETIMEDOUT' })),
    );
    socket.once(event, () => resolve());
    socket.once('error', reject);
    socket.once('close', () => reject(new Error('the connection was closed')));
  });
}

/** Maximum wait for a broker's response, ms. */
const connectTimeoutMs = 10_000;

/**
 * Tests whether a destination accepts these credentials by opening its administrative interface.
 * @throws AIOT_BROKER_REFUSED, AIOT_BROKER_UNREACHABLE, AIOT_STREAM_SCHEME (no such interface)
 */
export async function tryCredentials(url: string, credentials: StreamCredentials): Promise<void> {
  const admin = await openAdmin(url, { ...credentials, connectTimeoutMs });
  await admin.close();
}
