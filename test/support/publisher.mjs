// Publishes at QoS 1 as fast as possible, and prints the sequence number of each acknowledged message; ends with the
// connection. Usage: node publisher.mjs URL IDENTITY
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import mqtt from 'mqtt';

const [url, identity] = process.argv.slice(2);
const file = (name) => readFileSync(join(identity, name));
const client = await mqtt.connectAsync(url, {
  cert: file('device.crt'),
  key: file('device.key'),
  ca: file('ca.crt'),
  reconnectPeriod: 0,
});
client.on('close', () => process.exit(0));
client.on('error', () => {});
for (let seq = 0; seq < 200_000; seq += 1) {
  const payload = JSON.stringify({ seq, t: seq, rate: 10, recording: 'r', x: seq });
  client.publish('aiot/v1/dev/telemetry/s', payload, { qos: 1 }, (error) => {
    if (!error) process.stdout.write(`${seq}\n`);
  });
  if (seq % 50 === 0) await new Promise((resolve) => setTimeout(resolve, 5));
}
