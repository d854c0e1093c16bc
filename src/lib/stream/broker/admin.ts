/** Administrative access to a broker and its topics; the basis of `stream list`, `lag`, `check` and `create`. */
export interface StreamAdmin {
  /** Address of the broker, without credentials. */
  readonly endpoint: string;
  /** Topics, subjects or streams. MQTT and core NATS brokers provide no list, so their topics are collected by listening for `listenMs`. */
  topics(options: { listenMs: number; signal?: AbortSignal }): Promise<TopicState[]>;
  /** Reports how far consumers are behind; absent if the broker keeps no log. */
  lag?(options: { group?: string }): Promise<LagState[]>;
  /** Creates missing topics, updates existing ones, and returns the changes; absent if topics need not be created. */
  create?(spec: TopicSpec, options: { dryRun: boolean }): Promise<CreateResult>;
  /** Tests the broker's capabilities one at a time. */
  check(options: { signal?: AbortSignal }): Promise<CheckResult[]>;
  close(): Promise<void>;
}

export interface TopicState {
  topic: string;
  /** Name of the JetStream stream that stores the topic. */
  stream?: string;
  /** Number of messages in the log; absent if the broker keeps no log. */
  messages?: number;
  bytes?: number;
  partitions?: number;
  /** Messages per second, measured while listening. */
  rate?: number;
  /** Bytes per second, measured while listening. */
  byteRate?: number;
  /** Arrival time of the last message, ms since 1970. */
  last?: number;
}

export interface LagState {
  /** A Kafka consumer group or a JetStream consumer. */
  group: string;
  topic: string;
  partition?: number;
  /** Offset of the next message that the group will read. */
  position: number;
  /** Offset of the next message that the broker will write. */
  end: number;
  lag: number;
  /** Number of messages that were delivered but not acknowledged yet (JetStream). */
  pending?: number;
  members?: number;
}

/** One topic (Kafka) or stream (JetStream), as described in a file for `stream create`. */
export interface TopicSpec {
  name: string;
  /** Number of partitions; Kafka only. */
  partitions?: number;
  replicas?: number;
  /** Subjects that the stream stores; JetStream only. */
  subjects?: string[];
  storage?: 'file' | 'memory';
  /** Whether a full stream deletes its oldest messages (`old`) or rejects new ones (`new`). */
  discard?: 'old' | 'new';
  /** Durable consumers to create with the stream; each requires explicit acknowledgment of every message. */
  consumers?: ConsumerSpec[];
  retention?: 'limits' | 'interest' | 'workqueue';
  /** Retention limits of Kafka and JetStream: age in ms, size in bytes, number of messages. */
  maxAgeMs?: number;
  maxBytes?: number;
  maxMessages?: number;
  /** Deduplication window of message ids, ms; JetStream only. */
  duplicateWindowMs?: number;
  /** Kafka settings by their Kafka names, such as `cleanup.policy`. */
  config?: Record<string, string>;
}

export interface ConsumerSpec {
  name: string;
  /** The consumer's subject filter; absent = all of the stream's subjects. */
  subject?: string;
  ackWaitMs?: number;
  maxAckPending?: number;
}

export interface CreateResult {
  name: string;
  did: 'created' | 'changed' | 'unchanged';
  /** The changes, each such as `partitions 1 → 3`. */
  changes: string[];
}

export interface CheckResult {
  /** The tested capability, such as `connects`, `TLS`, `QoS 1` or `JetStream`. */
  what: string;
  state: 'ok' | 'no' | 'failed' | 'skipped';
  /** A metric, a version, or the reason for a failure and the next step. */
  detail: string;
}
