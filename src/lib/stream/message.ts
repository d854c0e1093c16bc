import { AiotError } from '../core/errors.js';

/**
 * A name and its value; a name may occur more than once, and the order is kept. MQTT 5 user properties, NATS headers, Kafka
 * headers and HTTP headers. What MQTT 5 keeps in properties of its own travels under the names of `mqttHeaders`.
 */
export type Header = readonly [name: string, value: string | Uint8Array];

/** Headers that the MQTT adapter makes of MQTT 5's own properties, and properties of them again on the way out. */
export const mqttHeaders = {
  contentType: 'content-type',
  responseTopic: 'mqtt-response-topic',
  /** Bytes. */
  correlationData: 'mqtt-correlation-data',
  /** Seconds, as decimal text. */
  messageExpiryInterval: 'mqtt-message-expiry-interval',
  /** `1` when the sender says that the payload is UTF-8. */
  payloadFormatIndicator: 'mqtt-payload-format-indicator',
} as const;

/** Header with a message's dedupe key, written by routes with `exactlyOnce` and found again by them in `Sink.recent`. */
export const dedupeHeader = 'aiot-dedupe';

/** One message, whatever carried it. */
export interface Message {
  /** As its broker writes it: `a/b` in MQTT, `a.b` in NATS, a topic's name in Kafka. */
  topic: string;
  payload: Uint8Array;
  /**
   * ms since 1970: when its log says it was written (Kafka, JetStream), when the line in a file says, otherwise when it was
   * received.
   */
  time: number;
  /** Kafka's key. */
  key?: Uint8Array;
  headers?: readonly Header[];
  /** Kafka's record without a value, which deletes its key: not the same as an empty payload. */
  tombstone?: true;
  qos?: 0 | 1 | 2;
  retain?: boolean;
  /** Place in its log, to begin at again: `PARTITION:OFFSET` in Kafka, the sequence in JetStream. */
  position?: string;
  /** Where it came from: an endpoint without credentials. */
  source: string;
}

/** A message that its source keeps until it is told what became of it. One of the two is to be called, once. */
export interface Delivery {
  readonly message: Message;
  /** It is safe elsewhere: the source may forget it, and a camera fills its payload anew. */
  ack(): void;
  /** It is not: the source may send it again. */
  nack(): void;
}

/**
 * Where messages come from, in batches: what has come since the reader last asked, in its order, at least one. Iterating ends
 * when the source has no more, or is closed. Iterate once.
 */
export interface Source extends AsyncIterable<readonly Delivery[]> {
  /** Without credentials. */
  readonly endpoint: string;
  /** Messages thrown away because the reader was too slow; none with `overflow: 'wait'`. */
  readonly dropped: number;
  /**
   * Instead of the messages, where nobody wants to be told what became of them: their payloads alone, which cost a tenth. Absent
   * where a source has no such short way.
   */
  payloads?(): AsyncIterable<Payloads>;
  /** After what was acked has reached the far side. Afterwards no ack has any effect. */
  close(): Promise<void>;
}

/** Payloads and nothing else of their messages, in one piece of memory. */
export interface Payloads {
  /** The reader's own from now on. Between two payloads, and behind the last one, there is at least one byte that is none's. */
  bytes: Buffer;
  /** Where each begins in `bytes` and where it ends, two numbers each. */
  spans: Int32Array;
  count: number;
}

export type OutgoingMessage = Pick<Message, 'topic' | 'payload'> &
  Partial<Pick<Message, 'qos' | 'retain' | 'time' | 'key' | 'headers' | 'tombstone'>>;

/** Where messages go. */
export interface Sink {
  /** Without credentials. */
  readonly endpoint: string;
  /**
   * Resolves when the far side has all of them, safely (PUBACK, JetStream's ack, Kafka's acks=all, the disk's sync). A message
   * without a topic goes to the URL's. Several writes may be under way; their order is kept. When it rejects, any of them may have
   * arrived or not: writing them again may double them and loses none.
   */
  write(messages: readonly OutgoingMessage[]): Promise<void>;
  /**
   * What is there already, in batches, oldest first: everything written at `since` (ms since 1970) or later, by whomever, up to the end as it is
   * when asked. For a route that writes nothing twice (`dedupeHeader`). Absent where nobody can tell.
   */
  recent?(since: number): AsyncIterable<readonly Message[]>;
  /** After what was written has arrived. */
  close(): Promise<void>;
}

/** Credentials for the peer. PEM texts, not paths. */
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
  /** For S3. */
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
  /** For the MQTT subscription, or for published messages; default 1. */
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

/** `beginning`, `latest`, an offset or sequence, or a time (ISO 8601). @throws AIOT_USAGE */
export function positionFrom(text: string): NonNullable<StreamOptions['from']> {
  if (text === 'beginning' || text === 'latest') return text;
  if (/^\d{1,15}$/.test(text)) return Number(text);
  const time = /^\d{4}-\d\d-\d\d/.test(text) ? Date.parse(text) : Number.NaN;
  if (!Number.isNaN(time)) return { time };
  throw new AiotError(
    'AIOT_USAGE',
    `expected beginning, latest, an offset such as 1200, or a time such as 2026-11-20T10:00:00Z; got "${text}"`,
  );
}

/** A source's deliveries one by one, for readers that need no batches. */
export async function* deliveriesOf(source: Source): AsyncGenerator<Delivery> {
  for await (const batch of source) yield* batch;
}
