import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { checkEndpoint } from '../../../src/lib/stream/broker/check.js';
import { openAdmin, openSink } from '../../../src/lib/stream/open.js';
import { openRedis } from '../../../src/lib/stream/redis/client.js';
import { type Certificates, makeCertificates } from '../../support/certificates.js';
import { describeReal } from '../../support/real.js';
import { type Redis, startRedis } from '../../support/redis.js';

const text = (payload: string, topic = '') => ({ topic, payload: Buffer.from(payload) });

describeReal('redis', 'a Redis sink, read with redis-cli', () => {
  let redis: Redis;
  beforeAll(async () => {
    redis = await startRedis();
  });
  afterAll(() => redis.stop());
  const written = async (path: string, ...payloads: string[]) => {
    const sink = await openSink(`redis://127.0.0.1:${redis.port}/${path}`);
    await sink.write(payloads.map((payload) => text(payload)));
    await sink.close();
  };

  it('sets the key to the newest message, for the requested time', async () => {
    await written('motion:last', 'resting', 'walking');
    expect(await redis.cli('GET', 'motion:last')).toBe('walking');
    expect(await redis.cli('TTL', 'motion:last')).toBe('-1');
    await written('motion:last?ttl=90s', 'running');
    expect(await redis.cli('GET', 'motion:last')).toBe('running');
    expect(Number(await redis.cli('TTL', 'motion:last'))).toBeGreaterThan(80);
  });

  it('appends to a list and drops its oldest entries', async () => {
    await written('labels?as=list&length=3', 'a', 'b');
    await written('labels?as=list&length=3', 'c', 'd');
    expect(await redis.cli('LRANGE', 'labels', '0', '-1')).toBe('b\nc\nd');
  });

  it('appends to a stream in another database', async () => {
    await written('log?as=stream&db=2', 'a', 'b');
    expect(await redis.cli('-n', '2', 'XLEN', 'log')).toBe('2');
    expect((await redis.cli('-n', '2', 'XRANGE', 'log', '-', '+')).split('\n').slice(1, 3)).toEqual([
      'payload',
      'a',
    ]);
  });

  it('writes bytes unchanged, under the key of each message', async () => {
    const sink = await openSink(`redis://127.0.0.1:${redis.port}/none`);
    await sink.write([{ topic: 'bytes', payload: Buffer.from([0, 255, 13, 10, 36]) }, text('x', 'other')]);
    await sink.close();
    expect(await redis.cli('--no-raw', 'GET', 'bytes')).toBe('"\\x00\\xff\\r\\n$"');
    expect(await redis.cli('GET', 'other')).toBe('x');
    expect(await redis.cli('EXISTS', 'none')).toBe('0');
  });

  it('publishes to a channel', async () => {
    const heard = redis.cli('--raw', 'SUBSCRIBE', 'votes').catch((error: { stdout: string }) => error.stdout);
    await expect.poll(() => redis.cli('PUBSUB', 'NUMSUB', 'votes')).toBe('votes\n1');
    await written('votes?as=channel', 'walking');
    await redis.cli('CLIENT', 'KILL', 'TYPE', 'pubsub');
    expect(await heard).toContain('walking');
  }, 30_000);

  it('rejects a message for a key of another type, and can retry when the server is full', async () => {
    await redis.cli('SET', 'plain', 'x');
    await expect(written('plain?as=list', 'a')).rejects.toMatchObject({
      code: 'AIOT_STREAM_MESSAGE_REFUSED',
      retryable: false,
    });
    await redis.cli('CONFIG', 'SET', 'maxmemory', '1');
    const full = written('big', 'a');
    await expect(full).rejects.toMatchObject({ code: 'AIOT_BROKER_UNREACHABLE', retryable: true });
    await redis.cli('CONFIG', 'SET', 'maxmemory', '0');
  });

  it.each([
    ['', 'a key'],
    ['k?as=hash', 'as'],
    ['k?length=3', 'length'],
    ['k?as=channel&ttl=1s', 'ttl'],
    ['k?ttl=5', 'ttl'],
  ])('rejects the address …/%s', async (path, word) => {
    await expect(written(path, 'a')).rejects.toMatchObject({ code: 'AIOT_STREAM_URL' });
    await expect(written(path, 'a')).rejects.toThrow(word);
  });

  it('passes its check and lists its keys', async () => {
    const checked = await checkEndpoint(`redis://127.0.0.1:${redis.port}/motion:last`);
    expect(checked.ok).toBe(true);
    expect(checked.results.map(({ what }) => what)).toContain('login');
    expect(checked.results.at(-1)).toMatchObject({ what: 'key motion:last', detail: 'a string' });
    const admin = await openAdmin(`redis://127.0.0.1:${redis.port}`);
    const topics = await admin.topics({ listenMs: 0 });
    expect(topics.map(({ topic }) => topic)).toContain('labels');
    await admin.close();
  });
});

