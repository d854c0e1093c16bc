import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { NatsConnection } from 'nats';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { root, runCli } from '../support/cli.js';
import { type NatsServer, natsClient, startNats } from '../support/nats.js';
import { describeReal } from '../support/real.js';

describeReal('nats', 'stream commands with a real nats-server', () => {
  let server: NatsServer;
  let judge: NatsConnection;
  beforeAll(async () => {
    server = await startNats();
    judge = await natsClient(server);
  });
  afterAll(async () => {
    await judge?.close();
    await server?.stop();
  });

  it('stream create creates the motion system’s stream and consumers once', async () => {
    const argv = [
      'stream',
      'create',
      join(root, 'examples/streams/motion.yaml'),
      '--at',
      server.url,
      '--json',
    ];
    const manager = await judge.jetstreamManager();
    expect((await runCli([...argv, '--dry-run'])).json).toMatchObject({ topics: [{ did: 'created' }] });
    await expect(manager.streams.info('RPI')).rejects.toThrow('stream not found');
    expect(await runCli(argv)).toMatchObject({
      code: 0,
      json: { topics: [{ name: 'RPI', did: 'created' }] },
    });
    expect((await manager.streams.info('RPI')).config).toMatchObject({
      subjects: ['x', 'y', 'z', 'feats', 'predictions', 'output'],
      retention: 'workqueue',
      storage: 'file',
      num_replicas: 1,
      discard: 'old',
      max_age: 30_000_000_000,
      duplicate_window: 29_000_000_000,
      max_msgs: -1,
      max_bytes: -1,
    });
    const names: string[] = [];
    for await (const { name, config } of manager.consumers.list('RPI')) {
      expect(config.ack_policy).toBe('explicit');
      names.push(name);
    }
    expect(names.sort()).toEqual([
      ...['RPI-sub-feats', 'RPI-sub-predictions', 'RPI-sub-x', 'RPI-sub-y', 'RPI-sub-z'],
    ]);
    expect((await runCli(argv)).json).toMatchObject({ topics: [{ did: 'unchanged', changes: [] }] });
  });

  it('stream create applies differences, and rejects impossible changes', async () => {
    const file = join(server.folder, 'topics.yaml');
    const write = (more: string) =>
      writeFileSync(file, `at: ${server.url}\ntopics:\n  - {name: T, ${more}}\n`);
    write('subjects: [t.a], maxAge: 1h');
    await runCli(['stream', 'create', file]);
    write('subjects: [t.a, t.b], maxAge: 2h');
    expect((await runCli(['stream', 'create', file, '--json'])).json).toMatchObject({
      topics: [{ did: 'changed', changes: ['subjects t.a → t.a, t.b', 'max_age 1h → 2h'] }],
    });
    write('subjects: [t.a, t.b], storage: memory');
    const refused = await runCli(['stream', 'create', file]);
    expect(refused).toMatchObject({ code: 5, stderr: expect.stringContaining('AIOT_BROKER_REFUSED') });
    write('partitions: 3');
    const foreign = await runCli(['stream', 'create', file]);
    expect(foreign).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('does not support partitions'),
    });
  });

  it('stream list shows stored and live subjects', async () => {
    const js = judge.jetstream();
    for (const value of ['1', '2', '3']) await js.publish('t.a', value);
    const noise = setInterval(() => judge.publish('noise.core', 'xxxx'), 20);
    try {
      const { json, code } = await runCli(['stream', 'list', server.url, '--for', '500ms', '--json']);
      expect(code).toBe(0);
      const { topics } = json as { topics: { topic: string; rate?: number }[] };
      expect(topics).toContainEqual(expect.objectContaining({ topic: 't.a', stream: 'T', messages: 3 }));
      expect(topics).toContainEqual(expect.objectContaining({ topic: 't.b', stream: 'T', messages: 0 }));
      const heard = topics.find(({ topic }) => topic === 'noise.core');
      expect(heard?.rate).toBeGreaterThan(5);
      expect(topics.some(({ topic }) => topic.startsWith('_INBOX'))).toBe(false);
    } finally {
      clearInterval(noise);
    }
  });

  it('stream lag reports how far a consumer is behind, and checks it with --max', async () => {
    const manager = await judge.jetstreamManager();
    const { AckPolicy } = await import('nats');
    await manager.consumers.add('T', { durable_name: 'slow', ack_policy: AckPolicy.Explicit });
    const url = `${server.url}?stream=T`;
    expect(await runCli(['stream', 'lag', url, '--group', 'slow', '--max', '3', '--json'])).toMatchObject({
      code: 0,
      json: { lag: 3, groups: [{ group: 'slow', topic: 'T', position: 1, end: 4, lag: 3, pending: 0 }] },
    });
    expect((await runCli(['stream', 'lag', url, '--group', 'slow', '--max', '2'])).code).toBe(6);
    const missing = await runCli(['stream', 'lag', url, '--group', 'nobody']);
    expect(missing).toMatchObject({
      code: 4,
      stderr: expect.stringContaining('AIOT_STREAM_TOPIC_NOT_FOUND'),
    });
  });

  it('stream check reports what the server supports, and exits with 6 if it is unreachable', async () => {
    const { json, code } = await runCli(['stream', 'check', server.url, '--json']);
    expect(code).toBe(0);
    const { results } = json as { results: { what: string; state: string; detail: string }[] };
    expect(results.map(({ what, state }) => [what, state])).toEqual([
      ['name 127.0.0.1', 'ok'],
      [`port ${server.port}`, 'ok'],
      ['server', 'ok'],
      ['round trip', 'ok'],
      ['TLS', 'no'],
      ['authentication', 'no'],
      ['headers', 'ok'],
      ['largest message', 'ok'],
      ['subscribe >', 'ok'],
      ['JetStream', 'ok'],
    ]);
    const closed = await runCli(['stream', 'check', 'nats://127.0.0.1:1', '--json']);
    expect(closed).toMatchObject({
      code: 6,
      json: {
        ok: false,
        results: [{ state: 'ok' }, { what: 'port 1', state: 'failed' }, { what: 'broker', state: 'skipped' }],
      },
    });
  });

  it('stream check and list report a server without JetStream', async () => {
    const plain = await startNats('', { jetstream: false });
    try {
      const { json, code } = await runCli(['stream', 'check', plain.url, '--json']);
      const { results } = json as { results: { what: string; state: string }[] };
      expect(code).toBe(0);
      expect(results.at(-1)).toMatchObject({ what: 'JetStream', state: 'no' });
      expect((await runCli(['stream', 'list', plain.url, '--for', '10ms', '--json'])).json).toMatchObject({
        topics: [],
      });
      const tail = await runCli(['stream', 'tail', `${plain.url}/a`, '--from', 'beginning', '--count', '1']);
      expect(tail).toMatchObject({
        code: 1,
        stderr: expect.stringContaining('no response from JetStream'),
      });
    } finally {
      await plain.stop();
    }
  });
});
