import type { TLSSocket } from 'node:tls';
import type { Logger } from 'pino';
import type { Role } from '../../api/contract/access.js';
import { sha256Hex } from '../../core/crypto.js';
import { deviceChannels, isProtocolTopic, parseTopic } from '../../device/protocol/codec.js';
import type { DeviceSecrets, Failures } from '../access/secrets.js';
import type { Tokens } from '../access/tokens.js';
import type { Devices } from '../devices/devices.js';
import type { DeviceRecord } from '../devices/records.js';
import type { Denial } from '../events/audit.js';
import type { BrokerFigures } from './metrics.js';
import { filterCovers, topicMatcher } from './topics.js';
import type { ConnectPacket } from './wire.js';

/** Identity of a connection's client. */
export type Identity =
  | UserIdentity
  | { kind: 'device'; name: string }
  /** Any client of the board listener. */
  | { kind: 'board'; door: BoardDoor };

/** A client with a token. */
export interface UserIdentity {
  kind: 'user';
  /** Name as in events: `operator ab12…`, `user alice tok_ab12…`. Does not reveal the token. */
  name: string;
  role: Role;
  /** Scopes that restrict the token (`models:push`, `stream:lab/#`); null = everything the role allows. */
  scopes: readonly string[] | null;
  /** The token's id, because sessions end with their token. */
  token: string;
}

/** Permissions on the board listener, as topic filters. */
export interface BoardDoor {
  publish: readonly string[];
  subscribe: readonly string[];
}

/** The connection that a client's identity is determined from. */
export interface Entrance {
  door?: BoardDoor | undefined;
  /** Whether the connection uses TLS. `peer`: the certificate that the client presented; see `peerOf`. */
  secure: boolean;
  peer: { fingerprint: string } | 'refused' | null;
  address: string;
  /** Called once the client is identified. */
  known?: (() => void) | undefined;
}

/**
 * Result of the TLS handshake: the fingerprint (SHA-256 of the DER, hex) of a valid certificate from our CA. `refused`: a certificate that
 * has expired or is from another CA. Null: no certificate.
 */
export function peerOf(socket: unknown): { fingerprint: string } | 'refused' | null {
  const tls = socket as Partial<TLSSocket>;
  // `getPeerCertificate` is not used, because it creates a key object of 2 kB for each connection, which OpenSSL keeps
  // with the certificate.
  const certificate = tls.getPeerX509Certificate?.();
  if (!certificate) return null;
  return tls.authorized === true ? { fingerprint: sha256Hex(certificate.raw) } : 'refused';
}

/**
 * The device whose certificate a client presents. `refused`: the certificate is foreign, expired or revoked, or the device is suspended.
 * Null: no certificate.
 */
export function certifiedDevice(
  socket: unknown,
  devices: Pick<Devices, 'authenticated'>,
): DeviceRecord | 'refused' | null {
  const peer = peerOf(socket);
  if (peer === null || peer === 'refused') return peer;
  return devices.authenticated(peer.fingerprint) ?? 'refused';
}

interface IdentifyParts {
  devices: Devices;
  tokens: Tokens;
  secrets?: DeviceSecrets | undefined;
  failures?: Failures | undefined;
  figures: BrokerFigures;
  denied?: ((denial: Denial) => void) | undefined;
  log: Logger;
}

/**
 * Identifies the sender of a CONNECT. A device is identified by its certificate, or by its name and secret over TLS; a
 * user by a token as the password. The board listener accepts every client.
 */
export async function identify(
  { devices, tokens, secrets, failures, figures, denied, log }: IdentifyParts,
  { door, peer, secure, address }: Entrance,
  { username, password, clientId }: Pick<ConnectPacket, 'username' | 'password' | 'clientId'>,
): Promise<Identity | 'credentials' | 'notAuthorized'> {
  const refuse = <T>(what: string, code: T) => {
    figures.refused++;
    // Repeated attempts must not flood the log.
    const often = failures?.oftenMqtt(address, username ?? clientId) ?? false;
    log[often ? 'debug' : 'warn']({ client: clientId, user: username, address }, what);
    const name = (username ?? clientId).slice(0, 64);
    denied?.({ who: 'nobody', what: 'mqtt connect', reason: `${what} from ${name}`, address });
    return code;
  };
  if (peer === 'refused') return refuse('rejected a certificate', 'notAuthorized' as const);
  if (peer) {
    const device = devices.authenticated(peer.fingerprint);
    if (device) return { kind: 'device', name: device.name };
    return refuse('rejected a certificate', 'notAuthorized' as const);
  }
  if (door) return { kind: 'board', door };
  if (password) {
    const secret = password.toString('utf8');
    const user = await tokens.identify(secret);
    if (user) return user;
    if (username && (await secrets?.isRight(username, secret, address, secure)))
      return { kind: 'device', name: username };
    failures?.noteMqtt(address, username ?? clientId);
  }
  return refuse('rejected a token or secret', 'credentials' as const);
}

/**
 * Whether an identity may publish. Devices publish only on their own channels, and boards only on their listener's topics. Operators may
 * use every topic except the broker's own, `ci` all but protocol v1's, and viewers none. The `stream:` scopes of a token restrict this
 * further.
 */
export function mayPublish(identity: Identity, topic: string): boolean {
  if (topic.startsWith('$')) return false;
  if (identity.kind === 'user') {
    // Only operators may publish messages meant for devices.
    const may = identity.role === 'operator' || (identity.role === 'ci' && !isProtocolTopic(topic));
    return may && inScope(identity, (allowed) => topicMatcher(allowed)(topic));
  }
  if (identity.kind === 'board') {
    // The platform trusts protocol v1 messages, so only identified devices may publish them.
    return !isProtocolTopic(topic) && matchersOf(identity.door).some((fits) => fits(topic));
  }
  const parts = parseTopic(topic);
  return parts !== null && parts.device === identity.name && deviceChannels[parts.channel] === 'device';
}

/**
 * Whether an identity may subscribe. A device may subscribe only to the platform's channels for it, and not with wildcards, which would
 * match more.
 */
export function maySubscribe(identity: Identity, filter: string): boolean {
  if (identity.kind === 'user') return inScope(identity, (allowed) => filterCovers(allowed, filter));
  if (identity.kind === 'board')
    return identity.door.subscribe.some((allowed) => filterCovers(allowed, filter));
  const parts = parseTopic(filter);
  return parts !== null && parts.device === identity.name && deviceChannels[parts.channel] === 'platform';
}

function inScope({ scopes }: UserIdentity, covers: (filter: string) => boolean): boolean {
  if (scopes === null) return true;
  return scopes.some((scope) => scope.startsWith('stream:') && covers(scope.slice('stream:'.length)));
}

/** Created once for each listener, because the matchers are evaluated for every message. */
const matchers = new WeakMap<BoardDoor, ((topic: string) => boolean)[]>();

function matchersOf(door: BoardDoor): ((topic: string) => boolean)[] {
  const known = matchers.get(door) ?? door.publish.map(topicMatcher);
  matchers.set(door, known);
  return known;
}
