import { lookup } from 'node:dns/promises';
import { connect as connectTcp } from 'node:net';
import { connect as connectTls, type PeerCertificate, type TLSSocket } from 'node:tls';
import { systemClock, systemCode } from '../../core/index.js';
import type { CheckResult } from '../admin.js';
import type { StreamCredentials } from '../options.js';

export interface Place {
  host: string;
  port: number;
}

/** Whether a name stands for an address. */
export async function resolves({ host }: Place): Promise<CheckResult> {
  const what = `name ${host}`;
  try {
    const found = await lookup(host, { all: true });
    return { what, state: 'ok', detail: found.map(({ address }) => address).join(', ') };
  } catch (error) {
    const code = systemCode(error);
    const why =
      code === 'ENOTFOUND'
        ? 'no such name: check its spelling, and this machine’s DNS'
        : (code ?? 'no answer');
    return { what, state: 'failed', detail: why };
  }
}

const reasons: Record<string, string> = {
  ECONNREFUSED: 'nothing listens on this port: is the broker running, and is it this port?',
  EHOSTUNREACH: 'no way to this host: check the network, the VPN and its firewall',
  ENETUNREACH: 'no way to this network: check the network and the VPN',
  ETIMEDOUT: 'no answer: a firewall in between drops what we send, or the host is off',
};

/** Whether something accepts connections there. */
export async function accepts({ host, port }: Place, timeoutMs: number): Promise<CheckResult> {
  const what = `port ${port}`;
  const started = systemClock.now();
  const socket = connectTcp({ host, port });
  try {
    await settled(socket, 'connect', timeoutMs);
    return { what, state: 'ok', detail: `open, ${systemClock.now() - started} ms` };
  } catch (error) {
    const code = systemCode(error) ?? 'no answer';
    return { what, state: 'failed', detail: reasons[code] ?? code };
  } finally {
    socket.destroy();
  }
}

/** Whether TLS comes to stand there, and what its certificate says. */
export async function encrypts(
  { host, port }: Place,
  { ca, cert, key }: StreamCredentials,
  timeoutMs: number,
): Promise<CheckResult> {
  const what = 'TLS';
  const socket = connectTls({
    host,
    port,
    servername: /^[\d.]+$|:/.test(host) ? '' : host,
    // It is judged here, so that more can be told than that it failed.
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
    const why = plain ? 'what listens there does not speak TLS: use the scheme without the s' : code;
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
    ? `it is not valid any more (${until})`
    : /ALTNAME/.test(error)
      ? `it is not for this name, but for ${certificate.subjectaltname ?? 'none'}`
      : `it is signed by ${certificate.issuer?.CN ?? 'a CA'}, which is not trusted here: --ca FILE`;
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
    socket.setTimeout(timeoutMs, () => reject(Object.assign(new Error('no answer'), { code: 'ETIMEDOUT' })));
    socket.once(event, () => resolve());
    socket.once('error', reject);
    socket.once('close', () => reject(new Error('the connection was closed')));
  });
}
