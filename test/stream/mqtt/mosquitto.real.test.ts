import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, expect, it } from 'vitest';
import { deliveriesOf, type Header } from '../../../src/lib/stream/message.js';
import { openAdmin, openSink, openSource } from '../../../src/lib/stream/open.js';
import { freePort } from '../../support/free-port.js';
import { listening, type Mosquitto, startMosquitto } from '../../support/mosquitto.js';
import { describeReal } from '../../support/real.js';

const closing: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const open of closing.splice(0).reverse()) await open.close();
});
const closed = <T extends { close(): Promise<void> }>(open: T): T => {
  closing.push(open);
  return open;
};
async function mosquitto(settings: string[] = []): Promise<Mosquitto> {
  const broker = await startMosquitto({ settings });
  closing.push({ close: () => broker.stop() });
  return broker;
}
const numbers = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, index) => ({
    topic: 't',
    payload: Buffer.from(String(from + index)),
  }));

describeReal('mosquitto', 'the MQTT client with a real Mosquitto', () => {
  it('loses none of 100,000 messages at QoS 1 during repeated broker restarts', {
    timeout: 120_000,
  }, async () => {
    const broker = await mosquitto(['persistence true']);
    const url = `mqtt://127.0.0.1:${broker.port}/t?qos=1`;
    const source = closed(await openSource(`${url}&clientId=reader&clean=false`, { overflow: 'wait' }));
    const sink = closed(await openSink(`${url}&clientId=writer&clean=false`));
    const count = 100_000;
    let written = 0;
    const writing = (async () => {
      for (let from = 0; from < count; from += 2000) {
        await sink.write(numbers(from, from + 2000));
        written = from + 2000;
      }
    })();
    let restarts = 0;
    const restarting = (async () => {
      for (const at of [10_000, 40_000, 70_000]) {
        while (written < at) await delay(5);
        await broker.restart({ downMs: 50 });
        restarts++;
      }
    })();
    const seen = new Uint8Array(count);
    let distinct = 0;
    let twice = 0;
    for await (const { message, ack } of deliveriesOf(source)) {
      const number = Number(String(message.payload));
      if (seen[number] === 0) distinct++;
      else twice++;
      seen[number] = 1;
      ack();
      if (distinct === count) break;
    }
    await Promise.all([writing, restarting]);
    expect({ distinct, restarts, dropped: source.dropped }).toEqual({
      distinct: count,
      restarts: 3,
      dropped: 0,
    });
    // Messages whose acknowledgment was in transit when the broker stopped are redelivered.
    expect(twice).toBeLessThan(3 * 10_000);
  });

  it('completes a write that is in flight when the broker is killed', { timeout: 60_000 }, async () => {
    const broker = await mosquitto();
    const sink = closed(await openSink(`mqtt://127.0.0.1:${broker.port}/t`));
    const states: string[] = [];
    const source = closed(
      await openSource(`mqtt://127.0.0.1:${broker.port}/t`, { onState: (state) => states.push(state) }),
    );
    for (let round = 0; round < 3; round++) {
      states.length = 0;
      const killed = broker.restart({ signal: 'SIGKILL', downMs: 100 });
      const written = sink.write(numbers(round * 100, round * 100 + 100));
      await killed;
      await written;
      await expect.poll(() => states, { timeout: 20_000 }).toContain('connected');
      // A broker that persists nothing loses acknowledged writes, so a later message marks the end. It is repeated, because nothing
      // tells when the broker knows the reader's subscription again.
      let isRead = false;
      const marking = (async () => {
        for (; !isRead; await delay(200))
          await sink.write([{ topic: 't', payload: Buffer.from(`end ${round}`) }]);
      })();
      try {
        for await (const { message, ack } of deliveriesOf(source)) {
          ack();
          if (String(message.payload) === `end ${round}`) break;
        }
      } finally {
        isRead = true;
      }
      await marking;
    }
  });

  it('preserves MQTT 5 properties in both directions', async () => {
    const { port } = await mosquitto();
    const source = closed(await openSource(`mqtt://127.0.0.1:${port}/t`));
    const sink = closed(await openSink(`mqtt://127.0.0.1:${port}/t`));
    const headers: Header[] = [
      ['unit', 'C'],
      ['unit', 'twice, and in this order'],
      ['content-type', 'application/json'],
      ['mqtt-response-topic', 'answers'],
      ['mqtt-correlation-data', Buffer.from([0, 1, 255])],
      ['mqtt-payload-format-indicator', '1'],
    ];
    await sink.write([{ topic: 't', payload: Buffer.from('{}'), headers }]);
    const { value } = await deliveriesOf(source).next();
    const sorted = (list: readonly Header[] = []) => [...list].map(String).sort();
    expect(sorted(value?.message.headers)).toEqual(sorted(headers));
  });

  it('sends properties to mosquitto_sub, and reads those of mosquitto_pub', async () => {
    const { port } = await mosquitto();
    const at = ['-h', '127.0.0.1', '-p', String(port), '-V', '5', '-t', 't', '-q', '1'];
    const sink = closed(await openSink(`mqtt://127.0.0.1:${port}/t`));
    await sink.write([
      {
        topic: 't',
        payload: Buffer.from('x'),
        retain: true,
        headers: [
          ['unit', 'C'],
          ['content-type', 'text/plain'],
        ],
      },
    ]);
    const sub = spawn('mosquitto_sub', [...at, '-C', '1', '-W', '60', '-F', '%C|%P|%p']);
    let printed = '';
    sub.stdout.on('data', (chunk) => {
      printed += chunk;
    });
    await once(sub, 'close');
    expect(printed.trim()).toBe('text/plain|unit:C|x');
    const source = closed(await openSource(`mqtt://127.0.0.1:${port}/t?retained=false`));
    const property = [
      '-D',
      'publish',
      'user-property',
      'room',
      '12',
      '-D',
      'publish',
      'response-topic',
      'a/b',
    ];
    spawn('mosquitto_pub', [...at, '-m', 'y', ...property], { stdio: 'ignore' });
    const { value } = await deliveriesOf(source).next();
    expect(Object.fromEntries(value?.message.headers ?? [])).toEqual({
      room: '12',
      'mqtt-response-topic': 'a/b',
    });
  });

  it('shares a subscription among the members of a group', async () => {
    const { port } = await mosquitto();
    const url = `mqtt://127.0.0.1:${port}/t`;
    const members = [await openSource(url, { group: 'g' }), await openSource(url, { group: 'g' })].map(
      closed,
    );
    const sink = closed(await openSink(url));
    const taken: string[][] = [[], []];
    members.forEach((member, index) => {
      void (async () => {
        for await (const { message, ack } of deliveriesOf(member)) {
          taken[index]!.push(String(message.payload));
          ack();
        }
      })();
    });
    await sink.write(numbers(0, 100));
    await expect.poll(() => taken.flat().length).toBe(100);
    expect(new Set(taken.flat()).size).toBe(100);
    expect(taken.every((list) => list.length > 10)).toBe(true);
  });

  it('works over WebSockets', async () => {
    const port = await freePort();
    await mosquitto([`listener ${port} 127.0.0.1`, 'protocol websockets']);
    await listening(port);
    const source = closed(await openSource(`ws://127.0.0.1:${port}/a/+`));
    const sink = closed(await openSink(`ws://127.0.0.1:${port}`));
    await sink.write([{ topic: 'a/b', payload: Buffer.from('over the web') }]);
    const { value } = await deliveriesOf(source).next();
    expect(String(value?.message.payload)).toBe('over the web');
    value?.ack();
  });

  it('counts every message it drops in a flood, and limits its memory use', { timeout: 60_000 }, async () => {
    const { port } = await mosquitto();
    const source = closed(await openSource(`mqtt://127.0.0.1:${port}/t?qos=0`, { queue: 1000 }));
    const sink = closed(await openSink(`mqtt://127.0.0.1:${port}/t?qos=0`));
    const payload = Buffer.alloc(1000, 'x');
    const before = process.memoryUsage().rss;
    let most = 0;
    for (let round = 0; round < 60; round++) {
      await sink.write(Array.from({ length: 1000 }, () => ({ topic: 't', payload })));
      most = Math.max(most, process.memoryUsage().rss - before);
    }
    await expect.poll(() => source.dropped, { timeout: 20_000 }).toBe(59_000);
    expect(most).toBeLessThan(200 * 1024 * 1024);
  });

  it('finds every checked feature supported', async () => {
    const { port } = await mosquitto();
    const admin = closed(await openAdmin(`mqtt://127.0.0.1:${port}`));
    const results = await admin.check({});
    expect(results.filter(({ state }) => state !== 'ok')).toEqual([]);
    expect(results.find(({ what }) => what === 'connects')?.detail).toMatch(/^MQTT 5/);
    expect(results.map(({ what }) => what)).toEqual(
      expect.arrayContaining(['shared', 'headers', 'sessions']),
    );
  });
});
