/** What the broker counts, for $SYS and /metrics. */
export interface BrokerFigures {
  /** PUBLISH packets that came and were allowed, and that went out. */
  received: number;
  sent: number;
  /** Payloads that are not what the protocol says. */
  malformed: number;
  /** Connections, publishes and subscriptions that were not allowed. */
  refused: number;
  /** Messages that a session or a socket had no room for. */
  dropped: number;
  clients: number;
  /** Most clients at a time. */
  clientsMost: number;
  /** Sessions that were forgotten because nobody came back. */
  expired: number;
  /** Connections that were cut for what they did not do: CONNECT in time, ping, or read. */
  timedOut: number;
  /** Packets and bytes of the sockets, both ways. */
  packetsIn: number;
  packetsOut: number;
  bytesIn: number;
  bytesOut: number;
  payloadIn: number;
  payloadOut: number;
  connections: number;
}

/** How much the broker holds just now. */
export interface BrokerDepths {
  sessions: number;
  sessionsConnected: number;
  /** For sessions, of which bytes as of the last sweep. */
  queuedMessages: number;
  queuedBytes: number;
  retainedMessages: number;
  retainedBytes: number;
  subscriptions: number;
  /** Records of the log of sessions that wait for the disk. */
  logBacklog: number;
}

export function createFigures(): BrokerFigures {
  return {
    ...{ received: 0, sent: 0, malformed: 0, refused: 0, dropped: 0, clients: 0, clientsMost: 0, expired: 0 },
    ...{ timedOut: 0, packetsIn: 0, packetsOut: 0, bytesIn: 0, bytesOut: 0, payloadIn: 0, payloadOut: 0 },
    connections: 0,
  };
}
