import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createSecureContext, type TLSSocket } from 'node:tls';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { digestOf, generateKeyPair } from '../../src/lib/core/crypto.js';
import { Line } from '../../src/lib/device/fleet/line.js';
import type { DeviceIdentity } from '../../src/lib/device/identity/identity.js';
import type { ModelRuntime } from '../../src/lib/device/runtime.js';
import { createInFlight } from '../../src/lib/device/telemetry/feed.js';
import { createVirtualDevice } from '../../src/lib/device/virtual/device.js';
import { createFlash, PowerCut } from '../../src/lib/device/virtual/flash.js';
import { createHttpSource } from '../../src/lib/device/virtual/http-link.js';
import { flashBytesFor } from '../../src/lib/device/virtual/store.js';
import { openAuthority } from '../../src/lib/provision/authority.js';
import { certificateRequest } from '../../src/lib/provision/certificates.js';
import { startBroker, type TestBroker } from '../support/broker.js';
import { anyRuntime, memorySource, release, trust } from '../support/update.js';

let folder: string;
let identity: DeviceIdentity;
let tls: { key: string; cert: string; ca: string; requestCert: true; rejectUnauthorized: true };
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'aiot-link-'));
  const authority = await openAuthority(folder, Date.now);
  const server = await authority.server(['127.0.0.1']);
  const key = generateKeyPair().privatePem;
  const csr = await certificateRequest(key, 'dev-1');
  const { certificate } = await authority.device({ csr, name: 'dev-1', id: 'dev_1' });
  const ca = authority.certificate;
  tls = { key: server.key, cert: server.certificate, ca, requestCert: true, rejectUnauthorized: true };
  const urls = { http: '', mqtts: '' };
  identity = { name: 'dev-1', id: 'dev_1', type: 'virtual', urls, key, certificate, ca, trust };
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

async function serve(handle: (request: IncomingMessage, response: ServerResponse) => void) {
  const server = createServer(tls, handle);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  closing.push(
    () => server.closeAllConnections(),
    () => server.close(),
  );
  const { port } = server.address() as { port: number };
  const source = createHttpSource({
    ...identity,
    urls: { ...identity.urls, http: `https://127.0.0.1:${port}` },
  });
  closing.push(() => source.close());
  return source;
}

const { signal } = new AbortController();
const content = Buffer.from(Array.from({ length: 5000 }, (_, i) => i & 0xff));

async function collect(parts: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of parts) chunks.push(chunk);
  return Buffer.concat(chunks);
}

