import { AiotError } from '../core/errors.js';
import type { TraceContext } from '../core/trace.js';

/**
 * A name and its value; names may repeat, and order is preserved. Represents MQTT 5 user properties, NATS headers, Kafka headers and
 * HTTP headers. MQTT 5's own properties have the names in `mqttHeaders`. A value is text if it is UTF-8, and otherwise bytes.
 */
export type Header = readonly [name: string, value: string | Uint8Array];

/**
 * Headers for MQTT 5's own properties. The MQTT adapter converts these properties to headers, and back when sending.
 */
export const mqttHeaders = {
  contentType: 'content-type',
  responseTopic: 'mqtt-response-topic',
  /** Bytes, unlike the other headers' values. */
  correlationData: 'mqtt-correlation-data',
  /** Seconds, as decimal text. */
  messageExpiryInterval: 'mqtt-message-expiry-interval',
  /** `1` if the sender declares the payload to be UTF-8. */
  payloadFormatIndicator: 'mqtt-payload-format-indicator',
} as const;

/** Header with a message's deduplication key. Routes with `exactlyOnce` write it, and read it back through `Sink.recent`. */
export const dedupeHeader = 'aiot-dedupe';

/** One message from any broker or file. */
export interface Message {
  /** Topic in the notation of its broker: `a/b` in MQTT, `a.b` in NATS, a plain name in Kafka. */
  topic: string;
  payload: Uint8Array;
  /** Time of the message, ms since 1970: from its log (Kafka, JetStream) or its line (files), otherwise the time of arrival. */
  time: number;
  /** Kafka's key. */
  key?: Uint8Array;
  headers?: readonly Header[];
  /**
   * Marks a Kafka record without a value, which deletes its key. A record with an empty payload does not delete its
   * key.
   */
  tombstone?: true;
  qos?: 0 | 1 | 2;
  retain?: boolean;
  /** Position in the message's log from which reading can resume: `PARTITION:OFFSET` in Kafka, the sequence number in JetStream. */
  position?: string;
  /** Origin of the message: an endpoint without credentials. */
  source: string;
  /** The message's trace, if this process records it. */
  trace?: TraceContext;
}

/** A message that its source retains until its outcome is known. Exactly one of `ack` and `nack` is called, once. */
export interface Delivery {
  readonly message: Message;
  /** The message is stored at its destination. The source may discard it, and a camera reuses the payload's memory. */
  ack(): void;
  /** The message was not stored. The source may resend it. */
  nack(): void;
}

/**
 * A source of messages in batches. Each batch contains, in order, all messages that arrived since the previous batch,
 * at least one. Iteration ends when the source has no more messages, or is closed. A source can be iterated only once.
 */
export interface Source extends AsyncIterable<readonly Delivery[]> {
  /** Address of the source, without credentials. */
  readonly endpoint: string;
  /** Number of messages dropped because the reader was too slow; 0 with `overflow: 'wait'`. */
  readonly dropped: number;
  /**
   * Yields only the payloads, which takes a tenth of the time, for readers that need neither other fields nor
   * acknowledgments. Absent if the source does not support it.
   */
  payloads?(): AsyncIterable<Payloads>;
  /**
   * Number of messages that no reader has acknowledged yet, counted over all readers that share the durable consumer or the
   * consumer group. Absent if the peer stores no position.
   * @throws if the peer does not answer
   */
  backlog?(): Promise<number>;
  /** Resolves once acks have reached the peer. Afterwards, acks have no effect. */
  close(): Promise<void>;
}

/** Payloads of messages, in one piece of memory. */
export interface Payloads {
  /** Memory that contains the payloads; the reader may overwrite it. At least one unused byte follows each payload. */
  bytes: Buffer;
  /** Start and end of each payload in `bytes`, as two numbers. */
  spans: Int32Array;
  count: number;
}

export type OutgoingMessage = Pick<Message, 'topic' | 'payload'> &
  Partial<Pick<Message, 'qos' | 'retain' | 'time' | 'key' | 'headers' | 'tombstone'>> & {
    /**
     * Time when the message expires, ms since 1970. Routes set it from `mqttHeaders.messageExpiryInterval`, because the
     * message may wait before it is written. Sinks get the header with the remaining seconds instead.
     */
    expires?: number;
  };

