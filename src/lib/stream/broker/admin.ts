/** What a broker says of itself and of what it carries: behind `stream ls`, `lag`, `check` and `create`. */
export interface StreamAdmin {
  /** Without credentials. */
  readonly endpoint: string;
  /** Topics, subjects or streams. MQTT and core NATS have no list: theirs are heard for `listenMs`. */
  topics(options: { listenMs: number; signal?: AbortSignal }): Promise<TopicState[]>;
  /** How far readers are behind; absent where a broker keeps no log. */
  lag?(options: { group?: string }): Promise<LagState[]>;
  /** Makes what is not there, changes what may be changed, and says what it did; absent where topics need no making. */
  create?(spec: TopicSpec, options: { dryRun: boolean }): Promise<CreateResult>;
  /** What this broker can do, tried, in the order of trying. */
  check(options: { signal?: AbortSignal }): Promise<CheckResult[]>;
  close(): Promise<void>;
}

export interface TopicState {
  topic: string;
  /** JetStream: which stream keeps it. */
  stream?: string;
  /** Messages in the log; absent where there is none. */
  messages?: number;
  bytes?: number;
  partitions?: number;
  /** Messages and bytes a second, measured while listening. */
  rate?: number;
  byteRate?: number;
  /** When the last one came, ms since 1970. */
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

/** One topic (Kafka) or stream (JetStream) as a file for `stream create` describes it. */
export interface TopicSpec {
  name: string;
  /** Kafka. */
  partitions?: number;
  replicas?: number;
  /** JetStream: which subjects it keeps. */
  subjects?: string[];
  storage?: 'file' | 'memory';
  /** What goes when a limit is reached: the oldest, or what is new (it is refused then). */
  discard?: 'old' | 'new';
  /** Durable consumers to be made with it, each of which is asked for messages and acknowledges every one. */
  consumers?: ConsumerSpec[];
  retention?: 'limits' | 'interest' | 'workqueue';
  /** Both: how long and how much is kept. ms, bytes, messages. */
  maxAgeMs?: number;
  maxBytes?: number;
  maxMessages?: number;
  /** JetStream: the window in which a message id counts as seen, ms. */
  duplicateWindowMs?: number;
  /** Kafka settings as they are called there, such as `cleanup.policy`. */
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
  /** A figure, a version, or why not and the next step. */
  detail: string;
}
