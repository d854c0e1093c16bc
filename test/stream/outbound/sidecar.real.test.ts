import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { bridgeRoute } from '../../../src/lib/stream/route/bridge.js';
import { runRoutes } from '../../../src/lib/stream/route/run.js';
import { freePort } from '../../support/free-port.js';
import { kcat, kcatWrite, startKafka } from '../../support/kafka.js';
import { describeReal } from '../../support/real.js';

/**
 * The guide's inference box, which takes one JSON message per connection and responds with at most 1024 bytes. It
 * can be killed and restarted.
 */
function inferenceBox(port: number) {
  const heard: string[] = [];
  let server: Server | undefined;
  const sockets = new Set<Socket>();
  return {
    heard,
    async start() {
      server = createServer((socket) => {
        sockets.add(socket);
        socket.on('close', () => sockets.delete(socket));
        socket.on('error', () => {});
        socket.once('data', (data) => {
          heard.push(data.toString());
          socket.write(`inference value from the edge tpu = ${JSON.parse(data.toString()).n}`);
        });
      });
      server.listen(port, '127.0.0.1');
      await once(server, 'listening');
    },
    async kill() {
      for (const socket of sockets) socket.resetAndDestroy();
      const closed = once(server!, 'close');
      server!.close();
      await closed;
    },
  };
}

describeReal('kafka', 'a bridge from Kafka to an inference server', () => {
  it('returns a reply for every record, even if the server is killed repeatedly', async () => {
    const kafka = await startKafka();
    // Free even while the box is down, because systems assign such ports to no connection.
    const port = await freePort();
    const box = inferenceBox(port);
    await box.start();
    const count = 120;
    const lines = Array.from({ length: count }, (_, n) => `k${n % 7}:${JSON.stringify({ n })}`).join('\n');
    try {
      await kafka.createTopic('data');
      await kafka.createTopic('inference');
      kcatWrite(kafka.address, 'data', `${lines}\n`, '-K', ':');
      const ending = new AbortController();
      const route = bridgeRoute({
        from: `kafka://${kafka.address}/data?group=sidecar&from=beginning`,
        to: `tcp://127.0.0.1:${port}?replyTo=kafka://${kafka.address}/inference`,
        batch: 20,
      });
      const running = runRoutes([route], { signal: ending.signal });
      for (let round = 0; round < 3; round++) {
        for (let tries = 0; box.heard.length < 25 * (round + 1) && tries < 500; tries++) await delay(20);
        await box.kill();
        await delay(300);
        await box.start();
      }
      const answered = () => new Set(kcat(kafka.address, 'inference', '%k %s\n').trim().split('\n'));
      for (let tries = 0; tries < 200 && answered().size < count; tries++) await delay(250);
      ending.abort();
      await running;
      const wanted = Array.from(
        { length: count },
        (_, n) => `k${n % 7} inference value from the edge tpu = ${n}`,
      );
      expect([...answered()].sort()).toEqual(wanted.sort());
      // Apart from resent messages, the box receives each message in Kafka's order.
      const first = [...new Set(box.heard)].map((text) => JSON.parse(text).n as number);
      expect(first).toEqual(Array.from({ length: count }, (_, n) => n));
      // Only a kill causes duplicates, at most the records in flight at that time.
      expect(box.heard.length).toBeLessThanOrEqual(count + 2 * 3);
    } finally {
      await box.kill().catch(() => {});
      await kafka.stop();
    }
  }, 180_000);
});
