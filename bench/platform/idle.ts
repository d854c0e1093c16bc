// Idle connections: how many clients a platform supports, and the memory per client. Each client connects, subscribes twice
// and then stays idle. Over TLS, it presents a device's certificate.
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { connect as connectTls, createSecureContext, type SecureContext } from 'node:tls';
import { createClient } from '../../src/lib/api/client.js';
import { generateKeyPair } from '../../src/lib/core/crypto.js';
import { certificateRequest } from '../../src/lib/provision/certificates.js';
import { memoryOf } from '../harness/process.js';
import { type PlatformProcess, startPlatformProcess } from './process.js';

export interface IdleFigure {
  what: string;
  clients: number;
  /** Memory of the platform's process with all clients connected, MB; and memory per client, kB. */
  memory: number;
  each: number;
  /** Time until all clients were connected and subscribed, s. */
  seconds: number;
  /** Limit of the memory, MB. */
  limit: number;
}

/** Number of devices behind the TLS clients; several connections may belong to one device. */
const devices = 50;
const atOnce = 50;

/** 10,000 clients without TLS, and 5,000 with certificates; a tenth of each if `short`. */
export async function idleFigures(folder: () => string, short = false): Promise<IdleFigure[]> {
  const share = short ? 10 : 1;
  const plain = await measure(
    'plain, half of them MQTT 5',
    folder(),
    10_000 / share,
    (platform) => async (index) => {
      // Uses several source addresses, because each has its own range of ports.
      const localAddress = `127.0.0.${1 + (index % 5)}`;
      const { port } = new URL(platform.urls.mqtt ?? '');
      const socket = connect({ port: Number(port), host: '127.0.0.1', localAddress });
      await once(socket, 'connect');
      const topics = [`idle/${index}/a`, `idle/${index}/b`];
      // Half of the clients use MQTT 5.
      await introduce(socket, `c${index}`, {
        topics,
        token: platform.token,
        version: index % 2 === 0 ? 5 : 4,
      });
      return socket;
    },
  );
  const mutual = await measure('mutual TLS', folder(), 5_000 / share, async (platform) => {
    const contexts = await identities(platform);
    return async (index) => {
      const { port } = new URL(platform.urls.mqtts);
      const { name, secureContext } = contexts[index % contexts.length]!;
      const socket = connectTls({
        ...{ port: Number(port), host: '127.0.0.1', secureContext },
        rejectUnauthorized: false,
      });
      await once(socket, 'secureConnect');
      const topics = ['desired', 'command'].map((channel) => `aiot/v1/${name}/${channel}`);
      await introduce(socket, `c${index}`, { topics, version: 4 });
      return socket;
    };
  });
  return [plain, mutual];
}

type Open = (index: number) => Promise<Socket>;

async function measure(
  what: string,
  folder: string,
  clients: number,
  prepare: (platform: PlatformProcess) => Open | Promise<Open>,
): Promise<IdleFigure> {
  const platform = await startPlatformProcess(folder);
  const sockets: Socket[] = [];
  try {
    const open = await prepare(platform);
    await delay(500);
    const before = memoryOf(platform.child.pid!);
    const begun = performance.now();
    for (let from = 0; from < clients; from += atOnce) {
      const some = Array.from({ length: atOnce }, (_, index) => open(from + index));
      sockets.push(...(await Promise.all(some)));
    }
    const seconds = (performance.now() - begun) / 1000;
    await delay(3000);
    const memory = memoryOf(platform.child.pid!);
    const lost = sockets.filter((socket) => socket.destroyed).length;
    if (lost > 0) throw new Error(`${lost} of ${clients} clients were disconnected`);
    return { what, clients, memory, each: ((memory - before) * 1024) / clients, seconds, limit: 300 };
  } finally {
    for (const socket of sockets) socket.destroy();
    await platform.stop();
  }
}

async function identities({ urls, ca, token }: PlatformProcess) {
  const client = createClient({ url: urls.http, ca: readFileSync(ca, 'utf8'), token });
  const all: { name: string; secureContext: SecureContext }[] = [];
  for (let index = 0; index < devices; index++) {
    const name = `idle-${index}`;
    const key = generateKeyPair().privatePem;
    const { certificate } = await client.devices.provision(
      name,
      'virtual',
      await certificateRequest(key, name),
    );
    // The CA is omitted, because OpenSSL would send it along with the certificate, unlike a board.
    all.push({ name, secureContext: createSecureContext({ key, cert: certificate }) });
  }
  await client.close();
  return all;
}

/** CONNECT with a clean session and a keep-alive of ten minutes, then SUBSCRIBE, without properties (sections 3.1 and 3.8). */
async function introduce(
  socket: Socket,
  id: string,
  { topics, token, version }: { topics: string[]; token?: string; version: 4 | 5 },
): Promise<void> {
  const user = token === undefined ? [] : [text('idle'), text(token)];
  const flags = token === undefined ? 0x02 : 0xc2;
  const none = Buffer.from(version === 5 ? [0] : []);
  const head = Buffer.from([version, flags, 0x02, 0x58]);
  socket.write(packet(0x10, [text('MQTT'), head, none, text(id), ...user]));
  const [connack] = (await once(socket, 'data')) as [Buffer];
  if (connack[0] !== 0x20 || connack[3] !== 0) throw new Error(`refused: ${connack.toString('hex')}`);
  const filters = topics.flatMap((topic) => [text(topic), Buffer.from([1])]);
  socket.write(packet(0x82, [Buffer.from([0, 1]), none, ...filters]));
  const [suback] = (await once(socket, 'data')) as [Buffer];
  const codes = suback.subarray(version === 5 ? 5 : 4);
  if (suback[0] !== 0x90 || codes.length !== topics.length || codes.some((code) => code !== 1))
    throw new Error(`refused: ${suback.toString('hex')}`);
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 0xff]), bytes]);
}

function packet(head: number, parts: Buffer[]): Buffer {
  const body = Buffer.concat(parts);
  const length = body.length < 128 ? [body.length] : [(body.length & 0x7f) | 0x80, body.length >> 7];
  return Buffer.concat([Buffer.from([head, ...length]), body]);
}
