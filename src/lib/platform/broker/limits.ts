/** What the broker bounds. Each is documented in docs/platform.md. */
export interface BrokerLimits {
  /** Largest payload, bytes; and largest packet before there is an identity. */
  payloadBytes: number;
  strangerBytes: number;
  clientIdLength: number;
  subscriptions: number;
  /** Longest filter, characters. */
  filterLength: number;
  /** QoS 2 messages of a client that are not released. */
  incoming: number;
  /** What waits for one session: the oldest is dropped. */
  queueMessages: number;
  queueBytes: number;
  /** What waits for all that are offline together, bytes. */
  queuesBytes: number;
  /** Persistent sessions of one device, of one user, and of all boards together. */
  sessionsPerDevice: number;
  sessionsPerUser: number;
  sessionsOfBoards: number;
  /** A session that nobody came back to is forgotten, ms. */
  sessionExpiryMs: number;
  retainedMessages: number;
  retainedBytes: number;
  /** Of a publisher: messages and bytes that are not stored yet; it is read no further. */
  unstoredMessages: number;
  unstoredBytes: number;
  /** QoS 0 messages are dropped for who has so many bytes waiting in its socket. */
  socketBytes: number;
  /** A socket without a CONNECT, and one that takes nothing, is cut, ms. */
  connectMs: number;
  stalledMs: number;
  /** Of one address: connections at a time, and new ones: at once, and a second. */
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
  incoming: 1000,
  queueMessages: 10_000,
  queueBytes: 16 * mega,
  queuesBytes: 256 * mega,
  sessionsPerDevice: 10,
  sessionsPerUser: 1000,
  sessionsOfBoards: 10_000,
  sessionExpiryMs: 30 * 86_400_000,
  retainedMessages: 100_000,
  retainedBytes: 64 * mega,
  unstoredMessages: 1000,
  unstoredBytes: 4 * mega,
  socketBytes: 8 * mega,
  connectMs: 10_000,
  stalledMs: 10_000,
  connectionsPerAddress: 16_000,
  burstPerAddress: 16_000,
  ratePerAddress: 500,
};
