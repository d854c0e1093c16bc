import type { CheatSheet } from './types.js';

export const serial: CheatSheet = {
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

export const http: CheatSheet = {
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

export const s3: CheatSheet = {
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
