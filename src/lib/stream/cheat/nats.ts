import type { CheatSheet } from './types.js';

export const nats: CheatSheet = {
  title: 'NATS and JetStream',
  about: 'Core NATS keeps nothing and waits for nobody; a JetStream stream keeps what comes on its subjects.',
  lines: [
    ['everything, from now on', "aiot stream tail 'nats://127.0.0.1/>'"],
    ['one part free, the rest open', "aiot stream tail 'nats://127.0.0.1/plant.*.motor.>'"],
    [
      'what a stream has kept',
      "aiot stream tail 'nats://127.0.0.1/plant.>' --jetstream PLANT --from beginning",
    ],
    ['the last ten minutes of it', "aiot stream tail 'nats://127.0.0.1/plant.>' --since 10m"],
    [
      'with a consumer that remembers its place',
      "aiot stream tail 'nats://127.0.0.1/plant.>' --jetstream PLANT --durable ana",
    ],
    ['share the work among several readers', 'aiot stream tail nats://127.0.0.1/jobs --group workers'],
    [
      'publish; a stream that keeps it acknowledges',
      `aiot stream pub nats://127.0.0.1/plant.a '{"temperature": 21}'`,
    ],
    ['once, whoever sends it twice', 'aiot stream pub nats://127.0.0.1/plant.a 21 --header Nats-Msg-Id=a-1'],
    ['subjects, streams and rates', 'aiot stream ls nats://127.0.0.1 --for 10s'],
    ['how far consumers are behind', "aiot stream lag 'nats://127.0.0.1?stream=PLANT'"],
    ['make streams and consumers from a file', 'aiot stream create streams.yaml --at nats://127.0.0.1'],
    ['a user’s .creds, kept for later', 'aiot stream login nats://127.0.0.1 --creds user.creds'],
    ['what the server can do', 'aiot stream check nats://127.0.0.1'],
    [
      'copy a stream into Kafka, losing nothing',
      "aiot stream bridge 'nats://127.0.0.1/plant.>?stream=PLANT&durable=b1' kafka://127.0.0.1/plant",
    ],
  ],
  settings: [
    ['stream=NAME (or jetstream=NAME)', 'the stream; without it the one that keeps the subject'],
    ['durable=NAME', 'a consumer that remembers its place; a new one begins at the beginning, or at from'],
    ['group=NAME', 'queue group; with a stream the same as durable'],
    ['from=beginning|latest|SEQUENCE|TIME', 'where to begin in the stream'],
    ['until=end', 'ends at what was the end when it began'],
    ['jetstream=true|false', 'writing: refuse what no stream keeps | never wait for a stream'],
    ['window=N', 'most messages that are on their way to us unacknowledged; 2000'],
    ['servername=NAME', 'the name in the server’s certificate, where it is not the host’s'],
    ['tlsFirst', 'TLS before the server says hello'],
  ],
};
