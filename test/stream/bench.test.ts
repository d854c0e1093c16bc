import { afterEach, describe, expect, it } from 'vitest';
import { decodeProbe, encodeProbe, Receipts } from '../../src/lib/stream/broker/bench.js';
import { startBroker } from '../support/broker.js';
import { runCli } from '../support/cli.js';

const closing: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const open of closing.splice(0)) await open.close();
});

describe('aiot stream bench', () => {
  it.each(['0', '1', '2'])('measures a broker at QoS %s', async (qos) => {
    const broker = await startBroker();
    closing.push(broker);
    const url = `mqtt://127.0.0.1:${broker.port}`;
    const { code, json } = await runCli([
      ...['stream', 'bench', url, '--count', '500', '--size', '200', '--qos', qos, '--json'],
    ]);
    expect({ code, json }).toMatchObject({
      code: 0,
      json: {
        endpoint: url,
        topic: expect.stringMatching(/^aiot\/bench\/[0-9a-f]{8}$/),
        messages: 500,
        bytes: 200,
        received: { messages: 500 },
        lost: 0,
        twice: 0,
        outOfOrder: 0,
      },
    });
    const { latency, published, received } = json as {
      latency: Record<'least' | 'p50' | 'p90' | 'p99' | 'most', number>;
      published: { seconds: number; rate: number };
      received: { seconds: number; rate: number };
    };
    const { least, p50, p90, p99, most } = latency;
    expect([least, p50, p90, p99, most]).toEqual([least, p50, p90, p99, most].sort((a, b) => a - b));
    expect(published.rate).toBeCloseTo(500 / published.seconds, 3);
    expect(received.rate).toBeCloseTo(500 / received.seconds, 3);
  });

  it('keeps to the requested rate and prints a table', async () => {
    const broker = await startBroker();
    closing.push(broker);
    const url = `mqtt://127.0.0.1:${broker.port}/plant/bench`;
    const started = Date.now();
    const { code, stdout } = await runCli([
      ...['stream', 'bench', url, '--count', '200', '--rate', '400', '--no-color'],
    ]);
    expect(code).toBe(0);
    expect(Date.now() - started).toBeGreaterThanOrEqual(480);
    expect(stdout).toMatch(/SECONDS +MESSAGES\/S +BYTES\n/);
    expect(stdout).toMatch(/200 messages of 150 B: none lost\n/);
    expect(stdout).toMatch(/latency {3}p50 .* ms, p90 .* ms, p99 .* ms, maximum .* ms/);
  });

  it('reports lost messages with exit code 6', async () => {
    let published = 0;
    const broker = await startBroker({
      prepare: (aedes) => {
        // The broker acknowledges every tenth message but does not forward it.
        aedes.authorizeForward = (_client, packet) =>
          packet.topic.startsWith('$SYS') || ++published % 10 !== 0 ? packet : null;
      },
    });
    closing.push(broker);
    const { code, json } = await runCli([
      ...['stream', 'bench', `mqtt://127.0.0.1:${broker.port}`, '--count', '200', '--json'],
    ]);
    expect(code).toBe(6);
    expect((json as { lost: number }).lost).toBeGreaterThanOrEqual(19);
  });

  it.each([
    ['a filter instead of a topic', ['mqtt://127.0.0.1:1/a/#'], 'expected a topic, got the filter a/#'],
    ['a client id in the URL', ['mqtt://127.0.0.1:1/a?clientId=x'], 'clientId must not be set'],
    ['a payload that is too small', ['mqtt://127.0.0.1:1/a', '--size', '10'], '--size'],
    ['a URL without a topic', ['kafka://127.0.0.1:1'], 'expected a topic for the measurement'],
  ])('rejects %s', async (_, args, named) => {
    const { code, stderr } = await runCli(['stream', 'bench', ...args]);
    expect(code).toBe(2);
    expect(stderr).toContain(named);
  });
});

describe('the receipts of a benchmark', () => {
  it('count duplicates and out-of-order messages, and give nearest-rank percentiles', () => {
    const receipts = new Receipts(5);
    const at = (number: number, sent: number, now: number) => receipts.take({ run: 'r', number, sent }, now);
    at(0, 0, 1);
    at(2, 0, 2);
    at(1, 0, 3);
    at(1, 0, 9);
    at(-1, 0, 9);
    at(7, 0, 9);
    at(3, 0, 10);
    expect(receipts).toMatchObject({ messages: 4, twice: 1, outOfOrder: 1, first: 1, last: 10 });
    expect(receipts.latency()).toEqual({ least: 1, p50: 2, p90: 10, p99: 10, most: 10 });
    expect(new Receipts(1).latency()).toBeUndefined();
  });

  it('decode probes of the requested size, and ignore other payloads', () => {
    const probe = { run: '00ff12ab', number: 9_999_999, sent: 123_456_789.125 };
    expect(encodeProbe(probe, 150)).toHaveLength(150);
    expect(JSON.parse(String(encodeProbe(probe, 80)))).toMatchObject({ bench: '00ff12ab', n: 9_999_999 });
    expect(decodeProbe(encodeProbe(probe, 80))).toEqual(probe);
    expect(decodeProbe(Buffer.from('{"bench":"x"}'))).toBeUndefined();
  });
});
