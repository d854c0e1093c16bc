import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import mqtt, { type IClientOptions } from 'mqtt';
import { root } from './cli.js';
import { mqttGo, mqttRust, python } from './real.js';

/** A message as sent or received by a client. */
export interface ClientMessage {
  topic: string;
  payload: string;
  qos: 0 | 1 | 2;
  retain: boolean;
  /** MQTT 5 user properties. */
  user: [string, string][];
}

type Sent = Pick<ClientMessage, 'topic' | 'payload' | 'qos' | 'retain'>;

/**
 * A task for a client library: connect, publish `before`, subscribe, publish `live`, and receive. With a will: connect, and then
 * vanish.
 */
export interface ClientTask {
  version: 4 | 5;
  host: string;
  port: number;
  webSocket: boolean;
  /** PEM files. */
  ca: string;
  cert?: string;
  key?: string;
  username?: string;
  password?: string;
  clientId: string;
  /** User properties of every message, in MQTT 5. */
  user: readonly (readonly [string, string])[];
  before: readonly Sent[];
  filter: string;
  qos: 0 | 1 | 2;
  live: readonly Sent[];
  /** Number of messages to receive. */
  expect: number;
  will?: Sent;
}

/** Performs a task. `ready` is called once `live` has been acknowledged. Returns the received messages, or nothing for a will. */
export type MqttClientRunner = (
  task: ClientTask,
  folder: string,
  ready: () => Promise<void>,
) => Promise<ClientMessage[]>;

/** A client that is a program, which reads the task from a file, and prints a line of JSON per message, and `{"ready":true}`. */
function program(command: string, ...args: string[]): MqttClientRunner {
  return async (task, folder, ready) => {
    const file = join(folder, `${task.clientId}.json`);
    writeFileSync(file, JSON.stringify(task));
    const child = spawn(command, [...args, file], { stdio: ['ignore', 'pipe', 'pipe'] });
    const timer = setTimeout(() => child.kill('SIGKILL'), 55_000);
    let errors = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      errors += text;
    });
    const closed = once(child, 'close') as Promise<[number | null]>;
    const heard: ClientMessage[] = [];
    for await (const line of createInterface({ input: child.stdout })) {
      const told = JSON.parse(line) as ClientMessage | { ready: true };
      if ('ready' in told) await ready();
      else heard.push(told);
    }
    const [code] = await closed;
    clearTimeout(timer);
    if (code !== 0) throw new Error(`${command} ended with ${code}:\n${errors.slice(-3000)}`);
    return heard;
  };
}

/** mqtt.js, in this process. */
const mqttJs: MqttClientRunner = async (task, _folder, ready) => {
  const { version, host, port, webSocket, username, password, clientId } = task;
  const user: Record<string, string | string[]> = {};
  for (const [key, value] of task.user) {
    const before = user[key];
    user[key] = before === undefined ? value : [before, value].flat();
  }
  const properties = version === 5 ? { properties: { userProperties: user } } : {};
  const pem = (file?: string) => (file === undefined ? undefined : readFileSync(file));
  const options: IClientOptions = {
    ...{ protocolVersion: version, clientId, username, password, reconnectPeriod: 0, connectTimeout: 5000 },
    ...{ ca: pem(task.ca), cert: pem(task.cert), key: pem(task.key) },
    ...(task.will && { will: { ...task.will, payload: Buffer.from(task.will.payload), ...properties } }),
  };
  const url = `${webSocket ? 'wss' : 'mqtts'}://${host}:${port}/mqtt`;
  const client = await mqtt.connectAsync(url, options, false);
  if (task.will) {
    client.stream.destroy();
    return [];
  }
  const heard: ClientMessage[] = [];
  client.on('message', (topic, payload, packet) => {
    const pairs = Object.entries(packet.properties?.userProperties ?? {});
    heard.push({
      ...{ topic, payload: payload.toString(), qos: packet.qos, retain: packet.retain },
      user: pairs.flatMap(([key, values]) => [values].flat().map((value): [string, string] => [key, value])),
    });
  });
  const publish = async (messages: readonly Sent[]) => {
    for (const { topic, payload, qos, retain } of messages)
      await client.publishAsync(topic, payload, { qos, retain, ...properties });
  };
  await publish(task.before);
  await client.subscribeAsync(task.filter, { qos: task.qos });
  await publish(task.live);
  await ready();
  const until = Date.now() + 50_000;
  while (heard.length < task.expect && Date.now() < until)
    await new Promise((resolve) => setTimeout(resolve, 20));
  await client.endAsync();
  return heard;
};

/**
 * mosquitto_pub and mosquitto_sub. The latter does not report its subscription, but receiving a matching retained message shows that
 * it has subscribed.
 */
const mosquittoTools: MqttClientRunner = async (task, _folder, ready) => {
  const { version, host, port, ca, cert, key, username, password } = task;
  const user = (kind: string) =>
    version === 5 ? task.user.flatMap(([name, value]) => ['-D', kind, 'user-property', name, value]) : [];
  const common = [
    ...['-h', host, '-p', String(port), '-V', version === 5 ? 'mqttv5' : 'mqttv311', '--cafile', ca],
    ...(cert === undefined || key === undefined ? [] : ['--cert', cert, '--key', key]),
    ...(username === undefined || password === undefined ? [] : ['-u', username, '-P', password]),
  ];
  const publish = async (messages: readonly Sent[]) => {
    for (const { topic, payload, qos, retain } of messages) {
      const how = ['-q', String(qos), '-t', topic, '-m', payload, ...(retain ? ['-r'] : [])];
      const child = spawn('mosquitto_pub', [...common, ...how, ...user('publish')], { stdio: 'inherit' });
      const [code] = (await once(child, 'close')) as [number];
      if (code !== 0) throw new Error(`mosquitto_pub ended with ${code}`);
    }
  };
  await publish(task.before);
  const { will } = task;
  const last = will
    ? ['--will-topic', will.topic, '--will-payload', will.payload, '--will-qos', '1', ...user('will')]
    : ['-C', String(task.expect)];
  const child = spawn('mosquitto_sub', [
    ...[...common, '-i', task.clientId, '-t', task.filter, '-q', String(task.qos), ...last],
    ...['-W', '50', '-F', '%t|%q|%r|%P|%p'],
  ]);
  const heard: ClientMessage[] = [];
  for await (const line of createInterface({ input: child.stdout })) {
    if (will) {
      child.kill('SIGKILL');
      return [];
    }
    const [topic = '', qos, retain, pairs = '', ...payload] = line.split('|');
    heard.push({
      ...{ topic, payload: payload.join('|'), qos: Number(qos) as 0 | 1 | 2, retain: retain === '1' },
      user: pairs
        .split(' ')
        .filter((pair) => pair !== '')
        .map((pair) => pair.split(':') as [string, string]),
    });
    if (heard.length > 1) continue;
    await publish(task.live);
    await ready();
  }
  return heard;
};

const script = (name: string) => program(python('mqtt-python'), join(root, 'test/support/python', name));

export const mqttClients = {
  'mqtt.js': mqttJs,
  'paho-mqtt': script('mqtt_paho.py'),
  aiomqtt: script('mqtt_aiomqtt.py'),
  'mosquitto_pub and mosquitto_sub': mosquittoTools,
  'paho.mqtt.golang and paho.golang': program(mqttGo),
  rumqttc: program(mqttRust),
} satisfies Record<string, MqttClientRunner>;
