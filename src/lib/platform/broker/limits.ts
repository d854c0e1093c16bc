/** Broker limits; each is documented in docs/reference/mqtt-broker.md. */
export interface BrokerLimits {
  /** Maximum size of a payload, and of a packet from an unidentified client, bytes. */
  payloadBytes: number;
  strangerBytes: number;
  clientIdLength: number;
  subscriptions: number;
  /** Maximum length of a filter, characters. */
  filterLength: number;
  /** Maximum number of levels in a topic or filter, because each costs memory and time for every message. */
  topicLevels: number;
  /** Maximum number of a client's unreleased QoS 2 messages; in MQTT 5, of all its unacknowledged messages. */
  incoming: number;
  /** Maximum number of topic aliases of a client in each direction. */
  topicAliases: number;
  /** Longest keep-alive interval of MQTT 5 clients, seconds; longer ones are shortened. 0 = no limit. */
  keepAliveSeconds: number;
  /** Maximum number of messages queued for one session; beyond this, the oldest is dropped. */
  queueMessages: number;
  queueBytes: number;
  /** Maximum number of bytes queued for all offline sessions together. */
  queuesBytes: number;
  /** Maximum number of persistent sessions of one device, of one user, and of all boards together. */
  sessionsPerDevice: number;
  sessionsPerUser: number;
  sessionsOfBoards: number;
  /** Time after which a session is deleted if its client does not return, ms. The client may request a shorter time. */
  sessionExpiryMs: number;
  retainedMessages: number;
  retainedBytes: number;
  /**
   * Maximum number of a publisher's unstored messages, and of their bytes; at either limit, reading from the publisher
   * pauses.
   */
  unstoredMessages: number;
  unstoredBytes: number;
  /**
   * Messages per second that a device, one client of a user, and all boards at one IP address may publish; 0 = no
   * limit. `publishBurst`: how many they may publish at once after a pause. Beyond this burst, the broker reads from
   * the client only at the given rate.
   */
  publishRateOfDevice: number;
  publishRateOfUser: number;
  publishRateOfBoards: number;
  publishBurst: number;
  /** QoS 0 messages are dropped for clients with this many bytes pending in the socket. */
  socketBytes: number;
  /** Timeouts for a socket without a CONNECT and for one that does not read, ms. */
  connectMs: number;
  stalledMs: number;
  /** Limits on the connections of one address: open at a time, burst of new ones, and new ones per second. */
  connectionsPerAddress: number;
  burstPerAddress: number;
  ratePerAddress: number;
}

const mega = 1024 ** 2;

export const brokerLimits: BrokerLimits = {
  payloadBytes: mega,
  strangerBytes: 16 * 1024,
  clientIdLength: 256,
  subscriptions: 1000,
  filterLength: 4096,
  topicLevels: 200,
  incoming: 1000,
  topicAliases: 32,
  keepAliveSeconds: 0,
  queueMessages: 10_000,
  queueBytes: 16 * mega,
  queuesBytes: 256 * mega,
  sessionsPerDevice: 10,
  sessionsPerUser: 1000,
  sessionsOfBoards: 10_000,
  sessionExpiryMs: 30 * 86_400_000,
  retainedMessages: 250_000,
  retainedBytes: 64 * mega,
  unstoredMessages: 1000,
  unstoredBytes: 4 * mega,
  publishRateOfDevice: 10_000,
  // Bridges and benchmarks publish with tokens, which only trusted users have.
  publishRateOfUser: 0,
  publishRateOfBoards: 10_000,
  publishBurst: 10_000,
  socketBytes: 8 * mega,
  connectMs: 10_000,
  stalledMs: 10_000,
  connectionsPerAddress: 16_000,
  burstPerAddress: 16_000,
  ratePerAddress: 500,
};

/** Limits for one address: open connections, burst of new ones, and new ones per second. */
export type AddressLimits = Pick<
  BrokerLimits,
  'connectionsPerAddress' | 'burstPerAddress' | 'ratePerAddress'
>;

/** Remaining credit, and the time when it was computed, in ms of the monotonic clock. */
interface Credit {
  credit: number;
  at: number;
}

interface Visitor extends Credit {
  open: number;
}

/** Adds the credit for the time since the last call. `rate`: credit per second; `burst`: the maximum. */
function refill(account: Credit, rate: number, burst: number, now: number): void {
  account.credit = Math.min(burst, account.credit + ((now - account.at) / 1000) * rate);
  account.at = now;
}

/**
 * The address that connections are counted under. An IPv4 address mapped to IPv6 (RFC 4291, 2.5.5.2) counts as the IPv4 address. For IPv6,
 * only the first 64 bits count, because a client can choose the rest.
 */
