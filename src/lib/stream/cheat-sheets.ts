/** The usual commands for one broker, ready to copy, and its address settings. */
export interface CheatSheet {
  title: string;
  /** The broker's storage and delivery guarantees, in one line. */
  about: string;
  /** Commands, each with its effect. */
  lines: readonly (readonly [what: string, command: string])[];
  /** The character that precedes the settings in the broker's address; default `?`. */
  mark?: '?' | '#';
  /** Settings that follow this character in the address, and their meanings. */
  settings: readonly (readonly [setting: string, meaning: string])[];
}

const kafka: CheatSheet = {
  title: 'Kafka',
  about: 'Kafka stores messages for a retention period. Each consumer group has its own position.',
  lines: [
    ['follow new messages', 'aiot stream tail kafka://127.0.0.1/readings'],
    ['read from the beginning', 'aiot stream tail kafka://127.0.0.1/readings --from beginning'],
    ['read the last ten minutes', 'aiot stream tail kafka://127.0.0.1/readings --since 10m'],
    ['read as a consumer group', 'aiot stream tail kafka://127.0.0.1/readings --group iot'],
    [
      'publish with a key',
      `aiot stream publish kafka://127.0.0.1/readings '{"t": 21}' --message-key motor-1`,
    ],
    [
      'publish a file of messages at full speed',
      'aiot stream publish kafka://127.0.0.1/readings --file messages.ndjson --rate 0',
    ],
    ['list topics', 'aiot stream list kafka://127.0.0.1'],
    [
      'show consumer lag; exit with 6 if it exceeds 1000',
      'aiot stream lag kafka://127.0.0.1 --group iot --max 1000',
    ],
    ['create topics from a file', 'aiot stream create topics.yaml --at kafka://127.0.0.1'],
    [
      'store a login (SASL over TLS)',
      'aiot stream login kafkas://broker.example --username ana --password-file - --sasl scram-sha-512',
    ],
    ['check the connection and the broker', 'aiot stream check kafka://127.0.0.1'],
    [
      'bridge from MQTT without losing messages',
      "aiot stream bridge 'mqtt://127.0.0.1/readings?clientId=b1&clean=false' kafka://127.0.0.1/readings",
    ],
  ],
  settings: [
    ['group=NAME', 'consumer group; default = none'],
    ['from=beginning|latest|OFFSET|TIME', 'starting point, if there is no group or the group is new'],
    ['partition=N', 'read or write only this partition'],
    ['until=end', 'stop after the last message that existed when reading started'],
    ['acks=all|1|0', 'acknowledgments to wait for when writing; default = all'],
    ['compression=none|gzip|snappy|lz4|zstd', 'compression of written messages'],
    ['sasl=plain|scram-sha-256|scram-sha-512', 'SASL mechanism'],
    ['clientId=NAME', "client name in the broker's logs and quotas"],
  ],
};

const mqtt: CheatSheet = {
  title: 'MQTT',
  about:
    'An MQTT broker stores one retained message per topic. At QoS 1 and 2, it keeps messages until they are acknowledged.',
  lines: [
    ['follow all topics', "aiot stream tail 'mqtt://127.0.0.1/#'"],
    [
      'filter with a wildcard and an expression',
      "aiot stream tail 'mqtt://127.0.0.1/plant/+/motor' --where 'temperature > 80'",
    ],
    ['publish and wait for the PUBACK', `aiot stream publish mqtt://127.0.0.1/plant/a '{"temperature": 21}'`],
    ['publish a retained message', 'aiot stream publish mqtt://127.0.0.1/plant/a/state on --retain'],
    [
      'publish with user properties (MQTT 5)',
      'aiot stream publish mqtt://127.0.0.1/plant/a 21.5 --header unit=C --header room=12',
    ],
    ['list topics and their rates', "aiot stream list 'mqtt://127.0.0.1/#' --for 10s"],
    ['share messages among several readers', "aiot stream tail 'mqtt://127.0.0.1/jobs/#' --group workers"],
    ['use a persistent session', "aiot stream tail 'mqtt://127.0.0.1/plant/#?clientId=ana&clean=false'"],
    [
      'connect with a client certificate',
      'aiot stream tail mqtts://127.0.0.1/plant/a --ca ca.pem --cert me.pem --key me.key',
    ],
    ['diagnose a connection', 'aiot stream check mqtts://broker.example --ca ca.pem'],
    ['record messages for a minute', "aiot stream record 'mqtt://127.0.0.1/#' --out x.ndjson --for 1m"],
    [
      'in CI: expect a message within 5 s',
      "aiot stream tail 'mqtt://127.0.0.1/plant/#' --expect 'temperature > 80' --within 5s",
    ],
  ],
  settings: [
    ['qos=0|1|2', 'QoS of the subscription or of published messages; default = 1'],
    ['retain', 'publish retained messages'],
    ['clientId=NAME, clean=false', 'persistent session'],
    ['expiry=SECONDS', 'session expiry (MQTT 5); default = never'],
    ['group=NAME', 'shared subscription, like $share/NAME/FILTER'],
    ['version=auto|5|3.1.1|3.1', 'protocol version; default = auto (5, or else 3.1.1)'],
    ['noLocal', 'omit messages that this client published (MQTT 5)'],
    ['retained=false', 'omit retained messages (MQTT 5)'],
    ['retainAsPublished', "keep the sender's retain flag (MQTT 5)"],
    ['keepalive=SECONDS', 'ping interval; default = 60'],
  ],
};

