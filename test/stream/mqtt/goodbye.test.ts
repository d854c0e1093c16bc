import { once } from 'node:events';
import { createRequire } from 'node:module';
import { type AddressInfo, createServer } from 'node:net';
import { expect, it } from 'vitest';
import { openSource } from '../../../src/lib/stream/index.js';

// The codec that mqtt.js uses, written by others, plays the broker.
const peer = createRequire(createRequire(import.meta.url).resolve('mqtt'))('mqtt-packet');

it('all that was acked is told to the broker before the goodbye, behind which it reads nothing', async () => {
  const total = 300;
  const heard: string[] = [];
  const server = createServer((socket) => {
    const say = (packet: object) => socket.write(peer.generate(packet, { protocolVersion: 4 }));
    const parser = peer.parser({ protocolVersion: 4 });
    parser.on('packet', ({ cmd, messageId }: { cmd: string; messageId?: number }) => {
      heard.push(cmd);
      if (cmd === 'connect') say({ cmd: 'connack', returnCode: 0, sessionPresent: false });
      else if (cmd === 'subscribe') {
        say({ cmd: 'suback', messageId, granted: [1] });
        socket.cork();
        for (let id = 1; id <= total; id++)
          say({ cmd: 'publish', topic: 't', payload: 'x', qos: 1, messageId: id, dup: false, retain: false });
        socket.uncork();
      } else if (cmd === 'disconnect') socket.end();
    });
    socket.on('data', (data) => parser.parse(data));
    socket.on('error', () => {});
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const source = await openSource(`mqtt://127.0.0.1:${port}/t?qos=1&version=3.1.1`, { overflow: 'wait' });
  const batches = source[Symbol.asyncIterator]();
  const deliveries = [];
  while (deliveries.length < total) deliveries.push(...((await batches.next()).value ?? []));
  for (const { ack } of deliveries) ack();
  // In the same turn: acknowledgements wait for others to go out with.
  await source.close();
  server.close();
  const before = heard.slice(0, heard.indexOf('disconnect'));
  expect(before.filter((cmd) => cmd === 'puback')).toHaveLength(total);
}, 10_000);