export function visitorOf(address: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1];
  if (mapped !== undefined) return mapped;
  if (!address.includes(':')) return address;
  const [plain = ''] = address.split('%');
  const [before = '', after] = plain.split('::');
  const head = before === '' ? [] : before.split(':');
  const tail = after ? after.split(':') : [];
  const zeros = after === undefined ? 0 : 8 - head.length - tail.length;
  const groups = [...head, ...Array<string>(Math.max(0, zeros)).fill('0'), ...tail];
  return `${groups
    .slice(0, 4)
    .map((group) => Number.parseInt(group, 16).toString(16))
    .join(':')}::/64`;
}

/** Counts connections by address: open ones, and new ones per second. */
export class Admission {
  private readonly visitors = new Map<string, Visitor>();

  constructor(
    private readonly limits: AddressLimits,
    private readonly elapsed: () => number,
  ) {}

  /** Whether another connection from this address is accepted. If so, `leave` must follow. */
  enter(address: string): boolean {
    const { connectionsPerAddress, burstPerAddress, ratePerAddress } = this.limits;
    const now = this.elapsed();
    const known = this.visitors.get(address);
    const visitor = known ?? { open: 0, credit: burstPerAddress, at: now };
    if (!known) this.visitors.set(address, visitor);
    refill(visitor, ratePerAddress, burstPerAddress, now);
    if (visitor.credit < 1 || visitor.open >= connectionsPerAddress) return false;
    visitor.credit--;
    visitor.open++;
    return true;
  }

  leave(address: string): void {
    const visitor = this.visitors.get(address);
    if (visitor) visitor.open--;
  }

  /** Forgets addresses whose last connection was long enough ago to restore their full credit. */
  sweep(): void {
    const { burstPerAddress, ratePerAddress } = this.limits;
    const now = this.elapsed();
    for (const [address, { open, credit, at }] of this.visitors) {
      const full = credit + ((now - at) / 1000) * ratePerAddress >= burstPerAddress;
      if (open === 0 && full) this.visitors.delete(address);
    }
  }
}

/**
 * Longest and shortest pause in reading from a client that publishes faster than its limit, ms. Timers are too imprecise for even shorter
 * pauses.
 */
const longestPauseMs = 1000;
const shortestPauseMs = 10;

/** The publish rate of one client. Its connections share it, so that reconnecting gains nothing. */
export class PublishRate implements Credit {
  /** Open connections. */
  users = 0;
  credit: number;
  at: number;

  constructor(
    private readonly perSecond: number,
    private readonly burst: number,
    private readonly elapsed: () => number,
  ) {
    this.credit = burst;
    this.at = elapsed();
  }

  /**
   * Counts a message. Returns how long reading must pause after the message, ms; 0 = no pause. The clock is read only
   * when the credit is used up.
   */
  count(): number {
    this.credit--;
    return this.credit >= 0 ? 0 : this.pauseMs();
  }

  /** Time until the next message may be read, ms; 0 = now. */
  pauseMs(): number {
    refill(this, this.perSecond, this.burst, this.elapsed());
    if (this.credit >= 0) return 0;
    const dueMs = (-this.credit / this.perSecond) * 1000;
    return Math.min(longestPauseMs, Math.max(shortestPauseMs, Math.ceil(dueMs)));
  }

  isFull(): boolean {
    refill(this, this.perSecond, this.burst, this.elapsed());
    return this.credit >= this.burst;
  }
}

/** The publish rates of all clients that have a limit, by client. */
export class PublishRates {
  private readonly rates = new Map<string, PublishRate>();

  constructor(
    private readonly limits: Pick<
      BrokerLimits,
      'publishRateOfDevice' | 'publishRateOfUser' | 'publishRateOfBoards' | 'publishBurst'
    >,
    private readonly elapsed: () => number,
  ) {}

  /**
   * The publish rate of a connecting client; null = no limit. The caller decrements `users` when the connection ends.
   * Boards are counted by address, because they may choose any client ID.
   */
  enter(
    kind: 'device' | 'user' | 'board',
    client: { device: string; key: string; address: string },
  ): PublishRate | null {
    const { publishRateOfDevice, publishRateOfUser, publishRateOfBoards, publishBurst } = this.limits;
    const [perSecond, id] = {
      device: [publishRateOfDevice, client.device] as const,
      user: [publishRateOfUser, client.key] as const,
      board: [publishRateOfBoards, visitorOf(client.address)] as const,
    }[kind];
    if (perSecond === 0) return null;
    const name = `${kind} ${id}`;
    const rate = this.rates.get(name) ?? new PublishRate(perSecond, publishBurst, this.elapsed);
    this.rates.set(name, rate);
    rate.users++;
    return rate;
  }

  /** Forgets clients that have been silent long enough to regain their full burst. */
  sweep(): void {
    for (const [name, rate] of this.rates) if (rate.users === 0 && rate.isFull()) this.rates.delete(name);
  }
}
