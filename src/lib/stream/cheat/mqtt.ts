import type { CheatSheet } from './types.js';

export const mqtt: CheatSheet = {
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
