import type { TLSSocket } from 'node:tls';
import { sha256Hex } from '../../core/index.js';
import type { Role } from '../../registry/index.js';
import type { DeviceRecord } from '../services/device-rows.js';
import type { Devices } from '../services/devices.js';

/** Who is at the other end of a connection. */
export type Identity =
  | UserIdentity
  | { kind: 'device'; name: string }
  /** Anybody at the listener for boards. */
  | { kind: 'board'; door: BoardDoor };

/** Somebody with a token. */
export interface UserIdentity {
  kind: 'user';
  /** As in events: `operator ab12…`, `user alice tok_ab12…`. It does not give the token away. */
  name: string;
  role: Role;
  /** What the token is narrowed to (`models:push`, `stream:lab/#`); null = all that the role may. */
  scopes: readonly string[] | null;
  /** The token's id: its sessions end with it. */
  token: string;
}

/** What those may who come by the listener for boards: filters of topics. */
export interface BoardDoor {
  publish: readonly string[];
  subscribe: readonly string[];
}

/** Where a connection came in. */
export interface Entrance {
  door?: BoardDoor | undefined;
  /** Over TLS, and the client's certificate, if it has shown one that is good, by its fingerprint. */
  secure: boolean;
  peer: { fingerprint: string } | 'refused' | null;
  address: string;
  /** Called when it is known who it is. */
  known?: (() => void) | undefined;
}

/**
 * What the TLS handshake says: the fingerprint (SHA-256 of the DER, hex) of a certificate by our CA, `refused` for one
 * that is not by our CA or has ended, null for none.
 */
export function peerOf(socket: unknown): { fingerprint: string } | 'refused' | null {
  const tls = socket as Partial<TLSSocket>;
  // Not `getPeerCertificate`, which makes a key of the certificate's that OpenSSL then keeps with it: 2 kB of each connection.
  const certificate = tls.getPeerX509Certificate?.();
  if (!certificate) return null;
  return tls.authorized === true ? { fingerprint: sha256Hex(certificate.raw) } : 'refused';
}

/** The device whose certificate a client shows; `refused` for one that is foreign, expired, revoked or suspended, null for none. */
export function certifiedDevice(
  socket: unknown,
  devices: Pick<Devices, 'authenticated'>,
): DeviceRecord | 'refused' | null {
  const peer = peerOf(socket);
  if (peer === null || peer === 'refused') return peer;
  return devices.authenticated(peer.fingerprint) ?? 'refused';
}