describe('downloads over HTTPS', () => {
  it('authenticate the device by its certificate, and request only the rest of a blob', async () => {
    const asked: unknown[] = [];
    const source = await serve((request, response) => {
      const { CN } = (request.socket as TLSSocket).getPeerCertificate().subject;
      asked.push([CN, request.url, request.headers.range]);
      const from = Number(/bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0);
      response.writeHead(
        from > 0 ? 206 : 200,
        from > 0 ? { 'content-range': `bytes ${from}-4999/5000` } : {},
      );
      response.end(content.subarray(from));
    });
    expect(await collect(source.blob('sha256:ab', 0, signal))).toEqual(content);
    expect(await collect(source.blob('sha256:ab', 4000, signal))).toEqual(content.subarray(4000));
    expect(asked).toEqual([
      ['dev-1', '/api/v1/blobs/sha256:ab', undefined],
      ['dev-1', '/api/v1/blobs/sha256:ab', 'bytes=4000-'],
    ]);
  });

  it('return the right bytes from a server that ignores ranges or starts earlier', async () => {
    const whole = await serve((_, response) => response.end(content));
    expect(await collect(whole.blob('x', 1234, signal))).toEqual(content.subarray(1234));
    const earlier = await serve((_, response) => {
      response.writeHead(206, { 'content-range': 'bytes 1000-4999/5000' }).end(content.subarray(1000));
    });
    expect(await collect(earlier.blob('x', 1234, signal))).toEqual(content.subarray(1234));
  });

  it.each([
    ['a server error', 503, {}, true],
    ['a rejection', 403, {}, false],
    ['bytes from another position', 206, { 'content-range': 'bytes 3000-4999/5000' }, false],
  ])('report whether %s is retryable', async (_, status, headers, retryable) => {
    const source = await serve((_request, response) => response.writeHead(status, headers).end(content));
    await expect(collect(source.blob('x', 2000, signal))).rejects.toMatchObject({
      code: 'AIOT_UPDATE_DOWNLOAD',
      retryable,
    });
  });

  it('are requested only from the platform', async () => {
    const source = await serve((_, response) => response.end('{}'));
    for (const path of ['//127.0.0.1:1/api/v1/manifests/1', '/\\127.0.0.1:1/x']) {
      await expect(source.manifest(path, AbortSignal.timeout(5000))).rejects.toMatchObject({
        code: 'AIOT_UPDATE_DOWNLOAD',
        retryable: false,
      });
    }
  });

  it('can be retried after an interruption', async () => {
    const source = await serve((_, response) => {
      response.writeHead(200, { 'content-length': '5000' });
      response.write(content.subarray(0, 1000), () => response.destroy());
    });
    await expect(collect(source.blob('x', 0, signal))).rejects.toMatchObject({ retryable: true });
  });

  it.each([
    ['is not JSON', 'hello'],
    ['does not end', '['.repeat(70_000)],
  ])('are rejected if the manifest %s', async (_, body) => {
    const source = await serve((_request, response) => response.end(body));
    await expect(source.manifest('/m', signal)).rejects.toMatchObject({ code: 'AIOT_MANIFEST_MALFORMED' });
  });

  it('are rejected if the server belongs to another certificate authority', async () => {
    const other = await mkdtemp(join(tmpdir(), 'aiot-other-'));
    closing.push(() => rm(other, { recursive: true }));
    const { certificate: ca } = await openAuthority(other, Date.now);
    const server = createServer(tls, (_, response) => response.end('{}')).listen(0, '127.0.0.1');
    await once(server, 'listening');
    closing.push(() => server.close());
    const { port } = server.address() as { port: number };
    const urls = { http: `https://127.0.0.1:${port}`, mqtts: '' };
    const source = createHttpSource({ ...identity, ca, urls });
    closing.push(() => source.close());
    await expect(source.manifest('/m', signal)).rejects.toMatchObject({ code: 'AIOT_UPDATE_DOWNLOAD' });
  });
});

