/** Information about a broker and its contents: the basis of `stream list`, `lag`, `check` and `create`. */
export interface StreamAdmin {
  /** Without credentials. */
  readonly endpoint: string;
  /** Topics, subjects or streams. MQTT and core NATS have no list: their topics are collected by listening for `listenMs`. */
  topics(options: { listenMs: number; signal?: AbortSignal }): Promise<TopicState[]>;
  /** How far readers are behind; absent if the broker keeps no log. */
  lag?(options: { group?: string }): Promise<LagState[]>;
  /** Creates missing topics, updates existing ones, and returns the changes; absent if topics need not be created. */
  create?(spec: TopicSpec, options: { dryRun: boolean }): Promise<CreateResult>;
  /** The broker's capabilities, tested in order. */
  check(options: { signal?: AbortSignal }): Promise<CheckResult[]>;
  close(): Promise<void>;
}

export interface TopicState {
  topic: string;
  /** JetStream: the stream that stores it. */
  stream?: string;
  /** Messages in the log; absent if there is none. */
  messages?: number;
  bytes?: number;
  partitions?: number;
  /** Messages and bytes a second, measured while listening. */
  rate?: number;
  byteRate?: number;
  /** When the last one arrived, ms since 1970. */
  last?: number;
}

export interface LagState {
  /** Kafka's group, JetStream's consumer. */
  group: string;
  topic: string;
  partition?: number;
  /** Next to be read, and next to be written. */
  position: number;
  end: number;
  lag: number;
  /** Delivered, and not acknowledged yet (JetStream). */
  pending?: number;
  members?: number;
}

/** One topic (Kafka) or stream (JetStream), as described in a file for `stream create`. */
export interface TopicSpec {
  name: string;
  /** Kafka. */
  partitions?: number;
  replicas?: number;
  /** JetStream: the subjects it stores. */
  subjects?: string[];
  storage?: 'file' | 'memory';
  /** Messages discarded when a limit is reached: the oldest, or new ones (which are rejected). */
  discard?: 'old' | 'new';
  /** Durable consumers to create with it; each requires explicit acknowledgment of every message. */
  consumers?: ConsumerSpec[];
  retention?: 'limits' | 'interest' | 'workqueue';
  /** Both: retention limits. ms, bytes, messages. */
  maxAgeMs?: number;
  maxBytes?: number;
  maxMessages?: number;
  /** JetStream: the deduplication window of message ids, ms. */
  duplicateWindowMs?: number;
  /** Kafka settings by their Kafka names, such as `cleanup.policy`. */
  config?: Record<string, string>;
}

export interface ConsumerSpec {
  name: string;
  /** Subjects of the stream; absent = all. */
  subject?: string;
  ackWaitMs?: number;
  maxAckPending?: number;
}

export interface CreateResult {
  name: string;
  did: 'created' | 'changed' | 'unchanged';
  /** Such as `partitions 1 → 3`. */
  changes: string[];
}

export interface CheckResult {
  /** Such as `connects`, `TLS`, `QoS 1`, `JetStream`. */
  what: string;
  state: 'ok' | 'no' | 'failed' | 'skipped';
  /** A metric, a version, or the reason of a failure and the next step. */
  detail: string;
}
