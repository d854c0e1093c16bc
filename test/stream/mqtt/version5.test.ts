import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { deliveriesOf } from '../../../src/lib/stream/message.js';
import { openSink, openSource } from '../../../src/lib/stream/open.js';
import { bridgeRoute } from '../../../src/lib/stream/route/bridge.js';
import { runWatched } from '../../../src/lib/stream/route/watch.js';
import { startBroker } from '../../support/broker.js';
import { runCli } from '../../support/cli.js';
import { type Mqtt5Server, startMqtt5 } from '../../support/mqtt5.js';

const closing: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const open of closing.splice(0).reverse()) await open.close();
});
const closed = <T extends { close(): Promise<void> }>(open: T): T => {
  closing.push(open);
  return open;
};
const broker5 = async (options: Parameters<typeof startMqtt5>[0] = {}): Promise<Mqtt5Server> =>
  closed(await startMqtt5(options));
/** A broker that supports 3.1.1 and 3.1, and refuses 5. */
const broker3 = async () => {
  const { port } = closed(await startBroker());
  return `mqtt://127.0.0.1:${port}`;
};
const flat = (text: string) => text.replaceAll(/\s+/g, ' ');
const one = (payload: string, rest: object = {}) => [
  { topic: 'plant/a', payload: Buffer.from(payload), ...rest },
];