describe('a device connected to a broker', () => {
  async function broker(): Promise<{ started: TestBroker; own: DeviceIdentity; seen: [string, string][] }> {
    const seen: [string, string][] = [];
    const started = await startBroker({ tls });
    closing.push(() => started.close());
    started.aedes.on('publish', ({ topic, payload }) => {
      if (topic.startsWith('aiot/')) seen.push([topic.replace('aiot/v1/dev-1/', ''), String(payload)]);
    });
    const urls = { http: 'https://127.0.0.1:1', mqtts: `mqtts://127.0.0.1:${started.port}` };
    return { started, own: { ...identity, urls }, seen };
  }

  it('goes offline through its last will if power fails during an update, and boots from its flash again', async () => {
    const { started, own, seen } = await broker();
    const wanted = release(
      Uint8Array.from({ length: 6000 }, (_, i) => i & 0xff),
      1,
    );
    const flash = createFlash({ bytes: flashBytesFor(16_384) });
    const options = { identity: own, flash, runtime: anyRuntime, source: memorySource([wanted]) };
    const device = await createVirtualDevice(options);
    await device.connect();
    flash.cutAfter(12_000);
    started.aedes.publish(
      {
        cmd: 'publish',
        topic: 'aiot/v1/dev-1/desired',
        payload: Buffer.from(JSON.stringify(wanted.desired)),
        qos: 1,
        retain: true,
        dup: false,
      },
      () => {},
    );
    await expect
      .poll(() => seen.filter(([topic]) => topic === 'presence').map(([, p]) => JSON.parse(p).online))
      .toEqual([true, false]);
    expect(device.online).toBe(false);
    await expect(device.connect()).rejects.toThrow(PowerCut);
    await device.stop();

    flash.powerOn();
    const booted = await createVirtualDevice(options);
    await booted.connect();
    await expect.poll(() => booted.reported.state).toBe('COMMITTED');
    expect(booted.reported.model).toMatchObject({ digest: digestOf(wanted.bytes) });
    await booted.stop();
  });

  it('predicts from its sensor as soon as it has a model, and switches to the next one', async () => {
    const { started, own, seen } = await broker();
    const [first, second] = [release(Buffer.from('first'), 1), release(Buffer.from('second'), 2)];
    const runtime: ModelRuntime = {
      ...anyRuntime,
      load: async (bundle) => ({
        fields: ['b'],
        rateHz: 100,
        classes: ['low', 'high'],
        arenaBytes: 1024,
        createPredictor() {
          let window = 0;
          const label = Buffer.from(bundle).toString();
          const scores = [1];
          return {
            push: (sample) =>
              sample[0] === 1
                ? { window: window++, index: 0, label, voted: label, scores, value: null, latencyMs: 0.1 }
                : null,
            reset: () => {},
          };
        },
      }),
    };
    const sensor = {
      fields: ['a', 'b'],
      rateHz: 100,
      *samples() {
        for (let i = 0; ; i++) yield [0.5, i % 3];
      },
    };
    const device = await createVirtualDevice({
      identity: own,
      runtime,
      sensor,
      source: memorySource([first, second]),
    });
    await device.connect();
    const end = new AbortController();
    const sensing = device.sense({
      stream: 's',
      predict: true,
      telemetry: true,
      speed: 20,
      signal: end.signal,
    });
    const labels = () =>
      seen.filter(([topic]) => topic === 'inference').map(([, payload]) => JSON.parse(payload).label);
    for (const [label, { desired }] of [
      ['first', first],
      ['second', second],
    ] as const) {
      const payload = Buffer.from(JSON.stringify(desired));
      const topic = 'aiot/v1/dev-1/desired';
      started.aedes.publish({ cmd: 'publish', topic, payload, qos: 1, retain: true, dup: false }, () => {});
      await expect.poll(() => labels().at(-1)).toBe(label);
    }
    end.abort();
    const { samples, messages, inferences } = await sensing;
    // The last message may still be in flight.
    await expect.poll(() => labels().length).toBe(inferences);
    expect(messages).toBe(Math.ceil(samples / 100));
    await device.stop();
  });

  it('connects again until the broker accepts its subscriptions, and is offline until then', async () => {
    const { started, own, seen } = await broker();
    const device = await createVirtualDevice({ identity: own, runtime: anyRuntime });
    await device.connect();
    let rejections = 2;
    const { authorizeSubscribe } = started.aedes;
    started.aedes.authorizeSubscribe = (client, subscription, done) => {
      if (rejections === 0 || !subscription?.topic.endsWith('/desired'))
        return authorizeSubscribe(client, subscription, done);
      rejections--;
      done(null, null);
    };
    const presences = () =>
      seen.filter(([topic]) => topic === 'presence').map(([, text]) => JSON.parse(text).online);
    await expect.poll(presences).toEqual([true]);
    started.drop();
    // The pauses before the three attempts alone add up to several seconds.
    await expect.poll(presences, { timeout: 30_000 }).toEqual([true, false, false, false, true]);
    expect(rejections).toBe(0);
    const topic = 'aiot/v1/dev-1/desired';
    const payload = Buffer.from('hello');
    started.aedes.publish({ cmd: 'publish', topic, payload, qos: 1, retain: false, dup: false }, () => {});
    await expect.poll(() => seen.filter(([topic]) => topic === 'log').length).toBe(1);
    await device.stop();
  });

  it('stays offline if it is stopped before the broker has confirmed its subscriptions', async () => {
    const { started, own, seen } = await broker();
    const device = await createVirtualDevice({ identity: own, runtime: anyRuntime });
    await device.connect();
    const presences = () =>
      seen.filter(([topic]) => topic === 'presence').map(([, text]) => JSON.parse(text).online);
    await expect.poll(presences).toEqual([true]);
    const waiting: (() => void)[] = [];
    started.aedes.authorizeSubscribe = (_client, subscription, done) => {
      waiting.push(() => done(null, subscription));
    };
    started.drop();
    await expect.poll(() => waiting.length).toBeGreaterThan(0);
    const stopped = device.stop();
    await expect.poll(presences).toEqual([true, false, false]);
    for (const confirm of waiting) confirm();
    await stopped;
    expect(presences().at(-1)).toBe(false);
  });

  it('of a simulated fleet, is only ready once the broker accepts its subscriptions', async () => {
    const { started, own } = await broker();
    started.aedes.authorizeSubscribe = (_client, subscription, done) =>
      done(null, subscription.topic.endsWith('/command') ? null : subscription);
    const [name, context] = [
      'dev-1',
      createSecureContext({ ca: own.ca, cert: own.certificate, key: own.key }),
    ];
    let ready = 0;
    const closed = await new Promise<Error | null>((onClosed) => {
      new Line({
        ...{ name, now: Date.now, onClosed, onMessage() {}, onDesired() {}, onAcknowledged() {} },
        door: { host: '127.0.0.1', port: started.port, secure: { servername: '127.0.0.1', context } },
        onReady: () => ready++,
      });
    });
    expect(closed?.message).toBe('the broker rejected the subscriptions of dev-1');
    expect(ready).toBe(0);
  });

  it('continues after invalid payloads, and logs them', async () => {
    const { started, own, seen } = await broker();
    const device = await createVirtualDevice({ identity: own, runtime: anyRuntime });
    await device.connect();
    for (const [channel, payload] of [
      ['desired', 'hello'],
      ['desired', '{"rollout":1}'],
      ['command', '[]'],
    ] as const) {
      started.aedes.publish(
        {
          cmd: 'publish',
          topic: `aiot/v1/dev-1/${channel}`,
          payload: Buffer.from(payload),
          qos: 1,
          retain: false,
          dup: false,
        },
        () => {},
      );
    }
    await expect.poll(() => seen.filter(([topic]) => topic === 'log').length).toBe(3);
    expect(device.online).toBe(true);
    await device.stop();
  });
});

describe('messages in flight', () => {
  it('never exceed the limit, and are all awaited', async () => {
    const inFlight = createInFlight(4);
    let running = 0;
    let most = 0;
    let done = 0;
    for (let i = 0; i < 40; i++) {
      await inFlight.add(async () => {
        most = Math.max(most, ++running);
        await new Promise((resolve) => setTimeout(resolve, i % 3));
        running--;
        done++;
      });
    }
    await inFlight.drained();
    expect({ most, done }).toEqual({ most: 4, done: 40 });
  });

  it('are reported if they fail', async () => {
    const inFlight = createInFlight(4);
    await inFlight.add(async () => Promise.reject(new Error('lost')));
    await expect(inFlight.drained()).rejects.toThrow('lost');
  });

  it('can be aborted', async () => {
    const stop = new AbortController();
    const inFlight = createInFlight(1, stop.signal);
    await inFlight.add(() => new Promise(() => {}));
    const waiting = inFlight.add(async () => {});
    stop.abort(new Error('enough'));
    await expect(waiting).rejects.toThrow('enough');
  });
});
