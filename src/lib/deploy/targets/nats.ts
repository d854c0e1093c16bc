import { formatDuration } from '../../core/time.js';
import type { TopicSpec } from '../../stream/broker/admin.js';
import type { DeployTarget, RenderedFile, RenderInput } from '../types.js';
import { nothing } from '../values.js';

/** A NATS server with JetStream of one's own: TLS, a token, a store that is encrypted, and the streams of a project. */
export const natsTarget: DeployTarget = {
  name: 'nats',
  about: 'A NATS server with JetStream: TLS, a token, an encrypted store, and the streams of the project.',
  next: 'sh prepare.sh',
  usual: () => nothing,
  render(input: RenderInput): RenderedFile[] {
    const { streams } = input;
    const json = (value: object) => `${JSON.stringify(value, null, 2)}\n`;
    return [
      { path: 'README.md', text: readme(input), about: 'what to do with these files' },
      { path: 'nats.conf', text: serverConfig(input), about: 'the server' },
      { path: 'auth.conf', text: authConfig, about: 'who is let in: the token is in the environment' },
      { path: 'prepare.sh', text: prepareScript, about: 'makes token, key and certificates here' },
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

/**
 * The server's configuration (NATS docs, "Configuration"). Paths are of the folder that the server is started in. The name `nats` is
 * what the motion system's clients look for in its certificate.
 */
function serverConfig({ project }: RenderInput): string {
  const whose = project ? `the streams of ${project.config.name}` : 'the motion system';
  return `# NATS for ${whose}, rendered by aiot deploy render --target nats. README.md says how it is started:
# in this folder, with NATS_TOKEN and JS_KEY in its environment.

server_name: "nats"
listen: "0.0.0.0:4222"

# Figures and health (/healthz?js-enabled-only=true), for this machine alone: they need no token.
http: "127.0.0.1:8222"

# A file of its own, so that it can be kept apart.
include "auth.conf"

tls {
  cert_file: "certs/server.crt"
  key_file: "certs/server.key"
  ca_file: "certs/ca.crt"
  timeout: 5
  # Lets in only who has a certificate of this CA, besides the token:
  # verify: true
}

jetstream {
  store_dir: "store"
  max_memory_store: 1GB
  max_file_store: 1GB
  # What lies on disk is encrypted. Who loses the key loses the messages.
  cipher: "chacha"
  key: $JS_KEY
}
`;
}

const authConfig = `# The token itself is in the environment of the server, and in no file of this folder that is shared.
authorization {
  token: $NATS_TOKEN
  timeout: 5
}
`;

type ConsumerSpec = NonNullable<TopicSpec['consumers']>[number];

const nanoseconds = 1e6;

/** A stream as JetStream's API takes it, and `nats stream add --config` (NATS docs, "Streams": StreamConfig). */
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
    // The server allows no window that is longer than messages live.
    duplicate_window: (spec.duplicateWindowMs ?? Math.min(120_000, spec.maxAgeMs || 120_000)) * nanoseconds,
  };
}

/** A durable pull consumer as JetStream's API takes it (NATS docs, "Consumers": ConsumerConfig). */
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

/** The same for `aiot stream create`. */
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

/** A bare `y` is true to some readers of YAML, and `*` or `>` begin something else. */
const quoted = (text: string) => JSON.stringify(text);

/** Makes, where the server runs, what must be in no rendered file. POSIX sh and openssl; run again it leaves everything as it is. */
const prepareScript = `#!/bin/sh
# Makes what must be in no shared file: nats.env (the token, and the key of the store), a CA of your own, and certificates of the
# server and of a client. What is there stays. sh prepare.sh [NAME|ADDRESS]… : more names of the server, beside "nats".
set -eu
umask 077
cd "$(dirname "$0")"

if [ ! -e nats.env ]; then
  # They begin with a letter: the server would read digits as a number.
  echo "NATS_TOKEN=t$(openssl rand -hex 24)" >nats.env.part
  echo "JS_KEY=k$(openssl rand -hex 24)" >>nats.env.part
  mv nats.env.part nats.env
  echo "made nats.env: keep a copy of it elsewhere, without the key the store cannot be read"
fi

names="DNS:nats,DNS:localhost,IP:127.0.0.1"
for name in "$@"; do
  case $name in
    *:* | *[0-9].[0-9]*.[0-9]*.[0-9]*) names="$names,IP:$name" ;;
    *) names="$names,DNS:$name" ;;
  esac
done

mkdir -p certs
key() { openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "certs/$1.key" 2>/dev/null; }
if [ ! -e certs/ca.crt ]; then
  key ca
  openssl req -x509 -new -key certs/ca.key -subj "/CN=nats CA" -days 3650 -out certs/ca.crt
  echo "made certs/ca.crt"
fi
# signed NAME EXTENSIONS
signed() {
  [ -e "certs/$1.crt" ] && return
  key "$1"
  openssl req -new -key "certs/$1.key" -subj "/CN=$1" -out "certs/$1.csr"
  printf '%s\\n' "$2" >"certs/$1.ext"
  openssl x509 -req -in "certs/$1.csr" -CA certs/ca.crt -CAkey certs/ca.key -CAcreateserial -days 825 \\
    -extfile "certs/$1.ext" -out "certs/$1.crt" 2>/dev/null
  rm "certs/$1.csr" "certs/$1.ext"
  echo "made certs/$1.crt"
}
signed server "subjectAltName=$names
extendedKeyUsage=serverAuth"
signed client "extendedKeyUsage=clientAuth"
`;

/** What to do with the files, in the order of doing it; its commands are run by the tests. */
function readme({ project, streams }: RenderInput): string {
  const what = project ? `the streams of ${project.config.name}` : 'the motion system';
  const adding = streams.flatMap(({ name, consumers = [] }) => [
    `nats stream add ${name} --config streams/${name}.json`,
    ...consumers.map((consumer) => `nats consumer add ${name} --config consumers/${consumer.name}.json`),
  ]);
  return `# NATS for ${what}

Rendered by \`aiot deploy render --target nats\`. No file here holds a secret; \`prepare.sh\` makes them where the server runs.

## Start

\`\`\`sh
sh prepare.sh                     # nats.env and certs/: add the server's names and addresses, such as 192.168.1.10
set -a; . ./nats.env; set +a
nats-server -t -c nats.conf       # is the configuration good?
nats-server -c nats.conf          # in this folder: its paths are of here
\`\`\`

As a service, give the unit \`WorkingDirectory=\` (this folder), \`EnvironmentFile=\` (nats.env, mode 0600) and a user of its own.

## Streams

\`\`\`sh
export AIOT_STREAM_TOKEN=$NATS_TOKEN
aiot stream create streams.yaml --at 'nats://127.0.0.1:4222?servername=nats' --ca certs/ca.crt
\`\`\`

or, with NATS's own tool:

\`\`\`sh
${adding.join('\n')}
\`\`\`

## Use

Clients need the token, \`certs/ca.crt\`, and the server name \`nats\`; and \`certs/client.crt\` with its key once \`verify\` is on in nats.conf.

\`\`\`sh
aiot stream ls 'nats://127.0.0.1:4222?servername=nats' --ca certs/ca.crt
NATS_ADDRESS=127.0.0.1:4222 aiot loop run --stage extract --ca certs/ca.crt
curl -s '127.0.0.1:8222/healthz?js-enabled-only=true'
\`\`\`

- The store (\`store/\`) is encrypted with JS_KEY (ChaCha20-Poly1305). With another key the server does not read it.
- \`http\` in nats.conf has figures of the server without a token, and listens on 127.0.0.1 alone.
- \`aiot deploy render\` again changes what it has rendered, and refuses what you have edited.
`;
}