/** Destination of messages. */
export interface Sink {
  /** Address of the destination, without credentials. */
  readonly endpoint: string;
  /**
   * Resolves once the peer has stored all messages (PUBACK, JetStream's ack, Kafka's acks=all, the disk's sync). A
   * message without a topic is sent to the URL's topic. Several writes may be in progress; their order is preserved. If
   * the promise rejects, any of the messages may have arrived; writing them again may duplicate some but loses none.
   */
  write(messages: readonly OutgoingMessage[]): Promise<void>;
  /**
   * The messages already in the destination, in batches, oldest first: everything written by anyone at or after `since` (ms since
   * 1970), up to the current end. For routes that avoid duplicates (`dedupeHeader`). Absent if the destination cannot be read.
   */
  recent?(since: number): AsyncIterable<readonly Message[]>;
  /** Resolves once everything written has arrived. */
  close(): Promise<void>;
}

/** Credentials for the peer. Certificates and keys are PEM texts, not paths. */
export interface StreamCredentials {
  /** CA that signed the broker's certificate; absent = the system's CAs. */
  ca?: string;
  /** Client certificate and its key. */
  cert?: string;
  key?: string;
  /** User name and password, used if the URL has none. */
  username?: string;
  password?: string;
  /** How username and password are sent to Kafka; default = plain with TLS, none without a username. */
  sasl?: 'plain' | 'scram-sha-256' | 'scram-sha-512';
  /** Token (NATS, http's Bearer). */
  token?: string;
  /** HMAC key for signing and checking webhooks (http). */
  secret?: string;
  /** Contents of a NATS `.creds` file (JWT and NKey seed). */
  creds?: string;
  /** NKey seed (`SU…`). */
  nkey?: string;
  /** Session token of S3, in addition to username (access key) and password (secret key). */
  session?: string;
  /** Region of the S3 service. */
  region?: string;
}

/** Options for opening a stream, in addition to its URL. A setting in the URL's query (`?qos=1&clientId=b1`) takes precedence. */
export interface StreamOptions extends StreamCredentials {
  /** How long to wait for the first connection, ms; default 10 000. */
  connectTimeoutMs?: number;
  /** How long to wait for a broker that responds but is not ready yet, ms; default as `connectTimeoutMs` (Kafka). */
  readyTimeoutMs?: number;
  /**
   * Maximum number of messages queued for a reader that is slower than its source; default 10 000. Their total size is limited too; see
   * queue.ts.
   */
  queue?: number;
  /**
   * How to handle messages for which there is no room. `drop` (the default) drops and counts them; `wait` makes the
   * sender wait.
   */
  overflow?: 'drop' | 'wait';
  /** Start position in a log: `beginning`, `latest`, an offset or sequence number, or a time. Default: latest, or the group's position. */
  from?: 'beginning' | 'latest' | number | { time: number };
  /**
   * If set, the source ends where the log ended when the source was opened, instead of waiting for more messages
   * (Kafka).
   */
  until?: 'end';
  /** Consumer group (Kafka), queue group (NATS) or shared subscription (MQTT). Each message goes to one member. */
  group?: string;
  /** JetStream: name of the stream, if the subject is not sufficient to find it. */
  stream?: string;
  durable?: string;
  /** QoS of the MQTT subscription, or of published messages; default 1. */
  qos?: 0 | 1 | 2;
  /**
   * Whether to reject a message with headers if the destination cannot carry headers (MQTT 3.1.1), instead of writing
   * the message without them.
   */
  requireHeaders?: boolean;
  /** Called with the number of messages that were written without their headers. */
  onHeadersDropped?: (messages: number) => void;
  /** MQTT client id. A session that outlives the connection needs one, and `clean: false`. */
  clientId?: string;
  clean?: boolean;
  /** Context whose platform is used for `aiot:` addresses; default = the current one. */
  context?: string;
  /** Replaces the process's standard input as the source of `stdin:`. */
  input?: NodeJS.ReadableStream;
  /** The destination's response to a message (tcp). */
  onReply?: (reply: Uint8Array, message: OutgoingMessage) => void;
  /** Called when the connection is lost, with the reason if it is known, and when it is restored. */
  onState?: (state: 'connected' | 'disconnected', error?: AiotError) => void;
  /** Called once with a sentence about a setting that the peer has limited, such as an MQTT session's lifetime. */
  onNotice?: (notice: string) => void;
  signal?: AbortSignal;
}

/** Parses a start position: `beginning`, `latest`, an offset or sequence number, or a time (ISO 8601). @throws AIOT_USAGE */
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
