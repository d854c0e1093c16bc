import { formatDuration } from '../../core/index.js';
import type { TopicSpec } from '../../stream/index.js';

type ConsumerSpec = NonNullable<TopicSpec['consumers']>[number];

const nanoseconds = 1e6;

/** A stream as JetStream's API takes it, and `nats stream add --config` (NATS docs, "Streams": StreamConfig). */
export function streamDefinition(spec: TopicSpec) {
  return {
    name: spec.name,
    subjects: spec.subjects ?? [spec.name],
    retention: spec.retention ?? 'limits',
    max_consumers: -1,
    max_msgs_per_subject: -1,
    max_msgs: spec.maxMessages ?? -1,
    max_bytes: spec.maxBytes ?? -1,
    max_age: (spec.maxAgeMs ?? 0) * nanoseconds,
    max_msg_size: -1,
    storage: spec.storage ?? 'file',
    discard: spec.discard ?? 'old',
    num_replicas: spec.replicas ?? 1,
    // The server allows no window that is longer than messages live.
    duplicate_window: (spec.duplicateWindowMs ?? Math.min(120_000, spec.maxAgeMs || 120_000)) * nanoseconds,
  };
}

/** A durable pull consumer as JetStream's API takes it (NATS docs, "Consumers": ConsumerConfig). */
export function consumerDefinition({
  name,
  subject,
  ackWaitMs = 30_000,
  maxAckPending = 1000,
}: ConsumerSpec) {
  return {
    durable_name: name,
    deliver_policy: 'all',
    ack_policy: 'explicit',
    ack_wait: ackWaitMs * nanoseconds,
    max_deliver: -1,
    ...(subject === undefined ? {} : { filter_subject: subject }),
    replay_policy: 'instant',
    max_ack_pending: maxAckPending,
  };
}

/** The same for `aiot stream create`. */
export function streamsYaml(streams: readonly TopicSpec[]): string {
  const lines = streams.flatMap((spec) => [
    `  - name: ${quoted(spec.name)}`,
    ...(spec.subjects ? [`    subjects: [${spec.subjects.map(quoted).join(', ')}]`] : []),
    ...plain('storage', spec.storage),
    ...plain('retention', spec.retention),
    ...plain('discard', spec.discard),
    ...plain('replicas', spec.replicas),
    ...plain('maxAge', spec.maxAgeMs && formatDuration(spec.maxAgeMs)),
    ...plain('duplicateWindow', spec.duplicateWindowMs && formatDuration(spec.duplicateWindowMs)),
    ...plain('maxBytes', spec.maxBytes),
    ...plain('maxMessages', spec.maxMessages),
    ...(spec.consumers && spec.consumers.length > 0 ? ['    consumers:'] : []),
    ...(spec.consumers ?? []).map(({ name, subject, ackWaitMs, maxAckPending }) => {
      const members = [
        `name: ${quoted(name)}`,
        ...(subject ? [`subject: ${quoted(subject)}`] : []),
        ...(ackWaitMs ? [`ackWait: ${formatDuration(ackWaitMs)}`] : []),
        ...(maxAckPending ? [`maxAckPending: ${maxAckPending}`] : []),
      ];
      return `      - { ${members.join(', ')} }`;
    }),
  ]);
  return `# The streams and their consumers: aiot stream create streams.yaml --at 'nats://HOST:4222?servername=nats' --ca certs/ca.crt\ntopics:\n${lines.join('\n')}\n`;
}

function plain(name: string, value: string | number | undefined): string[] {
  return value === undefined || value === 0 ? [] : [`    ${name}: ${value}`];
}

/** A bare `y` is true to some readers of YAML, and `*` or `>` begin something else. */
const quoted = (text: string) => JSON.stringify(text);
