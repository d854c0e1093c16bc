import type { CheatSheet } from './types.js';

export const kafka: CheatSheet = {
  title: 'Kafka',
  about: 'A log: messages stay for a time, and each group of readers has its own place in it.',
  lines: [
    ['from now on', 'aiot stream tail kafka://127.0.0.1/readings'],
    ['all of it', 'aiot stream tail kafka://127.0.0.1/readings --from beginning'],
    ['the last ten minutes', 'aiot stream tail kafka://127.0.0.1/readings --since 10m'],
    ['as a group, whose place is kept', 'aiot stream tail kafka://127.0.0.1/readings --group iot'],
    ['publish with a key', `aiot stream pub kafka://127.0.0.1/readings '{"t": 21}' --message-key motor-1`],
    [
      'a file of messages, as fast as it goes',
      'aiot stream pub kafka://127.0.0.1/readings --file messages.ndjson --rate 0',
    ],
    ['which topics there are', 'aiot stream ls kafka://127.0.0.1'],
    [
      'how far groups are behind; exit 6 beyond 1000',
      'aiot stream lag kafka://127.0.0.1 --group iot --max 1000',
    ],
    ['make topics from a file', 'aiot stream create topics.yaml --at kafka://127.0.0.1'],
    [
      'SASL over TLS, kept for later',
      'aiot stream login kafkas://broker.example --username ana --password-file - --sasl scram-sha-512',
    ],
    ['what the broker can do', 'aiot stream check kafka://127.0.0.1'],
    [
      'copy MQTT into it, losing nothing',
      "aiot stream bridge 'mqtt://127.0.0.1/readings?clientId=b1&clean=false' kafka://127.0.0.1/readings",
    ],
  ],
  settings: [
    ['group=NAME', 'consumer group; without one no group is left behind'],
    ['from=beginning|latest|OFFSET|TIME', 'where to begin without a group, or with a new one'],
    ['partition=N', 'the only one to read, or to write to'],
    ['until=end', 'ends at what was the end when it began'],
    ['acks=all|1|0', 'who has to have what is written; all'],
    ['compression=none|gzip|snappy|lz4|zstd', 'of what is written'],
    ['sasl=plain|scram-sha-256|scram-sha-512', 'how name and password are shown'],
    ['clientId=NAME', 'what the broker calls us in its logs and quotas'],
  ],
};