describe('the version of an MQTT connection', () => {
  it('is 5 with ?version=5, and also with ?version=auto if the broker supports it', async () => {
    const { url, of } = await broker5();
    await (await openSource(`${url}/t?version=5`)).close();
    await (await openSource(`${url}/t?version=auto`)).close();
    expect(of('connect').map(({ protocolVersion }) => protocolVersion)).toEqual([5, 5]);
  });

  it('falls back to 3.1.1 with ?version=auto, and is an error with ?version=5', async () => {
    const url = await broker3();
    const sink = closed(await openSink(`${url}/plant/a?version=auto`));
    await sink.write(one('x'));
    await expect(openSink(`${url}/plant/a?version=5`)).rejects.toMatchObject({
      code: 'AIOT_BROKER_REFUSED',
      message: `${url} does not support MQTT 5`,
      next: expect.stringContaining('Remove version=5'),
    });
  });

  it('is rejected with a list of the valid versions if it is unknown', async () => {
    const { code, stderr } = await runCli(['stream', 'tail', 'mqtt://127.0.0.1:1/t?version=4']);
    expect(code).toBe(2);
    expect(flat(stderr)).toContain('version: expected one of 5, 3.1, 3.1.1, auto; got "4"');
    expect(flat(stderr)).toContain('AIOT_STREAM_URL');
  });

  it('can be selected for a strict broker that ignores MQTT 5, as the error suggests', async () => {
    const server = createServer((socket) => {
      socket.on('error', () => {});
      // Byte 8 of a CONNECT is the version (MQTT 3.1.1, section 3.1.2.2).
      socket.on(
        'data',
        (data) => data[0] === 0x10 && data[8] === 4 && socket.write(Buffer.from([0x20, 2, 0, 0])),
      );
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    closing.push({ close: async () => void server.close() });
    const url = `mqtt://127.0.0.1:${(server.address() as AddressInfo).port}/t`;
    await expect(openSink(url, { connectTimeoutMs: 300 })).rejects.toMatchObject({
      code: 'AIOT_BROKER_UNREACHABLE',
      next: expect.stringContaining('?version=3.1.1'),
    });
    await (await openSink(`${url}?version=3.1.1`)).close();
  });

  it.each(['noLocal', 'retainAsPublished', 'retained=false', 'expiry=60'])(
    'must be 5 for %s, which would have no effect in 3.1.1',
    async (setting) => {
      const name = setting.startsWith('expiry') ? 'expiry' : setting;
      const url = await broker3();
      await expect(openSource(`${url}/t?version=3.1.1&${setting}`)).rejects.toMatchObject({
        code: 'AIOT_STREAM_URL',
        message: `${url}: ${name} needs MQTT 5, got version=3.1.1`,
      });
      await expect(openSource(`${url}/t?${setting}`)).rejects.toMatchObject({
        code: 'AIOT_BROKER_REFUSED',
        message: `${url} does not support MQTT 5, which ${name} needs`,
        next: expect.stringContaining(`Remove ${name}`),
      });
    },
  );
});

describe('the expiry of an MQTT session', () => {
  const session = 'version=5&clientId=b1&clean=false';

  it.each([
    ['', 2_592_000, 'keeps the session of b1 for 30d while it is offline, not without limit as requested'],
    ['&expiry=7200', 60, 'keeps the session of b1 for 1m while it is offline, not for 2h as requested'],
    ['&expiry=60', 0, 'ends the session of b1 with the connection, not for 1m as requested'],
  ])('is reported once if the broker shortens it (%s, %i)', async (setting, sessionExpiryInterval, text) => {
    const { url, hangUp, of } = await broker5({ connack: { sessionExpiryInterval } });
    const notices: string[] = [];
    const onNotice = (notice: string) => notices.push(notice);
    closed(await openSource(`${url}/t?${session}${setting}`, { onNotice }));
    hangUp();
    await expect.poll(() => of('subscribe').length).toBe(2);
    expect(notices).toEqual([`${url} ${text}`]);
  });

  it.each([
    [`${session}&expiry=60`, {}],
    [`${session}&expiry=60`, { sessionExpiryInterval: 60 }],
    ['version=5', { sessionExpiryInterval: 0 }],
  ])('is not reported otherwise (%s, %j)', async (settings, connack) => {
    const { url } = await broker5({ connack });
    const notices: string[] = [];
    closed(await openSource(`${url}/t?${settings}`, { onNotice: (notice) => notices.push(notice) }));
    expect(notices).toEqual([]);
  });

  it('is a warning of stream tail, and a line of stream bridge', async () => {
    const { url } = await broker5({ connack: { sessionExpiryInterval: 60 } });
    const address = `${url}/t?${session}`;
    const text = `${url} keeps the session of b1 for 1m while it is offline, not without limit as requested`;
    const tail = await runCli(['stream', 'tail', address, '--for', '10ms']);
    expect(flat(tail.stderr)).toContain(`! ${text}`);
    const json = await runCli(['stream', 'tail', address, '--for', '10ms', '--json']);
    expect(json.stderr).toContain(JSON.stringify({ warning: text }));
    const stop = new AbortController();
    const lines: string[] = [];
    const route = bridgeRoute({ from: address, to: `${url}/u?version=5` });
    await runWatched([route], {
      signal: stop.signal,
      onLine: (line) => lines.push(line),
      onOpen: () => stop.abort(),
    });
    expect(lines).toContain(text);
  });
});

describe('errors of an MQTT 5 broker', () => {
  it('contain the reason for rejecting the connection', async () => {
    const properties = { reasonString: 'clock is wrong\u001b[2J' };
    const { url } = await broker5({
      answer: ({ cmd }, say) => {
        if (cmd === 'connect') say({ cmd: 'connack', reasonCode: 135, sessionPresent: false, properties });
        return cmd === 'connect';
      },
    });
    await expect(openSource(`${url}/t`)).rejects.toMatchObject({
      code: 'AIOT_BROKER_REFUSED',
      message: `${url} rejected the connection: not authorized (0x87): clock is wrong\\x1b[2J`,
    });
  });

  it('contain the server that the broker refers to', async () => {
    const properties = { serverReference: 'b2.example:1883' };
    const { url } = await broker5({
      answer: ({ cmd }, say) => {
        if (cmd === 'connect') say({ cmd: 'connack', reasonCode: 157, sessionPresent: false, properties });
        return cmd === 'connect';
      },
    });
    await expect(openSource(`${url}/t`)).rejects.toMatchObject({
      code: 'AIOT_BROKER_UNREACHABLE',
      message: `${url}: server moved (0x9d)`,
      next: 'Use the server that the broker refers to: b2.example:1883',
    });
  });

  it.each([
    [135, 'ward closed', 'does not permit this client to subscribe to t: not authorized (0x87): ward closed'],
    [158, undefined, 'rejects the subscription to t: shared subscriptions not supported (0x9e)'],
  ])('contain the reason %i for refusing a subscription', async (code, reasonString, expected) => {
    const { url } = await broker5({
      answer: ({ cmd, messageId }, say) => {
        const properties = reasonString === undefined ? {} : { reasonString };
        if (cmd === 'subscribe') say({ cmd: 'suback', messageId, granted: [code], properties });
        return cmd === 'subscribe';
      },
    });
    await expect(openSource(`${url}/t`)).rejects.toMatchObject({
      code: 'AIOT_BROKER_REFUSED',
      message: `${url} ${expected}`,
    });
  });

  it('end a source if its subscription is rejected after a reconnect', async () => {
    let subscriptions = 0;
    const { url, hangUp } = await broker5({
      answer: ({ cmd, messageId }, say) => {
        if (cmd !== 'subscribe' || ++subscriptions === 1) return false;
        say({ cmd: 'suback', messageId, granted: [135] });
        return true;
      },
    });
    const source = closed(await openSource(`${url}/t`));
    hangUp();
    await expect(deliveriesOf(source).next()).rejects.toMatchObject({
      code: 'AIOT_BROKER_REFUSED',
      message: `${url} does not permit this client to subscribe to t: not authorized (0x87)`,
    });
  });

  it('contain the reason for rejecting a message', async () => {
    const properties = { reasonString: 'disk full' };
    const { url } = await broker5({
      answer: ({ cmd, messageId }, say) => {
        if (cmd === 'publish') say({ cmd: 'puback', messageId, reasonCode: 151, properties });
        return cmd === 'publish';
      },
    });
    const sink = closed(await openSink(url));
    await expect(sink.write(one('x'))).rejects.toMatchObject({
      code: 'AIOT_BROKER_REFUSED',
      message: `${url} rejects messages published to plant/a: quota exceeded (0x97): disk full`,
      retryable: true,
    });
  });

  it('contain the reason why the broker ends connections after a message', async () => {
    const { url } = await broker5({
      answer: ({ cmd }, say, socket) => {
        if (cmd !== 'publish') return false;
        say({ cmd: 'disconnect', reasonCode: 144, properties: { reasonString: 'no such plant' } });
        socket.end();
        return true;
      },
    });
    const sink = closed(await openSink(url));
    await expect(sink.write(one('x'))).rejects.toMatchObject({
      code: 'AIOT_BROKER_REFUSED',
      message: `${url} closes the connection when we publish to plant/a: topic name invalid (0x90): no such plant`,
    });
  });

  it('report why the broker ended the connection, and the source continues', async () => {
    const { url, hangUp, of } = await broker5();
    const tail = runCli([
      'stream',
      'tail',
      `${url}/plant/#`,
      '--count',
      '1',
      '--timeout',
      '9s',
      '--format',
      'raw',
    ]);
    await expect.poll(() => of('subscribe').length).toBe(1);
    hangUp({ reasonCode: 139, properties: { reasonString: 'back in a minute' } });
    await expect.poll(() => of('subscribe').length).toBe(2);
    await closed(await openSink(url)).write(one('again'));
    const { code, stdout, stderr } = await tail;
    expect(stderr).toContain(
      `AIOT_BROKER_UNREACHABLE: ${url} ended the connection: server shutting down (0x8b): back in a minute\n`,
    );
    expect(stderr).toContain('Connection lost. Retrying…');
    expect({ code, stdout }).toEqual({ code: 0, stdout: 'again\n' });
  });

  it('end a sink if another client uses its client id', async () => {
    const { url, of } = await broker5({
      answer: ({ cmd }, say, socket) => {
        if (cmd !== 'publish') return false;
        say({ cmd: 'disconnect', reasonCode: 142 });
        socket.end();
        return true;
      },
    });
    const sink = closed(await openSink(`${url}/plant/a?clientId=same`));
    const refused = {
      code: 'AIOT_BROKER_REFUSED',
      message: `${url}: another client connected with the same client id, same`,
      retryable: true,
    };
    await expect(sink.write(one('x'))).rejects.toMatchObject(refused);
    await expect(sink.write(one('y'))).rejects.toMatchObject(refused);
    // The client does not take back the session.
    expect(of('connect')).toHaveLength(1);
  });
});

describe('limits of an MQTT 5 broker', () => {
  it('reject a message that is too large, with both sizes', async () => {
    const { url, of } = await broker5({ connack: { maximumPacketSize: 100 } });
    const sink = closed(await openSink(url));
    await expect(sink.write(one('x'.repeat(200)))).rejects.toMatchObject({
      code: 'AIOT_STREAM_MESSAGE_REFUSED',
      message: `${url} accepts packets of at most 100 bytes; the packet for plant/a has 215`,
    });
    await sink.write(one('fits'));
    expect(of('publish').map(({ payload }) => String(payload))).toEqual(['fits']);
  });

  it.each([
    ['a retained message', { retainAvailable: false }, { retain: true }, 'does not retain messages'],
    ['an acknowledged message', { maximumQoS: 0 }, {}, 'accepts messages only at QoS 0'],
  ])('reject %s that it does not support', async (_, connack, message, expected) => {
    const { url, of } = await broker5({ connack });
    const sink = closed(await openSink(url));
    await expect(sink.write(one('x', message))).rejects.toMatchObject({
      code: 'AIOT_STREAM_MESSAGE_REFUSED',
      message: expect.stringContaining(expected),
    });
    expect(of('publish')).toEqual([]);
  });

  it('keep as many messages in flight as it accepts', async () => {
    const open: number[] = [];
    let most = 0;
    const { url } = await broker5({
      connack: { receiveMaximum: 3 },
      answer: ({ cmd, messageId = 0 }, say) => {
        if (cmd !== 'publish') return false;
        most = Math.max(most, open.push(messageId));
        setTimeout(() => {
          open.splice(open.indexOf(messageId), 1);
          say({ cmd: 'puback', messageId, reasonCode: 0 });
        }, 5);
        return true;
      },
    });
    const sink = closed(await openSink(url));
    await sink.write(Array.from({ length: 20 }, (_, n) => ({ topic: 't', payload: Buffer.from([n]) })));
    expect(most).toBe(3);
  });

  it('replace repeated topics with aliases', async () => {
    const { url, of } = await broker5({ connack: { topicAliasMaximum: 1 } });
    const source = closed(await openSource(`${url}/plant/#`));
    const sink = closed(await openSink(url));
    const topics = ['plant/a', 'plant/a', 'plant/b', 'plant/a'];
    await sink.write(topics.map((topic) => ({ topic, payload: Buffer.from('x') })));
    expect(of('publish').map(({ topic, properties }) => [topic, properties?.topicAlias])).toEqual([
      ['plant/a', 1],
      ['', 1],
      ['plant/b', undefined],
      ['', 1],
    ]);
    const arrived: string[] = [];
    for await (const { message } of deliveriesOf(source)) if (arrived.push(message.topic) === 4) break;
    expect(arrived).toEqual(topics);
  });
});

describe('are published as user properties and MQTT 5’s own properties', () => {
  const publish = (url: string, ...words: string[]) => runCli(['stream', 'publish', url, ...words]);

  const headers = [
    ['unit', 'C'],
    ['unit', 'K'],
    ['content-type', 'text/plain'],
    ['mqtt-response-topic', 'answers'],
    ['mqtt-message-expiry-interval', '60'],
  ] as const;

  it('are published as user properties and MQTT 5’s own', async () => {
    const { url, of } = await broker5();
    const words = headers.flatMap((header) => ['--header', header.join('=')]);
    expect((await publish(`${url}/plant/a`, '21.5', ...words)).code).toBe(0);
    expect(of('publish')[0]).toMatchObject({
      properties: {
        userProperties: { unit: ['C', 'K'] },
        contentType: 'text/plain',
        responseTopic: 'answers',
        messageExpiryInterval: 60,
      },
    });
  });

  it('are shown by tail, as text and with --json', async () => {
    const { url, of } = await broker5();
    const shown = async (...words: string[]) => {
      const before = of('subscribe').length;
      const limits = ['--count', '1', '--timeout', '9s', ...words];
      const tail = runCli(['stream', 'tail', `${url}/plant/#?version=5`, ...limits]);
      await expect.poll(() => of('subscribe').length).toBe(before + 1);
      const sink = await openSink(url);
      await sink.write(one('21.5', { headers }));
      await sink.close();
      return (await tail).stdout;
    };
    const line = JSON.parse(await shown('--json')) as { headers: string[][] };
    const sorted = (list: readonly (readonly string[])[]) => list.map(String).sort();
    expect(sorted(line.headers)).toEqual(sorted(headers));
    expect(await shown()).toMatch(/ {2}plant\/a {2}21\.5 {2}\{.*unit=C, unit=K.*\}\n$/);
  });

  it('are rejected by publish if the broker uses MQTT 3.1.1, and nothing is published', async () => {
    const url = await broker3();
    const source = closed(await openSource(`${url}/plant/#`));
    const { code, stderr } = await publish(`${url}/plant/a`, '21.5', '--header', 'unit=C');
    expect(code).toBe(1);
    expect(flat(stderr)).toContain('AIOT_STREAM_MESSAGE_REFUSED');
    expect(flat(stderr)).toContain('the connection uses MQTT 3.1.1, which has no headers');
    expect(flat(stderr)).toContain('Publish without headers');
    expect((await publish(`${url}/plant/a`, 'next')).code).toBe(0);
    expect(String((await deliveriesOf(source).next()).value?.message.payload)).toBe('next');
  });

  describe('in a file', () => {
    const line = (n: number) =>
      JSON.stringify({ topic: `plant/${n}`, time: n, payload: n, headers: [['unit', 'C']] });
    let folder: string;
    const file = async () => {
      folder = await mkdtemp(join(tmpdir(), 'aiot-headers-'));
      closing.push({ close: () => rm(folder, { recursive: true, force: true }) });
      const path = join(folder, 'in.ndjson');
      await writeFile(path, `${[1, 2].map(line).join('\n')}\n`);
      return path;
    };

    it('are dropped with a warning for a broker that uses MQTT 3.1.1', async () => {
      const url = await broker3();
      const lost = 'the connection uses MQTT 3.1.1, which has no headers: 2 messages sent without them';
      const published = await publish(url, '--file', await file());
      expect({ code: published.code, stderr: flat(published.stderr) }).toEqual({
        code: 0,
        stderr: expect.stringContaining(lost),
      });
      const replayed = await runCli(['stream', 'replay', await file(), '--to', url, '--speed', 'max']);
      expect(flat(replayed.stderr)).toContain(lost);
    });

    it('are dropped by a bridge, which reports this once and counts the messages', async () => {
      const url = await broker3();
      const path = await file();
      const { json, stderr } = await runCli([
        'stream',
        'bridge',
        `file:${path}`,
        url,
        '--batch',
        '1',
        '--json',
      ]);
      expect(json).toMatchObject({ routes: [{ to: [{ written: 2, withoutHeaders: 2 }] }] });
      expect(stderr.match(/which has no headers: messages are sent without them/g)).toHaveLength(1);
    });

    it('pass through a bridge to a broker that uses MQTT 5', async () => {
      const { url, of } = await broker5();
      const { json, stderr } = await runCli(['stream', 'bridge', `file:${await file()}`, url, '--json']);
      expect(json).toMatchObject({ routes: [{ to: [{ written: 2 }] }] });
      expect(json).not.toHaveProperty('routes.0.to.0.withoutHeaders');
      expect(stderr).not.toContain('no headers');
      expect(of('publish').map(({ properties }) => properties?.userProperties)).toEqual([
        { unit: 'C' },
        { unit: 'C' },
      ]);
    });
  });
});

describe('a shared MQTT subscription', () => {
  it.each([
    ['/plant/#?group=g', undefined],
    ['/plant/#', 'g'],
    ['/$share/g/plant/#', undefined],
  ])('is requested by %s and the group %s', async (place, group) => {
    const { url, of } = await broker5();
    await (await openSource(`${url}${place}`, group === undefined ? {} : { group })).close();
    expect(of('subscribe')[0]?.subscriptions.map(({ topic }) => topic)).toEqual(['$share/g/plant/#']);
  });

  it.each([
    ['two groups', '/$share/g/t?group=h', {}, 'expected either a group or a filter with $share'],
    ['no filter', '/$share/g', {}, 'expected $share/GROUP/FILTER'],
    ['a wildcard as its group', '/$share/+/t', {}, 'expected $share/GROUP/FILTER'],
    ['a slash in the name of its group', '/t', { group: 'a/b' }, 'group: expected a name'],
    ['noLocal', '/t?group=g&noLocal', {}, 'noLocal is not possible in a shared subscription'],
  ])('is rejected with %s', async (_, place, options, message) => {
    await expect(openSource(`mqtt://127.0.0.1:1${place}`, options)).rejects.toMatchObject({
      code: 'AIOT_STREAM_URL',
      message: expect.stringContaining(message),
    });
  });
});

describe('an MQTT 5 session', () => {
  it.each([
    ['', { clean: true, properties: {} }],
    ['?clientId=b1&clean=false', { clean: false, properties: { sessionExpiryInterval: 0xffff_ffff } }],
    ['?clientId=b1&clean=false&expiry=3600', { clean: false, properties: { sessionExpiryInterval: 3600 } }],
  ])('is requested with "%s"', async (query, expected) => {
    const { url, of } = await broker5();
    await (await openSource(`${url}/t${query}`)).close();
    expect(of('connect')[0]).toMatchObject(expected);
    if (query === '') expect(of('connect')[0]?.properties).not.toHaveProperty('sessionExpiryInterval');
  });

  it('reconnects after a message without a topic, which would need an alias that was never agreed on', async () => {
    const { url, of, send } = await broker5();
    const states: unknown[] = [];
    const onState = (state: string, error?: Error) => states.push(`${state} ${error?.message ?? ''}`);
    closed(await openSource(`${url}/plant/#`, { onState }));
    const properties = { topicAlias: 1 };
    send({ cmd: 'publish', topic: '', payload: 'x', qos: 0, dup: false, retain: false, properties });
    await expect.poll(() => of('connect').length).toBe(2);
    expect(states[0]).toBe(
      `disconnected ${url}: the broker sent an invalid MQTT packet: a PUBLISH has no topic`,
    );
  });
});