const nats: CheatSheet = {
  title: 'NATS and JetStream',
  about: 'Core NATS stores nothing. A JetStream stream stores the messages of its subjects.',
  lines: [
    ['follow all subjects', "aiot stream tail 'nats://127.0.0.1/>'"],
    ['use wildcards', "aiot stream tail 'nats://127.0.0.1/plant.*.motor.>'"],
    [
      'read a stream from the beginning',
      "aiot stream tail 'nats://127.0.0.1/plant.>' --jetstream PLANT --from beginning",
    ],
    ['read the last ten minutes of a stream', "aiot stream tail 'nats://127.0.0.1/plant.>' --since 10m"],
    [
      'read with a durable consumer',
      "aiot stream tail 'nats://127.0.0.1/plant.>' --jetstream PLANT --durable ana",
    ],
    ['share messages among several readers', 'aiot stream tail nats://127.0.0.1/jobs --group workers'],
    [
      'publish, and wait until the stream acknowledges',
      `aiot stream publish nats://127.0.0.1/plant.a '{"temperature": 21}'`,
    ],
    [
      'publish without duplicates',
      'aiot stream publish nats://127.0.0.1/plant.a 21 --header Nats-Msg-Id=a-1',
    ],
    ['list subjects, streams and rates', 'aiot stream list nats://127.0.0.1 --for 10s'],
    ['show consumer lag', "aiot stream lag 'nats://127.0.0.1?stream=PLANT'"],
    ['create streams and consumers from a file', 'aiot stream create streams.yaml --at nats://127.0.0.1'],
    ['store a login (.creds file)', 'aiot stream login nats://127.0.0.1 --creds user.creds'],
    ['check the connection and the server', 'aiot stream check nats://127.0.0.1'],
    [
      'bridge a stream to Kafka without losing messages',
      "aiot stream bridge 'nats://127.0.0.1/plant.>?stream=PLANT&durable=b1' kafka://127.0.0.1/plant",
    ],
  ],
  settings: [
    ['stream=NAME (or jetstream=NAME)', 'the stream; default = the one that stores the subject'],
    ['durable=NAME', 'durable consumer; a new one starts at the beginning, or at from'],
    ['group=NAME', 'queue group; for a stream, the same as durable'],
    ['from=beginning|latest|SEQUENCE|TIME', 'starting point in the stream'],
    ['until=end', 'stop after the last message that existed when reading started'],
    [
      'jetstream=true|false',
      'when writing: true rejects subjects without a stream; false never waits for a stream',
    ],
    ['window=N', 'maximum unacknowledged messages; default = 2000'],
    ['servername=NAME', "name in the server's certificate, if it differs from the host"],
    ['ackWait=DURATION', 'time after which a new consumer redelivers a message; default = 30s'],
    ['tlsFirst', "start TLS before the server's greeting"],
  ],
};

const serial: CheatSheet = {
  title: 'Serial lines',
  about: 'Each line of text is a message. The port is reopened when a board is plugged in again.',
  lines: [
    ['list ports', 'aiot board ports'],
    ["follow a board's output", "aiot stream tail 'serial:///dev/ttyUSB0?baud=115200'"],
    ['plot a number in JSON lines', 'aiot stream tail serial:///dev/ttyUSB0 --plot temperature'],
    ['send a line', 'aiot stream publish serial:///dev/ttyUSB0 led=1'],
    ['bridge lines to a broker', 'aiot stream bridge serial:///dev/ttyUSB0 mqtt://127.0.0.1/board'],
    ['record lines', 'aiot stream record serial:///dev/ttyUSB0 --out board.ndjson'],
  ],
  settings: [
    ['baud=115200', 'bits per second'],
    ['topic=NAME', "topic of the messages; default = the port's name"],
    ['parity=none|even|odd, dataBits=7|8, stopBits=1|2', 'character format'],
    ['line=BYTES', 'maximum line length; longer lines are split'],
  ],
};

