import { setTimeout as delay } from 'node:timers/promises';
import type { NatsConnection } from 'nats';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Delivery, Message, Sink } from '../../src/lib/stream/message.js';
import { openSink, openSource } from '../../src/lib/stream/open.js';
import { type NatsServer, natsClient, startNats } from '../support/nats.js';
import { describeReal } from '../support/real.js';

const kills = process.env.AIOT_LONG ? 12 : 3;
/** Number of messages per write. */
const size = 200;

describeReal('nats', 'streams while a real nats-server is killed repeatedly', () => {
  let server: NatsServer;
  /**
   * Runs a task with a new client of the nats package, because such a client reconnects more slowly than the code under test.
   */
  const judged = async <T>(task: (judge: NatsConnection) => Promise<T>): Promise<T> => {
    const judge = await natsClient(server);
    try {
      return await task(judge);
    } finally {
      await judge.close();
    }
  };
  const publishOne = (subject: string, text: string) =>
    judged(async (judge) => void (await judge.jetstream().publish(subject, text)));
  beforeAll(async () => {
    server = await startNats();
    await judged(makeStreams);
  });
  const makeStreams = async (judge: NatsConnection) => {
    const manager = await judge.jetstreamManager();
    await manager.streams.add({ name: 'log', subjects: ['log.>'] });
    await manager.streams.add({ name: 'work', subjects: ['work.>'] });
    await manager.streams.add({ name: 'copy', subjects: ['copy.>'] });
  };
  afterAll(() => server?.stop());

  /** Publishes consecutive numbers from 0 while the server is killed several times. Returns their count. */
  async function publishUnderKills(url: string): Promise<number> {
    const sink = await openSink(url);
    let killing = true;
    let next = 0;
    const publish = async () => {
      // A busy machine may manage only a few writes between the kills.
      while (killing || next <= 10 * size) {
        const first = next;
        next += size;
        await sink.write(
          [...Array(size).keys()].map((index) => ({ topic: '', payload: Buffer.from(`${first + index}`) })),
        );
      }
    };
    const kill = async () => {
      for (let turn = 0; turn < kills; turn++) {
        await delay(400);
        await server.kill();
        await delay(100);
        await server.start();
      }
      await delay(400);
      killing = false;
    };
    await Promise.all([publish(), kill()]);
    await sink.close();
    return next;
  }

  const numberOf = ({ payload }: Message) => Number(Buffer.from(payload).toString());

  /** Returns the numbers in a stream, as read by the client of the nats package. */
  const kept = (stream: string): Promise<number[]> =>
    judged(async (judge) => {
      const { state } = await (await judge.jetstreamManager()).streams.info(stream);
      const consumer = await judge.jetstream().consumers.get(stream);
      const numbers: number[] = [];
      for await (const message of await consumer.fetch({ max_messages: state.messages, expires: 20_000 })) {
        numbers.push(Number(message.string()));
        if (numbers.length === state.messages) break;
      }
      return numbers;
    });

  it('a sink loses nothing, and first deliveries stay in order', async () => {
    const total = await publishUnderKills(`${server.url}/log.a`);
    const numbers = await kept('log');
    const firsts = [...new Set(numbers)];
    expect(total).toBeGreaterThan(10 * size);
    expect(firsts).toEqual([...Array(total).keys()]);
  }, 60_000);

  it('a sink reconnects after the clock was ahead and is set back', async () => {
    const sink = await openSink(`${server.url}/copy.clock`);
    const write = () => sink.write([{ topic: '', payload: Buffer.from('1') }]);
    const [right, ahead] = [Date.now, () => right() + 3_600_000];
    try {
      Date.now = ahead;
      await server.kill();
      await server.start();
      await write();
    } finally {
      Date.now = right;
    }
    await server.kill();
    await server.start();
    const began = performance.now();
    await write();
    expect(performance.now() - began).toBeLessThan(10_000);
    await sink.close();
  }, 60_000);

  it('an ordered source delivers each message once, in order', async () => {
    const source = await openSource(`${server.url}/log.>?stream=log`, { from: 'beginning' });
    const sequences: number[] = [];
    let last = Number.POSITIVE_INFINITY;
    const reading = (async () => {
      for await (const batch of source) {
        for (const { message } of batch) sequences.push(Number(message.position));
        if ((sequences.at(-1) ?? 0) >= last) break;
      }
    })();
    await publishUnderKills(`${server.url}/log.b`);
    last = (await kept('log')).length;
    // Another message wakes a reader that has received all the others.
    await publishOne('log.b', '0');
    await reading;
    await source.close();
    expect(sequences.slice(0, last)).toEqual([...Array(last).keys()].map((index) => index + 1));
  }, 60_000);

  it('a durable consumer acked after its sink loses nothing', async () => {
    const source = await openSource(`${server.url}/work.>?stream=work&durable=bridge`);
    const sink = await openSink(`${server.url}/copy.a?stream=copy`);
    const arrived = new Set<number>();
    let given = 0;
    let total = Number.POSITIVE_INFINITY;
    const bridging = (async () => {
      for await (const batch of source) {
        await written(sink, batch);
        for (const { message, ack } of batch) {
          arrived.add(numberOf(message));
          ack();
        }
        given += batch.length;
        if (arrived.size >= total) break;
      }
    })();
    total = await publishUnderKills(`${server.url}/work.a`);
    await publishOne('work.a', String(total++));
    await bridging;
    await source.close();
    await sink.close();
    expect([...new Set(await kept('copy'))].sort((a, b) => a - b)).toEqual([...Array(total).keys()]);
    // Messages acknowledged just before a kill may be redelivered.
    expect(given).toBeLessThan(total * 2);
  }, 60_000);
});

/** Retries until the write succeeds, like a bridge. */
async function written(sink: Sink, batch: readonly Delivery[]): Promise<void> {
  for (;;) {
    try {
      await sink.write(batch.map(({ message: { payload } }) => ({ topic: '', payload })));
      return;
    } catch {
      await delay(100);
    }
  }
}
