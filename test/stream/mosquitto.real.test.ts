import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { deliveriesOf, type Message } from '../../src/lib/stream/message.js';
import { openSink, openSource } from '../../src/lib/stream/open.js';
import { type Shown, tail } from '../../src/lib/stream/tail/tail.js';
import { runCli } from '../support/cli.js';
import { type Mosquitto, mosquittoPub, mosquittoSub, startMosquitto } from '../support/mosquitto.js';
import { describeReal } from '../support/real.js';

describeReal('mosquitto', 'streams with a real Mosquitto', () => {
  let broker: Mosquitto;
  beforeAll(async () => {
    broker = await startMosquitto();
  });
  afterAll(() => broker.stop());

  it('deliver messages from mosquitto_pub to tail', async () => {
    const messages: Message[] = [];
    let opened = () => {};
    const open = new Promise<void>((resolve) => {
      opened = resolve;
    });
    const url = `mqtt://127.0.0.1:${broker.port}/real/+`;
    const limits = { count: 3, timeoutMs: 20_000, onOpen: opened };
    const show = (batch: readonly Shown[]) => void messages.push(...batch.map(({ message }) => message));
    const source = tail({ urls: [url], ...limits }, { show });
    await open;
    mosquittoPub(broker.port, 'real/a', '{"x":1.5}');
    mosquittoPub(broker.port, 'real/b', Buffer.from([0, 255, 27]));
    mosquittoPub(broker.port, 'real/c', 'plain', '-r');
    await expect(source).resolves.toMatchObject({ messages: 3, ended: 'count' });
    expect(
      messages.map(({ topic, payload, qos }) => ({ topic, payload: Buffer.from(payload), qos })),
    ).toEqual([
      { topic: 'real/a', payload: Buffer.from('{"x":1.5}'), qos: 1 },
      { topic: 'real/b', payload: Buffer.from([0, 255, 27]), qos: 1 },
      { topic: 'real/c', payload: Buffer.from('plain'), qos: 1 },
    ]);
  });

  it('print a retained message with the tail command', async () => {
    const { stdout, code } = await runCli([
      ...['stream', 'tail', `mqtt://127.0.0.1:${broker.port}/real/c`, '--count', '1', '--json'],
    ]);
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ topic: 'real/c', payload: 'plain', retain: true });
  });

  it('deliver published messages to mosquitto_sub', async () => {
    const url = `mqtt://127.0.0.1:${broker.port}/out`;
    const { json, code } = await runCli(['stream', 'publish', `${url}/a`, '{"y":2}', '--retain', '--json']);
    expect({ json, code }).toMatchObject({ json: { acknowledged: true, bytes: 7 }, code: 0 });
    const sink = await openSink(url);
    await sink.write([{ topic: 'out/b', payload: Buffer.from('two'), retain: true }]);
    await sink.close();
    const received = await mosquittoSub(broker.port, 'out/#', 2);
    expect(received.trim().split('\n').sort()).toEqual(['out/a {"y":2}', 'out/b two']);
  });

  it('resume reading after a broker restart, and delay writes until then', async () => {
    const url = `mqtt://127.0.0.1:${broker.port}/again`;
    const states: string[] = [];
    const source = await openSource(url, { onState: (state) => states.push(state) });
    const sink = await openSink(url);
    await broker.restart();
    while (!states.includes('connected')) await delay(20);
    const next = deliveriesOf(source).next();
    // Nothing tells when the broker knows the reader's subscription again, so the message is repeated until it arrives.
    const isRead = next.then(() => true);
    for (let read = false; !read; read = await Promise.race([isRead, delay(200, false)]))
      await sink.write([{ topic: '', payload: Buffer.from('after') }]);
    const { value } = await next;
    expect(String(value?.message.payload)).toBe('after');
    value?.ack();
    await sink.close();
    await source.close();
  });
});