describeReal('redis', 'the Redis client', () => {
  it('sets several keys in one transaction and reads them back', async () => {
    const redis = await startRedis();
    try {
      const client = await openRedis(`redis://127.0.0.1:${redis.port}`);
      expect(await client.get(['first_val', 'second_val'])).toEqual([null, null]);
      await client.set({ first_val: 'walking', second_val: 'resting' });
      expect(await redis.cli('MGET', 'first_val', 'second_val')).toBe('walking\nresting');
      expect(await redis.cli('INFO', 'commandstats')).toContain('cmdstat_exec:calls=1');
      expect(await client.get(['second_val', 'none'])).toEqual(['resting', null]);
      await client.set({ a: '1' }, 60_000);
      expect(Number(await redis.cli('PTTL', 'a'))).toBeGreaterThan(50_000);
      await client.close();
    } finally {
      await redis.stop();
    }
  });

  it('fails immediately while the server is down, and recovers when it returns', async () => {
    const redis = await startRedis();
    try {
      const states: string[] = [];
      const client = await openRedis(`redis://127.0.0.1:${redis.port}`, {
        onState: (state) => states.push(state),
      });
      await redis.kill();
      const started = performance.now();
      await expect(client.set({ a: '1' })).rejects.toMatchObject({
        code: 'AIOT_BROKER_UNREACHABLE',
        retryable: true,
      });
      expect(performance.now() - started).toBeLessThan(1000);
      expect(client.connected).toBe(false);
      await redis.start();
      for (let tries = 0; !client.connected && tries < 200; tries++) await delay(50);
      await client.set({ a: '2' });
      expect(await redis.cli('GET', 'a')).toBe('2');
      await client.close();
      expect(states.slice(0, 2)).toEqual(['connected', 'disconnected']);
      expect(states.at(-1)).toBe('connected');
    } finally {
      await redis.stop();
    }
  }, 20_000);

  it('reports an unreachable server', async () => {
    await expect(openRedis('redis://127.0.0.1:1')).rejects.toMatchObject({
      code: 'AIOT_BROKER_UNREACHABLE',
      retryable: true,
    });
  });
});

describeReal('redis', 'Redis with TLS and a password', () => {
  let certificates: Certificates;
  let redis: Redis;
  let ca: string;
  beforeAll(async () => {
    certificates = await makeCertificates();
    const { path } = certificates;
    ca = await certificates.read('ca.crt');
    const files = ['--tls-cert-file', path('server.crt'), '--tls-key-file', path('server.key')];
    redis = await startRedis(
      [...files, '--tls-ca-cert-file', path('ca.crt'), '--tls-auth-clients', 'no', '--requirepass', 's3cret'],
      ['--tls', '--cacert', path('ca.crt'), '-a', 's3cret', '--no-auth-warning'],
    );
  });
  afterAll(async () => {
    await redis.stop();
    await certificates.remove();
  });
  const open = (who: string, options = {}) =>
    openSink(`rediss://${who}127.0.0.1:${redis.port}/k?as=value`, { ca, ...options });

  it('accepts writes that redis-cli reads over TLS', async () => {
    for (const [index, sink] of [await open(':s3cret@'), await open('', { password: 's3cret' })].entries()) {
      await sink.write([text(`walking ${index}`)]);
      await sink.close();
      expect(await redis.cli('GET', 'k')).toBe(`walking ${index}`);
    }
  });

  it('rejects a missing or wrong password without repeating it', async () => {
    await expect(open('')).rejects.toMatchObject({ code: 'AIOT_BROKER_REFUSED' });
    const wrong = open(':wr0ng@');
    await expect(wrong).rejects.toMatchObject({ code: 'AIOT_BROKER_REFUSED' });
    await expect(wrong).rejects.not.toThrow('wr0ng');
  });

  it('is rejected if its CA is not configured', async () => {
    await expect(open(':s3cret@', { ca: undefined })).rejects.toMatchObject({
      code: 'AIOT_BROKER_UNREACHABLE',
      retryable: false,
    });
    const checked = await checkEndpoint(`rediss://:s3cret@127.0.0.1:${redis.port}`);
    expect(checked.ok).toBe(false);
    expect(checked.results.at(-2)).toMatchObject({ what: 'TLS', state: 'failed' });
  });

  it('fails for a connection without TLS', async () => {
    const plain = openSink(`redis://127.0.0.1:${redis.port}/k`, { connectTimeoutMs: 2000 });
    await expect(plain).rejects.toMatchObject({ code: 'AIOT_BROKER_UNREACHABLE' });
  });
});
