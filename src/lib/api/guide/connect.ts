import { X509Certificate } from 'node:crypto';
import { checkServerIdentity, type PeerCertificate } from 'node:tls';
import type { Agent } from 'undici';
import { AiotError } from '../../core/errors.js';
import { httpAgent } from '../../core/http-agent.js';

/** Trust settings for an installation of the guide. */
export interface GuideTrust {
  /**
   * PEM of the CA, or of the server's own certificate. If it is the server's certificate, only that certificate is
   * accepted, regardless of the names in it.
   */
  ca?: string | undefined;
  /** SHA-256 of the server certificate's DER, 64 hex digits. Only that certificate is accepted. */
  fingerprint?: string | undefined;
}

/**
 * Creates connections to one installation. Its certificate is always verified, either by its CA and name or by comparison with a known
 * certificate.
 */
export async function guideAgent({ ca, fingerprint }: GuideTrust): Promise<Agent> {
  const common = { timeout: 10_000 };
  if (fingerprint !== undefined) {
    const wanted = fingerprint.replaceAll(':', '').toLowerCase();
    const { buildConnector } = await import('undici');
    // Session resumption is off, because a resumed TLS session does not present a certificate.
    const connect = buildConnector({ ...common, rejectUnauthorized: false, maxCachedSessions: 0 });
    return httpAgent({
      connect(options, done) {
        connect(options, (error, socket) => {
          if (error) return done(error, null);
          const got = fingerprintOf(socket as unknown as Peer);
          if (got === wanted) return done(null, socket);
          socket.destroy();
          done(notThatOne(`${options.hostname}:${options.port}`, got), null);
        });
      },
    });
  }
  if (ca === undefined) return httpAgent({ connect: common });
  const pinned = new X509Certificate(ca).raw;
  const checkName = (host: string, peer: PeerCertificate) =>
    pinned.equals(peer.raw) ? undefined : checkServerIdentity(host, peer);
  return httpAgent({ connect: { ...common, ca, checkServerIdentity: checkName } });
}

interface Peer {
  getPeerX509Certificate(): X509Certificate | undefined;
}

function fingerprintOf(socket: Peer): string {
  return (socket.getPeerX509Certificate()?.fingerprint256 ?? '').replaceAll(':', '').toLowerCase();
}

function notThatOne(host: string, got: string): AiotError {
  return new AiotError(
    'AIOT_PLATFORM_UNTRUSTED',
    `the certificate of ${host} has the fingerprint ${got}, which differs from the one in this context`,
    {
      endpoint: host,
      next: 'If the change is expected, run `aiot context add NAME --kind architects-guide --replace --fingerprint …`.',
    },
  );
}
