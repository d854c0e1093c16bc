import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { deliveriesOf, type Header, type Source } from '../../../src/lib/stream/message.js';
import { openAdmin, openSink, openSource } from '../../../src/lib/stream/open.js';
import { runCli } from '../../support/cli.js';
import { type Mosquitto, startMosquitto } from '../../support/mosquitto.js';
import { describeReal } from '../../support/real.js';

const closing: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const open of closing.splice(0).reverse()) await open.close();
});
const closed = <T extends { close(): Promise<void> }>(open: T): T => {
  closing.push(open);
  return open;
};
async function mosquitto(settings: string[] = []): Promise<Mosquitto & { url: string }> {
  const broker = await startMosquitto({ settings });
  closing.push({ close: () => broker.stop() });
  return { ...broker, url: `mqtt://127.0.0.1:${broker.port}` };
}
const numbers = (from: number, to: number, topic = 't') =>
  Array.from({ length: to - from }, (_, index) => ({ topic, payload: Buffer.from(String(from + index)) }));

async function take(source: Source, count: number) {
  const taken = [];
  for await (const { message, ack } of deliveriesOf(source)) {
    ack();
    if (taken.push(message) === count) break;
  }
  return taken;
}

describeReal('mosquitto', 'MQTT 5 with a real Mosquitto', () => {
  const headers: Header[] = [
    ['unit', 'C'],
    ['unit', 'K'],
    ['raw', Buffer.from([0, 255])],
    ['content-type', 'text/plain'],
  ];

  it.each([
    ['5', '5', headers],
    ['auto', '5', headers],
    ['3.1.1', '3.1.1', undefined],
    ['3.1', '3.1', undefined],
  ])('version=%s speaks %s', async (version, spoken, expected) => {
    const { url } = await mosquitto();
    const admin = closed(await openAdmin(`${url}?version=${version}`));
    const [connects] = await admin.check({});
    expect(connects?.detail).toMatch(new RegExp(`^MQTT ${spoken.replaceAll('.', '\\.')},`));
    const source = closed(await openSource(`${url}/t?version=${version}`));
    const sink = closed(await openSink(`${url}/t?version=${version}`));
    await sink.write([{ topic: 't', payload: Buffer.from('x'), headers }]);
    const [message] = await take(source, 1);
    const sorted = (list: readonly Header[]) =>
      list.map(([name, value]) => `${name} ${Buffer.from(value as string).toString('hex')}`).sort();
    expect(message?.headers && sorted(message.headers)).toEqual(expected && sorted(expected));
  });

  it.each(['5', '3.1.1'])('shares messages among the members of a group with version=%s', async (version) => {
    const { url } = await mosquitto();
    const places = [`/t?group=g&version=${version}`, `/$share/g/t?version=${version}`];
    const taken: string[][] = [[], []];
    for (const [index, place] of places.entries()) {
      const member = closed(await openSource(`${url}${place}`));
      void (async () => {
        for await (const { message, ack } of deliveriesOf(member)) {
          taken[index]!.push(String(message.payload));
          ack();
        }
      })();
    }
    await closed(await openSink(url)).write(numbers(0, 100));
    await expect.poll(() => taken.flat().length).toBe(100);
    expect(new Set(taken.flat()).size).toBe(100);
    expect(taken.every((list) => list.length > 10)).toBe(true);
  });

  it.each([
    ['keeps messages until the session expires', 60, ['0', '1', 'end']],
    ['discards messages after the session has expired', 1, ['end']],
  ])('%s', { timeout: 20_000 }, async (_, seconds, expected) => {
    const { url } = await mosquitto();
    const place = `${url}/t?clientId=b1&clean=false&expiry=${seconds}`;
    await (await openSource(place)).close();
    const sink = closed(await openSink(url));
    await sink.write(numbers(0, 2));
    await delay(3500);
    const source = closed(await openSource(place));
    await sink.write([{ topic: 't', payload: Buffer.from('end') }]);
    expect((await take(source, expected.length)).map(({ payload }) => String(payload))).toEqual(expected);
  });

  it('delivers every message to its topic with aliases, even if the broker restarts', {
    timeout: 60_000,
  }, async () => {
    const broker = await mosquitto(['persistence true']);
    const source = closed(
      await openSource(`${broker.url}/plant/#?clientId=r&clean=false`, { overflow: 'wait' }),
    );
    const sink = closed(await openSink(`${broker.url}/?clientId=w&clean=false`));
    // More topics than the ten that Mosquitto accepts as aliases.
    const topicOf = (n: number) => `plant/number/${n % 15}`;
    const all = Array.from({ length: 6000 }, (_, n) => ({
      topic: topicOf(n),
      payload: Buffer.from(String(n)),
    }));
    const writing = (async () => {
      for (let at = 0; at < all.length; at += 500) await sink.write(all.slice(at, at + 500));
    })();
    const restarting = broker.restart({ downMs: 50 });
    const seen = new Set<number>();
    for await (const { message, ack } of deliveriesOf(source)) {
      const n = Number(String(message.payload));
      expect(message.topic).toBe(topicOf(n));
      seen.add(n);
      ack();
      if (seen.size === all.length) break;
    }
    await Promise.all([writing, restarting]);
  });

  it('rejects a message larger than the broker accepts, and sends the others', async () => {
    const { url } = await mosquitto(['max_packet_size 200']);
    const source = closed(await openSource(`${url}/t`));
    const sink = closed(await openSink(`${url}/t`));
    await expect(sink.write([{ topic: 't', payload: Buffer.alloc(300) }])).rejects.toMatchObject({
      code: 'AIOT_STREAM_MESSAGE_REFUSED',
      message: expect.stringMatching(/accepts packets of at most 200 bytes; the packet for t has 3\d\d$/),
    });
    await sink.write([{ topic: 't', payload: Buffer.from('small') }]);
    expect((await take(source, 1)).map(({ payload }) => String(payload))).toEqual(['small']);
  });

  it('reports why a client or a message is rejected', async () => {
    const { url, port } = await mosquitto();
    const strict = await mosquitto(['allow_anonymous false']);
    await expect(openSource(`${strict.url}/t`)).rejects.toMatchObject({
      code: 'AIOT_BROKER_REFUSED',
      message: expect.stringMatching(/rejected the connection: not authorized \(0x87\)$/),
    });
    await expect(openSource(`${strict.url}/t?version=3.1.1`)).rejects.toMatchObject({
      code: 'AIOT_BROKER_REFUSED',
      message: expect.stringMatching(/rejected the connection: not authorized \(5\)$/),
    });
    const sink = closed(await openSink(`mqtt://127.0.0.1:${port}/$SYS/x`));
    const written = sink.write([{ topic: '$SYS/x', payload: Buffer.from('x') }]);
    await expect(written).rejects.toMatchObject({
      code: 'AIOT_BROKER_REFUSED',
      message: expect.stringContaining(`${url} rejects messages published to $SYS/x: not authorized (0x87)`),
    });
  });

  describe('and the stream commands', () => {
    it('publishes headers, and shows them in tail', async () => {
      const { url } = await mosquitto();
      const words = ['--retain', '--header', 'unit=C', '--header', 'room=12'];
      expect((await runCli(['stream', 'publish', `${url}/t/a`, '21.5', ...words])).code).toBe(0);
      const tail = (...more: string[]) =>
        runCli(['stream', 'tail', `${url}/t/#?version=5`, '-n', '1', ...more]);
      const { stdout } = await tail('--json');
      expect(JSON.parse(stdout)).toMatchObject({
        topic: 't/a',
        payload: 21.5,
        headers: [
          ['unit', 'C'],
          ['room', '12'],
        ],
      });
      expect((await tail()).stdout).toMatch(/ {2}t\/a {2}21\.5 {2}\{unit=C, room=12\}\n$/);
      const refused = await runCli(['stream', 'publish', `${url}/t/a?version=3.1.1`, 'x', ...words]);
      expect({ code: refused.code, stderr: refused.stderr }).toEqual({
        code: 1,
        stderr: expect.stringContaining('AIOT_STREAM_MESSAGE_REFUSED'),
      });
      // The previously retained message is still there.
      expect(JSON.parse((await tail('--json')).stdout)).toMatchObject({ payload: 21.5 });
    });
  });
});
