import { once } from 'node:events';
import { createRequire } from 'node:module';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, expect, it } from 'vitest';
import { openSource } from '../../../src/lib/stream/open.js';

// mqtt.js's codec, an independent implementation, acts as the broker.
const peer = createRequire(createRequire(import.meta.url).resolve('mqtt'))('mqtt-packet');

type Heard = { cmd: string; messageId?: number };
type Say = (packet: object) => void;
const total = 300;
const ends: (() => void)[] = [];
afterEach(() => {
  for (const end of ends.splice(0)) end();
});

it('an MQTT client sends every acknowledgment before DISCONNECT', async () => {
  const { heard, url } = await broker(1, ({ cmd }, _say, socket) => {
    if (cmd === 'disconnect') socket.end();
  });
  await ackAll(url);
  const before = heard.slice(0, heard.indexOf('disconnect'));
  expect(before.filter((cmd) => cmd === 'puback')).toHaveLength(total);
});

it('an MQTT client reads all packets sent after DISCONNECT, without responding to them', async () => {
  let toldAll = false;
  const { heard, url } = await broker(2, async ({ cmd }, say, socket) => {
    if (cmd !== 'disconnect') return;
    // The reactions to acknowledgments that the broker had not processed earlier.
    for (let id = 1; id <= total; id++) {
      say({ cmd: 'pubrel', messageId: id, qos: 1 });
      if (id % 100 === 0) await delay(20);
    }
    toldAll = true;
    socket.end();
  });
  await ackAll(url);
  expect(toldAll).toBe(true);
  expect(heard.filter((cmd) => cmd === 'pubrec')).toHaveLength(total);
  expect(heard.at(-1)).toBe('disconnect');
});

it('an MQTT client closes the connection if the broker does not do so after DISCONNECT', async () => {
  let left = false;
  const { url } = await broker(1, ({ cmd }, say, socket) => {
    if (cmd !== 'disconnect') return;
    // Writing to a closed connection leads to a reset, which closes the socket.
    const telling = setInterval(() => say({ cmd: 'pingresp' }), 100);
    socket.once('close', () => {
      clearInterval(telling);
      left = true;
    });
  });
  await ackAll(url);
  await expect.poll(() => left).toBe(true);
});

/** A broker that accepts any client and sends it `total` messages. */
async function broker(
  qos: 1 | 2,
  hears: (packet: Heard, say: Say, socket: Socket) => void | Promise<void>,
): Promise<{ url: string; heard: string[] }> {
  const heard: string[] = [];
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    const say: Say = (packet) => socket.write(peer.generate(packet, { protocolVersion: 4 }));
    const parser = peer.parser({ protocolVersion: 4 });
    parser.on('packet', (packet: Heard) => {
      const { cmd, messageId } = packet;
      heard.push(cmd);
      if (cmd === 'connect') say({ cmd: 'connack', returnCode: 0, sessionPresent: false });
      else if (cmd === 'subscribe') {
        say({ cmd: 'suback', messageId, granted: [qos] });
        socket.cork();
        for (let id = 1; id <= total; id++)
          say({ cmd: 'publish', topic: 't', payload: 'x', qos, messageId: id, dup: false, retain: false });
        socket.uncork();
      } else void hears(packet, say, socket);
    });
    socket.on('data', (data) => parser.parse(data));
    socket.on('error', () => {});
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  ends.push(() => server.close());
  const { port } = server.address() as AddressInfo;
  return { url: `mqtt://127.0.0.1:${port}/t?qos=${qos}&version=3.1.1`, heard };
}

/** Acknowledges all messages and closes the source in the same turn, while the acknowledgments are still batched. */
async function ackAll(url: string): Promise<void> {
  const source = await openSource(url, { overflow: 'wait' });
  const batches = source[Symbol.asyncIterator]();
  const deliveries = [];
  while (deliveries.length < total) deliveries.push(...((await batches.next()).value ?? []));
  for (const { ack } of deliveries) ack();
  await source.close();
}
