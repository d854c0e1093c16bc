import { type AddressInfo, createServer } from 'node:net';
import { expect, it } from 'vitest';
import { deliveriesOf } from '../../../src/lib/stream/message.js';
import { openSource } from '../../../src/lib/stream/open.js';
import { startBroker } from '../../support/broker.js';

it('an MQTT source with a full queue closes while the broker is still sending', async () => {
  const broker = await startBroker();
  const source = await openSource(`mqtt://127.0.0.1:${broker.port}/t?qos=1`, { overflow: 'wait', queue: 1 });
  const [first] = (await Promise.all([
    source[Symbol.asyncIterator]().next(),
    ...Array.from({ length: 200 }, (_, n) => flood(broker, n)),
  ])) as [IteratorResult<readonly unknown[]>];
  expect(first.value).toHaveLength(1);
  // Previously, this looped forever, because a queue that has ended is never full but never accepts anything.
  await source.close();
  await broker.close();
});

it('an MQTT source reads a session with more messages than fit into the queue, sent before the SUBACK', async () => {
  const broker = await startBroker();
  const url = `mqtt://127.0.0.1:${broker.port}/t?qos=1&clientId=back&clean=false`;
  await (await openSource(url)).close();
  await Promise.all(Array.from({ length: 300 }, (_, n) => flood(broker, n)));
  const source = await openSource(url, { overflow: 'wait', queue: 10 });
  const seen = new Set<number>();
  for await (const delivery of deliveriesOf(source)) {
    seen.add(delivery.message.payload[0] ?? -1);
    delivery.ack();
    if (seen.size === 256) break;
  }
  await source.close();
  await broker.close();
});

it('an MQTT source gives up on a broker that does not acknowledge a subscription', async () => {
  const server = createServer((socket) => {
    // Sends a CONNACK and nothing else.
    socket.on('data', (data) => data[0] === 0x10 && socket.write(Buffer.from([0x20, 2, 0, 0])));
    socket.on('error', () => {});
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const opening = openSource(`mqtt://127.0.0.1:${port}/t?version=3.1.1`, { connectTimeoutMs: 300 });
  await expect(opening).rejects.toMatchObject({ code: 'AIOT_BROKER_UNREACHABLE' });
  server.close();
});

function flood({ aedes }: Awaited<ReturnType<typeof startBroker>>, n: number): Promise<void> {
  return new Promise((resolve) => {
    const packet = {
      cmd: 'publish' as const,
      topic: 't',
      payload: Buffer.alloc(500, n),
      qos: 1 as const,
      retain: false,
      dup: false,
    };
    aedes.publish(packet, () => resolve());
  });
}
