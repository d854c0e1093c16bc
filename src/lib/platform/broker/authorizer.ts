import { X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import type { Logger } from 'pino';
import type { BrokerAcl, BrokerAclResult, BrokerAuth, BrokerAuthResult } from '../../api/contract/broker.js';
import { sha256Hex } from '../../core/crypto.js';
import { FollowedReaches, type Reach } from '../access/reach.js';
import type { DeviceSecrets, Failures } from '../access/secrets.js';
import type { Tokens } from '../access/tokens.js';
import type { Sessions } from '../access/users.js';
import type { Devices } from '../devices/devices.js';
import type { Denial } from '../events/audit.js';
import type { Broker } from './broker.js';
import { type Identity, identify, mayPublish, mayUseFilterOutside, type UserIdentity } from './identity.js';

export interface AuthorizerParts {
  devices: Devices;
  tokens: Tokens;
  secrets?: DeviceSecrets | undefined;
  failures?: Failures | undefined;
  /** Closes a token's connections when the token ends. */
  sessions: Sessions;
  broker: Pick<Broker, 'figures'> & {
    /** Closes a user's connections at a broker that has asked the platform about the user. */
    disconnectUser(username: string): void;
    /** Whether `disconnectUser` ends connections, with their sessions and subscriptions. */
    endsUsers: boolean;
  };
  /**
   * `asked`: the broker asks about every publish and subscription. `fixed`: it gets a client's rights at CONNECT, so each change of the devices in
   * reach ends the connection. Absent = `asked`
   */
  rights?: 'asked' | 'fixed';
  denied?: ((denial: Denial) => void) | undefined;
  /** Whether the database is being checked or is damaged. */
  unavailable?: (() => boolean) | undefined;
  log: Logger;
}

/** User names of tokens. Devices' names cannot contain a colon. */
export const tokenUser = 'token:';

/** User names of the broker's own users, such as the platform itself. */
export const localUser = 'local:';

/** Longest accepted client certificate, characters of PEM. */
const longestCertificate = 16_384;

const longestClientId = 256;

/** Denies without a reason, because brokers do not forward reasons. The audit log contains the attempt. */
export const deny = { result: 'deny', is_superuser: false, superuser: false } as const;

/**
 * Answers external brokers with the same rules as the built-in broker: certificates, device secrets and tokens at CONNECT, and the rights by
 * topic afterward. A broker reports only the user name with a publish or a subscription. That name must therefore identify the client: the
 * device's name, or `token:ID`.
 */
export class Authorizer {
  /** Tokens whose clients are disconnected when the token ends, or when a device leaves its reach. */
  private readonly watched = new Map<string, Watched>();
  /** Tokens whose connections all have rights that this process has given or checked. */
  private readonly settled = new Set<string>();
  private readonly reaches: FollowedReaches;

  constructor(private readonly parts: AuthorizerParts) {
    this.reaches = new FollowedReaches(parts.devices);
  }

  /** Whether a client may connect. @param from address of the broker, used if the broker does not report the client's */
  async connect(asked: BrokerAuth, from: string): Promise<BrokerAuthResult> {
    if (asked.username?.startsWith(localUser)) return { ...deny, result: 'ignore' };
    const admitted = await this.admit(asked, from);
    if ('refused' in admitted) return deny;
    if (admitted.identity.kind !== 'user') return { ...deny, result: 'allow' };
    return { ...deny, result: 'allow', expire_at: Math.floor((admitted.expires ?? 0) / 1000) };
  }

  /**
   * Identifies a client that wants to connect. A refusal is in the audit log.
   * @param from address of the broker, used if the broker does not report the client's
   * @param how `named`: the client must state its user name, because the broker does not read it from the answer. `session`: the client has a
   * client id, which identifies its session
   */
  async admit(
    asked: BrokerAuth,
    from: string,
    { named, session } = { named: true, session: true },
  ): Promise<Admission | { refused: string }> {
    if (this.parts.unavailable?.()) return { refused: 'the platform is checking its database' };
    const names = namesOf(asked, from);
    const { username, clientId, address } = names;
    const refuse = (reason: string) => {
      this.refuse('mqtt connect', username || clientId, reason, address);
      return { refused: reason };
    };
    const identity = await this.identityOf(asked, names);
    if (identity === null) return { refused: this.reasonFor(asked, username) };
    const user = userOf(identity);
    if (user !== username && (named || username !== ''))
      return refuse(`expected the user name ${user} for these credentials, not another one`);
    // Brokers identify sessions by the client id alone, so a client with another client's id would receive that client's messages.
    if (session && clientId !== user && !clientId.startsWith(`${user}/`))
      return refuse('expected the user name as the client id, alone or followed by a slash and more text');
    if (clientId.length > longestClientId) return refuse('the client id is too long');
    if (identity.kind !== 'user') return { identity, user, expires: null };
    // A subscription stays open when its device leaves the reach.
    if (identity.reach !== null && !this.parts.broker.endsUsers)
      return refuse(
        'tokens limited to devices need --broker-control, so that the platform can end their subscriptions',
      );
    const { expires } = await this.parts.tokens.get(identity.token);
    // Without a pause between this and the answer, no change of the devices in between is missed.
    const reachable = this.watch(identity).names;
    this.settled.add(identity.token);
    return { identity, user, expires, ...(reachable ? { devices: [...reachable] } : {}) };
  }

  /**
   * Watches the token of a client that the broker lists. Returns whether its connections may have other rights, because its devices are
   * limited and another process admitted it. They must then be closed, and `settle` called.
   */
  async follow(token: string): Promise<boolean> {
    if (this.settled.has(token)) return false;
    const user = await this.parts.tokens.identityOf(token);
    if (!user) return false;
    this.watch(user);
    if (user.reach === null) this.settled.add(token);
    return user.reach !== null;
  }

  /** Records that connections of this token with possibly other rights are closed. */
  settle(token: string): void {
    if (this.watched.has(token)) this.settled.add(token);
  }

  /** Whether a client that was admitted under this user name may publish or subscribe. */
  async acl(asked: BrokerAcl, from: string): Promise<BrokerAclResult> {
    const { username, address } = namesOf(asked, from);
    if (username.startsWith(localUser)) return { result: 'ignore' };
    if (this.parts.unavailable?.()) return { result: 'deny' };
    const { action, topic } = asked;
    const identity = await this.admitted(username);
    const publishes = action === 'publish' || action === '2';
    const subscribes = action === 'subscribe' || action === '1';
    const may =
      identity !== null &&
      typeof topic === 'string' &&
      topic !== '' &&
      ((publishes && mayPublish(identity, topic)) || (subscribes && mayUseFilterOutside(identity, topic)));
    if (may) return { result: 'allow' };
    const what = publishes ? 'publish' : subscribes ? 'subscribe' : 'use';
    const reason =
      identity === null
        ? 'is no longer allowed to connect'
        : `no permission for ${(topic ?? '').slice(0, 200)}`;
    this.refuse(`mqtt ${what}`, username, reason, address);
    return { result: 'deny' };
  }

  private async identityOf(
    asked: BrokerAuth,
    { username, clientId, address }: Names,
  ): Promise<Identity | null> {
    const certificate = present(asked.certificate);
    const commonName = present(asked.commonName);
    if (certificate === undefined && commonName !== undefined) {
      // It is unknown which of the device's certificates the client presented.
      if (this.parts.devices.hasCertificate(commonName)) return { kind: 'device', name: commonName };
      this.refuse('mqtt connect', commonName, 'rejected a certificate', address);
      return null;
    }
    const password = present(asked.password);
    const known = await identify(
      this.identifyParts(),
      {
        peer: certificate === undefined ? null : peerFrom(certificate),
        secure: asked.tls === true || asked.tls === 'true',
        address,
      },
      {
        username: username === '' ? null : username,
        password: password === undefined ? null : Buffer.from(password),
        clientId,
      },
    );
    return typeof known === 'string' ? null : known;
  }

  /** Why credentials were rejected, for the log: the state of the device that they name. */
  private reasonFor(asked: BrokerAuth, username: string): string {
    const certificate = present(asked.certificate);
    const name = (certificate === undefined ? present(asked.commonName) : nameIn(certificate)) ?? username;
    const what = certificate === undefined ? 'token or secret' : 'certificate';
    const device = this.parts.devices.find(name);
    if (device === null) return `unknown ${what}`;
    const { state } = device;
    if (state === 'suspended' || state === 'revoked') return `the device ${device.name} is ${state}`;
    return certificate === undefined
      ? `wrong ${what} for the device ${device.name}`
      : `the certificate of the device ${device.name} was replaced, was revoked or has expired`;
  }

  private identifyParts() {
    const { broker, ...parts } = this.parts;
    return { ...parts, figures: broker.figures };
  }

  /** The client that a user name represents, with its current rights. */
  private async admitted(username: string): Promise<Identity | null> {
    const { devices, tokens } = this.parts;
    if (!username.startsWith(tokenUser))
      return devices.mayConnect(username) ? { kind: 'device', name: username } : null;
    const user = await tokens.identityOf(username.slice(tokenUser.length));
    // The connection may have been admitted by another replica, or before a restart.
    if (user?.reach && !this.parts.broker.endsUsers) return null;
    if (user) this.watch(user);
    return user;
  }

  /** Disconnects the token's clients when the token ends, when its role changes, and when devices leave its reach. */
  private watch(user: UserIdentity): Watched {
    const { token, reach } = user;
    const known = this.watched.get(token);
    if (known && known.reach === (reach?.text ?? null)) return known;
    const { broker, sessions, rights } = this.parts;
    const disconnect = () => broker.disconnectUser(tokenUser + token);
    if (known) {
      // Earlier connections have other rights. This request can come before `sessions` has compared them.
      known.end();
      disconnect();
    }
    const followed =
      reach &&
      this.reaches.follow(reach, (change) => {
        if (change === 'left' || rights === 'fixed') disconnect();
      });
    const stop = () => {
      followed?.end();
      if (this.watched.get(token) === one) this.watched.delete(token);
    };
    const forget = sessions.begin(user, () => {
      stop();
      this.settled.delete(token);
      disconnect();
    });
    const end = () => {
      stop();
      forget();
    };
    const one: Watched = { reach: reach?.text ?? null, names: followed?.names ?? null, end };
    this.watched.set(token, one);
    return one;
  }

  private refuse(what: string, name: string, reason: string, address: string): typeof deny {
    const { broker, denied, log } = this.parts;
    broker.figures.refused++;
    const who = name.slice(0, 64);
    log.debug({ user: who, address, what }, reason);
    denied?.({ who: 'nobody', what, reason: `${reason} (${who}, external broker)`, address });
    return deny;
  }
}

/** A token whose clients may be connected. */
interface Watched {
  /** The selectors that limit it; null = all devices. */
  reach: Reach['text'] | null;
  /** The devices in reach; null = all. */
  names: ReadonlySet<string> | null;
  end(): void;
}

/** A client that may connect. */
export interface Admission {
  identity: Identity;
  /** Names of the devices in reach; absent = all devices. */
  devices?: readonly string[];
  /** The client's user name at the broker. */
  user: string;
  /** Time when the token ends, ms since 1970; null for devices. */
  expires: number | null;
}

interface Names {
  username: string;
  clientId: string;
  address: string;
}

function namesOf(
  { username, clientId, address }: Pick<BrokerAuth, 'username' | 'clientId' | 'address'>,
  from: string,
): Names {
  const given = present(address) ?? '';
  return {
    username: username ?? '',
    clientId: clientId ?? '',
    address: isIP(given) === 0 ? `broker ${from}` : given,
  };
}

function userOf(identity: Identity): string {
  if (identity.kind === 'device') return identity.name;
  return identity.kind === 'user' ? tokenUser + identity.token : '';
}

/** A placeholder's value. For a missing value, brokers insert nothing or, in early EMQX 5, `undefined`. */
function present(value: string | null | undefined): string | undefined {
  return value === null || value === '' || value === 'undefined' ? undefined : value;
}

/** The common name in a certificate; undefined if there is none. */
function nameIn(pem: string): string | undefined {
  return /^CN=(.+)$/m.exec(certificateIn(pem)?.subject ?? '')?.[1];
}

/** A client's certificate; null if the text is not a certificate, or is too long. */
export function certificateIn(pem: string): X509Certificate | null {
  if (pem.length > longestCertificate) return null;
  try {
    return new X509Certificate(pem);
  } catch {
    return null;
  }
}

function peerFrom(pem: string): { fingerprint: string } | 'refused' {
  const certificate = certificateIn(pem);
  return certificate === null ? 'refused' : { fingerprint: sha256Hex(certificate.raw) };
}
