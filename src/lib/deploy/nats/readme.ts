import type { RenderInput } from '../types.js';

/** What to do with the files, in the order of doing it; its commands are run by the tests. */
export function readme({ project, streams }: RenderInput): string {
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
