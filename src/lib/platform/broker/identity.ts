import type { TLSSocket } from 'node:tls';
import type { Logger } from 'pino';
import type { Role } from '../../api/contract/access.js';
import { sha256Hex } from '../../core/crypto.js';
import { deviceChannels, isProtocolTopic, parseTopic } from '../../device/protocol/codec.js';
import type { Reach } from '../access/reach.js';
import type { DeviceSecrets, Failures } from '../access/secrets.js';
import type { Tokens } from '../access/tokens.js';
import type { Devices } from '../devices/devices.js';
import type { DeviceRecord } from '../devices/records.js';
import type { Denial } from '../events/audit.js';
import type { BrokerFigures } from './metrics.js';
import { filterCovers, filterWithin, sharedFilter, topicMatcher } from './topics.js';
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
  /** Devices that the rights are limited to; null = all devices. */
  reach: Reach | null;
  /** The token's id, because sessions end with their token. */
  token: string;
  /** Digest of the dashboard session's secret; absent = the token itself was presented. */
  session?: string;
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
 * further, and a selector limits them to the topics of the matching devices.
 */
export function mayPublish(identity: Identity, topic: string): boolean {
  if (topic.startsWith('$')) return false;
  if (identity.kind === 'user') {
    if (identity.reach && !maySee(identity.reach, topic)) return false;
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
  if (identity.kind === 'user') {
    if (identity.reach && !mayFollow(identity.reach, filter)) return false;
    return inScope(identity, (allowed) => filterCovers(allowed, filter));
  }
  if (identity.kind === 'board')
    return identity.door.subscribe.some((allowed) => filterCovers(allowed, filter));
  const parts = parseTopic(filter);
  return parts !== null && parts.device === identity.name && deviceChannels[parts.channel] === 'platform';
}

/**
 * Whether an identity may use a filter that may be that of a shared subscription. Such a subscription takes messages from the other members,
 * so it cannot leave out devices.
 */
export function mayUseFilter(identity: Identity, filter: string): boolean {
  const isLimited = identity.kind === 'user' && identity.reach !== null;
  if (isLimited && sharedFilter(filter)) return false;
  return maySubscribe(identity, filterWithin(filter));
}

/**
 * As `mayUseFilter`, at an external broker. It cannot leave out the messages of single devices, so a limited client must name the device.
 */
export function mayUseFilterOutside(identity: Identity, filter: string): boolean {
  const isLimited = identity.kind === 'user' && identity.reach !== null;
  if (isLimited && filter.split('/', 3).some((level) => level === '+' || level === '#')) return false;
  return mayUseFilter(identity, filter);
}

/**
 * Which messages a client gets of those that its subscriptions match; null = all of them. Wildcards can match the topics of devices
 * outside the client's reach, and a device can leave it at any time.
 */
export function deliveryTest(identity: Identity): ((topic: string) => boolean) | null {
  if (identity.kind !== 'user' || identity.reach === null) return null;
  const { reach } = identity;
  return (topic) => maySee(reach, topic);
}

/** Whether a topic belongs to a device in reach. Topics outside protocol v1 belong to no device. */
function maySee(reach: Reach, topic: string): boolean {
  const device = deviceOf(topic);
  return device !== undefined && reach.has(device);
}

/** Whether a filter is one for the topics of devices in reach. With a wildcard for the device, `deliveryTest` leaves out the others. */
function mayFollow(reach: Reach, filter: string): boolean {
  const levels = filter.split('/');
  for (const [i, wanted] of protocolLevels.entries()) {
    const level = levels[i];
    if (level === '#') return true;
    if (level !== '+' && level !== wanted) return false;
  }
  const device = levels[protocolLevels.length];
  return device !== undefined && (device === '#' || device === '+' || reach.has(device));
}

const protocolLevels = ['aiot', 'v1'];

function deviceOf(topic: string): string | undefined {
  return isProtocolTopic(topic) ? topic.split('/')[protocolLevels.length] : undefined;
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