const http: CheatSheet = {
  title: 'HTTP and webhooks',
  about:
    'As a source, aiot is a server that responds once the message is stored. As a destination, it is a client that retries.',
  lines: [
    ['show requests to this machine', 'aiot stream tail http://127.0.0.1:12000/example'],
    ['bridge webhooks to Kafka', 'aiot stream bridge http://0.0.0.0:12000/example kafka://127.0.0.1/events'],
    [
      'accept only signed webhooks',
      'aiot stream bridge "http://0.0.0.0:12000/example#secret=$SECRET" kafka://127.0.0.1/events',
    ],
    [
      'POST each message on a topic',
      'aiot stream bridge mqtt://127.0.0.1/alerts https://hooks.example/alert',
    ],
    ['POST one message', `aiot stream publish https://hooks.example/alert '{"motor": 1}'`],
    ['store a Bearer token', 'aiot stream login https://hooks.example --token-file - --untried'],
    ['check the server and its certificate', 'aiot stream check https://hooks.example'],
  ],
  // In an HTTP address, the part after `?` is for the server.
  mark: '#',
  settings: [
    ['secret=KEY', 'sign requests, or reject unsigned requests (Standard Webhooks); also AIOT_STREAM_SECRET'],
    ['method=PUT', 'use PUT instead of POST'],
    [
      'parallel=8',
      'number of concurrent requests; messages with the same key, or else the same topic, stay in order',
    ],
    ['headers=false', 'omit the headers aiot-topic, aiot-time and aiot-key'],
    ['limit=1MB', 'maximum body size'],
    ['wait=30', 'seconds before a sender receives 503'],
    ['topic=NAME', 'topic of the messages; default = the path'],
  ],
};

const s3: CheatSheet = {
  title: 'S3',
  about:
    'Each message becomes an object whose key comes from a template. Works with AWS, MinIO, versitygw, Garage and Ceph.',
  lines: [
    [
      'store pictures as face0.png, face1.png, …',
      "aiot stream bridge mqtt://127.0.0.1/faces 's3://bucket/faces/face{n}.png?endpoint=http://127.0.0.1:9000'",
    ],
    ['read objects as messages', "aiot stream tail 's3://bucket/faces/?endpoint=http://127.0.0.1:9000'"],
    [
      'write one object',
      "aiot stream publish 's3://bucket/notes/hello.txt?endpoint=http://127.0.0.1:9000' hello",
    ],
    [
      'store access key and secret',
      'aiot stream login s3://bucket --username ACCESS_KEY --password-file - --untried',
    ],
    ['check access to the bucket', "aiot stream check 's3://bucket?endpoint=http://127.0.0.1:9000'"],
  ],
  settings: [
    ['endpoint=URL', 'server other than AWS; also AWS_ENDPOINT_URL'],
    ['region=NAME', 'region; also AWS_REGION; default = us-east-1'],
    ['type=image/png', 'Content-Type of the objects; default = that of the message'],
    ['parallel=8', 'number of concurrent requests'],
  ],
};

/**
 * Sheets by the NAME in `aiot examples NAME`. docs/reference/stream-examples.md is also generated from this table.
 */
export const cheatSheets = { kafka, mqtt, nats, serial, http, s3 } satisfies Record<string, CheatSheet>;

/** The settings of each sheet as Markdown, with its first command, for docs/reference/stream-examples.md. */
export function cheatMarkdown(): string {
  return Object.entries(cheatSheets)
    .map(([name, { title, about, lines, mark = '?', settings }]: [string, CheatSheet]) => {
      const [, example = ''] = lines[0] ?? [];
      const rows = settings.map(([setting, meaning]) => `| ${cell(setting)} | ${cell(meaning)} |`);
      const after =
        rows.length > 0 ? `\n\n| after the \`${mark}\` | |\n| --- | --- |\n${rows.join('\n')}` : '';
      return `## ${title}\n\n${about} More commands: \`aiot examples ${name}\`.\n\n\`\`\`sh\n${example}\n\`\`\`${after}`;
    })
    .join('\n\n');
}

/** Escapes bars, which would end a table cell. */
function cell(text: string): string {
  return text.replaceAll('|', '\\|');
}
