import type { OutgoingMessage } from './message.js';

/** Who we are to the far side. PEM texts, not paths. */
export interface StreamCredentials {
  /** CA that signed the broker's certificate; absent = the system's. */
  ca?: string;
  /** Client certificate and its key. */
  cert?: string;
  key?: string;
  /** Used where the URL has none. */
  username?: string;
  password?: string;
  /** How username and password are shown to Kafka; default = plain with TLS, none without a username. */
  sasl?: 'plain' | 'scram-sha-256' | 'scram-sha-512';
  /** Token (NATS, http's Bearer). */
  token?: string;
  /** Key of the HMAC with which webhooks are signed and checked (http). */
  secret?: string;
  /** Contents of a NATS `.creds` file (JWT and NKey seed). */
  creds?: string;
  /** NKey seed (`SU…`). */
  nkey?: string;
  /** Session token beside username (access key) and password (secret key) of S3. */
  session?: string;
  /** Of S3. */
  region?: string;
}

/**
 * What opening a stream may need besides its URL. What a URL's query can also say (`?qos=1&clientId=b1`) the query says first.
 */
export interface StreamOptions extends StreamCredentials {
  /** Longest wait for the first connection, ms; default 10 000. */
  connectTimeoutMs?: number;
  /** Messages kept for a reader that is slower than its source; default 10 000. Their bytes are bounded too: see queue.ts. */
  queue?: number;
  /** What becomes of a message for which there is no room; default `drop` (and counted). `wait` holds the far side up. */
  overflow?: 'drop' | 'wait';
  /** Where to begin in a log: its beginning, now, an offset or sequence, or a time. Default: latest, or where the group stands. */
  from?: 'beginning' | 'latest' | number | { time: number };
  /** Ends where a log ends when it is opened, instead of waiting for more (Kafka). */
  until?: 'end';
  /** Consumer group (Kafka), queue group (NATS), shared subscription (MQTT): each message goes to one of its members. */
  group?: string;
  /** JetStream: the stream, when it is not found by the subject; and a consumer that remembers where it stood. */
  stream?: string;
  durable?: string;
  /** Of the MQTT subscription, or of what is published; default 1. */
  qos?: 0 | 1 | 2;
  /** MQTT: a session that outlives the connection needs a name, and `clean: false`. */
  clientId?: string;
  clean?: boolean;
  /** Name of the platform that `aiot:` stands for; default = the one in use. */
  context?: string;
  /** stdin, where it is not the process's own. */
  input?: NodeJS.ReadableStream;
  /** What the far side answered to a message (tcp). */
  onReply?: (reply: Uint8Array, message: OutgoingMessage) => void;
  /** Connection lost and found again. */
  onState?: (state: 'connected' | 'disconnected') => void;
  signal?: AbortSignal;
}
