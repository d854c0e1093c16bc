import { formatDuration } from '../../core/time.js';
import type { TopicSpec } from '../../stream/broker/admin.js';
import { fillText, templateText } from '../template.js';
import type { DeployTarget, RenderedFile, RenderInput } from '../types.js';
import { nothing } from '../values.js';

/** A self-hosted NATS server with JetStream: TLS, a token, an encrypted store, and the streams of a project. */
export const natsTarget: DeployTarget = {
  name: 'nats',
  about: 'A NATS server with JetStream: TLS, a token, an encrypted store, and the streams of the project.',
  next: 'sh prepare.sh',
  usual: () => nothing,
  render({ project, streams }: RenderInput): RenderedFile[] {
    const json = (value: object) => `${JSON.stringify(value, null, 2)}\n`;
    const adding = streams.flatMap(({ name, consumers = [] }) => [
      `nats stream add ${name} --config streams/${name}.json`,
      ...consumers.map((consumer) => `nats consumer add ${name} --config consumers/${consumer.name}.json`),
    ]);
    const what = project ? `the streams of ${project.config.name}` : 'the motion system';
    const text = (name: string) => fillText(templateText(`nats/${name}`), { what, adding });
    return [
      { path: 'README.md', text: text('readme.txt'), about: 'instructions for these files' },
      // Clients of the motion system expect the name `nats` in the server's certificate.
      { path: 'nats.conf', text: text('nats.conf'), about: 'the server' },
      {
        path: 'auth.conf',
        text: text('auth.conf'),
        about: 'access control: the token is in the environment',
      },
      {
        path: 'prepare.sh',
        text: text('prepare.sh'),
        about: 'creates the token, key and certificates locally',
      },
      { path: 'streams.yaml', text: streamsYaml(streams), about: 'the streams, for aiot stream create' },
      ...streams.flatMap((stream) => [
        {
          path: `streams/${stream.name}.json`,
          text: json(streamDefinition(stream)),
          about: 'the stream, for nats stream add --config',
        },
        ...(stream.consumers ?? []).map((consumer) => ({
          path: `consumers/${consumer.name}.json`,
          text: json(consumerDefinition(consumer)),
          about: `a consumer of ${stream.name}, for nats consumer add --config`,
        })),
      ]),
    ];
  },
};

type ConsumerSpec = NonNullable<TopicSpec['consumers']>[number];

const nanoseconds = 1e6;

/** A stream in the format of JetStream's API and of `nats stream add --config` (NATS docs, "Streams": StreamConfig). */
function streamDefinition(spec: TopicSpec) {
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
    // The server does not allow a deduplication window that is longer than the lifetime of messages.
    duplicate_window: (spec.duplicateWindowMs ?? Math.min(120_000, spec.maxAgeMs || 120_000)) * nanoseconds,
  };
}

/** A durable pull consumer in the format of JetStream's API (NATS docs, "Consumers": ConsumerConfig). */
function consumerDefinition({ name, subject, ackWaitMs = 30_000, maxAckPending = 1000 }: ConsumerSpec) {
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

/** The streams and their consumers as a file for `aiot stream create`. */
function streamsYaml(streams: readonly TopicSpec[]): string {
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

/** A quoted string, because some YAML parsers read a bare `y` as true, and because `*` and `>` have special meanings. */
const quoted = (text: string) => JSON.stringify(text);
