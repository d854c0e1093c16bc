import type { TLSSocket } from 'node:tls';
import type { Logger } from 'pino';
import { sha256Hex } from '../../core/crypto.js';
import { deviceChannels, isProtocolTopic, parseTopic } from '../../device/protocol/codec.js';
import type { Role } from '../../registry/access.js';
import type { DeviceSecrets, Failures } from '../access/secrets.js';
import type { Tokens } from '../access/tokens.js';
import type { Devices } from '../devices/devices.js';
import type { DeviceRecord } from '../devices/records.js';
import type { BrokerFigures } from './metrics.js';
import { filterCovers, topicMatcher } from './topics.js';
import type { ConnectPacket } from './wire.js';

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

interface IdentifyParts {
  devices: Devices;
  tokens: Tokens;
  secrets?: DeviceSecrets | undefined;
  failures?: Failures | undefined;
  figures: BrokerFigures;
  log: Logger;
}

/**
 * Who sends a CONNECT: a device by its certificate, or by its name and secret over TLS; a user by a token as the password;
 * anybody at the listener for boards.
 */
export async function identify(
  { devices, tokens, secrets, failures, figures, log }: IdentifyParts,
  { door, peer, secure, address }: Entrance,
  { username, password, clientId }: ConnectPacket,
): Promise<Identity | 'credentials' | 'notAuthorized'> {
  const refuse = <T>(what: string, code: T) => {
    figures.refused++;
    // Who tries on and on fills no log.
    const often = failures?.oftenMqtt(address, username ?? clientId) ?? false;
    log[often ? 'debug' : 'warn']({ client: clientId, user: username, address }, what);
    return code;
  };
  if (peer === 'refused') return refuse('a certificate was refused', 'notAuthorized' as const);
  if (peer) {
    const device = devices.authenticated(peer.fingerprint);
    if (device) return { kind: 'device', name: device.name };
    return refuse('a certificate was refused', 'notAuthorized' as const);
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
  return refuse('a token or secret was refused', 'credentials' as const);
}

/**
 * A device publishes on its own channels only; boards on what their listener is for; operators on every topic that is not the
 * broker's own, ci on those that are not protocol v1's, viewers on none; each within the `stream:` scopes of its token.
 */
export function mayPublish(identity: Identity, topic: string): boolean {
  if (topic.startsWith('$')) return false;
  if (identity.kind === 'user') {
    // What is meant for devices is an operator's to say.
    const may = identity.role === 'operator' || (identity.role === 'ci' && !isProtocolTopic(topic));
    return may && inScope(identity, (allowed) => topicMatcher(allowed)(topic));
  }
  if (identity.kind === 'board') {
    // What the platform takes for a device's word comes from devices with certificates alone.
    return !isProtocolTopic(topic) && matchersOf(identity.door).some((fits) => fits(topic));
  }
  const parts = parseTopic(topic);
  return parts !== null && parts.device === identity.name && deviceChannels[parts.channel] === 'device';
}

/** A device hears what the platform sends to it, and nothing else: wildcards reach further, so it gets none. */
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

/** Made once a listener, for they are asked with each message. */
const matchers = new WeakMap<BoardDoor, ((topic: string) => boolean)[]>();

function matchersOf(door: BoardDoor): ((topic: string) => boolean)[] {
  const known = matchers.get(door) ?? door.publish.map(topicMatcher);
  matchers.set(door, known);
  return known;
}
