/** The usual commands for one broker, to copy, and the settings of its address. */
export interface CheatSheet {
  title: string;
  /** One line: what the broker keeps and promises. */
  about: string;
  /** Commands, each with what it does. */
  lines: readonly (readonly [what: string, command: string])[];
  /** The mark before its settings; default `?`. */
  mark?: '?' | '#';
  /** In its address, behind that mark. */
  settings: readonly (readonly [setting: string, meaning: string])[];
}

const kafka: CheatSheet = {
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

const mqtt: CheatSheet = {
  title: 'MQTT',
  about:
    'Keeps nothing but one retained message a topic; QoS 1 and 2 hold a message until it is acknowledged.',
  lines: [
    ['everything', "aiot stream tail 'mqtt://127.0.0.1/#'"],
    [
      'one level, with an expression',
      "aiot stream tail 'mqtt://127.0.0.1/plant/+/motor' --where 'temperature > 80'",
    ],
    ['publish and wait for the PUBACK', `aiot stream pub mqtt://127.0.0.1/plant/a '{"temperature": 21}'`],
    ['keep it for later subscribers', 'aiot stream pub mqtt://127.0.0.1/plant/a/state on --retain'],
    ['which topics there are, and their rates', "aiot stream ls 'mqtt://127.0.0.1/#' --for 10s"],
    ['share the work among several readers', "aiot stream tail 'mqtt://127.0.0.1/jobs/#' --group workers"],
    ['a session that outlives us', "aiot stream tail 'mqtt://127.0.0.1/plant/#?clientId=ana&clean=false'"],
    [
      'TLS with a client certificate',
      'aiot stream tail mqtts://127.0.0.1/plant/a --ca ca.pem --cert me.pem --key me.key',
    ],
    ['why does it not connect', 'aiot stream check mqtts://broker.example --ca ca.pem'],
    ['record, and play again elsewhere', "aiot stream record 'mqtt://127.0.0.1/#' --out x.ndjson --for 1m"],
    [
      'in CI: a hot motor within 5 s',
      "aiot stream tail 'mqtt://127.0.0.1/plant/#' --expect 'temperature > 80' --within 5s",
    ],
  ],
  settings: [
    ['qos=0|1|2', 'of the subscription, or of what is published; 1'],
    ['retain', 'what is published is kept for later subscribers'],
    ['clientId=NAME, clean=false', 'a session that the broker keeps while we are away'],
    ['expiry=SECONDS', 'how long it keeps that session (MQTT 5)'],
    ['group=NAME', 'shared subscription: each message goes to one of its members'],
    ['version=3.1|3.1.1|5', 'instead of 5, and 3.1.1 where the broker has no 5'],
    ['noLocal', 'nothing that this client has published itself (MQTT 5)'],
    ['retained=false', 'no retained messages at the beginning (MQTT 5)'],
  ],
};

const nats: CheatSheet = {
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

const serial: CheatSheet = {
  title: 'Serial lines',
  about: 'Each line of text is a message. A board that is unplugged is waited for.',
  lines: [
    ['which ports there are', 'aiot device ports'],
    ['what a board says', "aiot stream tail 'serial:///dev/ttyUSB0?baud=115200'"],
    ['plot a number in its JSON', 'aiot stream tail serial:///dev/ttyUSB0 --plot temperature'],
    ['say something to it', 'aiot stream pub serial:///dev/ttyUSB0 led=1'],
    ['put its lines on a broker', 'aiot stream bridge serial:///dev/ttyUSB0 mqtt://127.0.0.1/board'],
    ['keep them in a file', 'aiot stream record serial:///dev/ttyUSB0 --out board.ndjson'],
  ],
  settings: [
    ['baud=115200', 'bits a second'],
    ['topic=NAME', 'of the messages; default = the port’s name'],
    ['parity=none|even|odd, dataBits=7|8, stopBits=1|2', 'how a character is sent'],
    ['line=BYTES', 'longest line; longer ones come in pieces'],
  ],
};

const http: CheatSheet = {
  title: 'HTTP and webhooks',
  about: 'As a source a server that answers when the message is safe; as a sink a client that tries again.',
  lines: [
    ['see what somebody POSTs here', 'aiot stream tail http://127.0.0.1:12000/example'],
    [
      'webhooks into Kafka, answered when Kafka has them',
      'aiot stream bridge http://0.0.0.0:12000/example kafka://127.0.0.1/events',
    ],
    [
      'the same, taking only what is signed',
      'aiot stream bridge "http://0.0.0.0:12000/example#secret=$SECRET" kafka://127.0.0.1/events',
    ],
    [
      'each message of a topic as a POST',
      'aiot stream bridge mqtt://127.0.0.1/alerts https://hooks.example/alert',
    ],
    ['POST one', `aiot stream pub https://hooks.example/alert '{"motor": 1}'`],
    ['a Bearer token, kept for later', 'aiot stream login https://hooks.example --token-file - --untried'],
    ['does it answer, and with which certificate', 'aiot stream check https://hooks.example'],
  ],
  // An http address's own query belongs to the far side.
  mark: '#',
  settings: [
    [
      'secret=KEY',
      'sign what is POSTed, refuse what is not signed (Standard Webhooks); or AIOT_STREAM_SECRET',
    ],
    ['method=PUT', 'instead of POST'],
    ['parallel=8', 'requests under way; those of one key, or else one topic, keep their order'],
    ['headers=false', 'no aiot-topic, aiot-time and aiot-key with what is POSTed'],
    ['limit=1MB', 'longest body that is taken'],
    ['wait=30', 'seconds until a sender is told to come again'],
    ['topic=NAME', 'of the messages; default = the path'],
  ],
};

const s3: CheatSheet = {
  title: 'S3',
  about: 'Each message is an object, under a key made of a template. AWS, MinIO, versitygw, Garage, Ceph.',
  lines: [
    [
      'pictures of a topic as face0.png, face1.png, …',
      "aiot stream bridge mqtt://127.0.0.1/faces 's3://bucket/faces/face{n}.png?endpoint=http://127.0.0.1:9000'",
    ],
    ['objects as messages', "aiot stream tail 's3://bucket/faces/?endpoint=http://127.0.0.1:9000'"],
    ['one object', "aiot stream pub 's3://bucket/notes/hello.txt?endpoint=http://127.0.0.1:9000' hello"],
    [
      'access key and secret, kept for later',
      'aiot stream login s3://bucket --username ACCESS_KEY --password-file - --untried',
    ],
    ['what may be done in it', "aiot stream check 's3://bucket?endpoint=http://127.0.0.1:9000'"],
  ],
  settings: [
    ['endpoint=URL', 'of a server that is not AWS; or AWS_ENDPOINT_URL'],
    ['region=NAME', 'or AWS_REGION; us-east-1'],
    ['type=image/png', 'Content-Type of the objects; default = what the message says or looks like'],
    ['parallel=8', 'objects under way at a time'],
  ],
};

/** By the name of `aiot cheat NAME`; docs/streams.md is made from the same. */
export const cheatSheets = { kafka, mqtt, nats, serial, http, s3 } satisfies Record<string, CheatSheet>;

/** All sheets as a part of docs/streams.md. */
export function cheatMarkdown(): string {
  return Object.entries(cheatSheets)
    .map(([name, { title, about, lines, mark = '?', settings }]: [string, CheatSheet]) => {
      const commands = lines.map(([what, command]) => `# ${what}\n${command}`).join('\n');
      const rows = settings.map(([setting, meaning]) => `| ${cell(setting)} | ${cell(meaning)} |`);
      const after =
        rows.length > 0 ? `\n\n| after the \`${mark}\` | |\n| --- | --- |\n${rows.join('\n')}` : '';
      return `### ${title}\n\n${about} (\`aiot cheat ${name}\`)\n\n\`\`\`sh\n${commands}\n\`\`\`${after}`;
    })
    .join('\n\n');
}

/** A bar ends a cell of a table. */
function cell(text: string): string {
  return text.replaceAll('|', '\\|');
}
