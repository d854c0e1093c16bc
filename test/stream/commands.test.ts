import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import StreamPublish from '../../src/commands/stream/publish.js';
import { messageLineSchema } from '../../src/lib/stream/file/line.js';
import { startBroker, type TestBroker } from '../support/broker.js';
import { runCli } from '../support/cli.js';

let broker: TestBroker;
let url: string;
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'aiot-stream-'));
  broker = await startBroker();
  url = `mqtt://127.0.0.1:${broker.port}`;
  for (const [topic, payload] of [
    ['kept/json', '{"x":1}'],
    ['kept/text', 'a\u001b[2Jb'],
    ['kept/bytes', Buffer.from([255, 0, 7])],
  ] as const) {
    broker.aedes.publish(
      { cmd: 'publish', topic, payload: Buffer.from(payload), qos: 1, retain: true, dup: false },
      () => {},
    );
  }
});
afterAll(async () => {
  await broker.close();
  await rm(folder, { recursive: true, force: true });
});

describe('stream tail', () => {
  it('prints exactly the requested number of JSON lines, then ends', async () => {
    const { stdout, code } = await runCli(['stream', 'tail', `${url}/kept/#`, '--count', '3', '--json']);
    const lines = stdout.trimEnd().split('\n');
    expect(code).toBe(0);
    expect(lines).toHaveLength(3);
    const messages = lines.map((line) => messageLineSchema.parse(JSON.parse(line)));
    expect(
      Object.fromEntries(messages.map(({ topic, payload, encoding }) => [topic, [payload, encoding]])),
    ).toEqual({
      'kept/json': [{ x: 1 }, 'json'],
      'kept/text': ['a\u001b[2Jb', 'utf8'],
      'kept/bytes': ['/wAH', 'base64'],
    });
  });

  it('prints one escaped line per message', async () => {
    const { stdout, stderr } = await runCli(['stream', 'tail', `${url}/kept/text`, '--count', '1']);
    expect(stdout).toMatch(/^\d\d:\d\d:\d\d\.\d{3} {2}kept\/text {2}a\\x1b\[2Jb\n$/);
    expect(stderr).toContain('1 message');
  });

  it('does not report messages beyond --count as dropped', async () => {
    const { stderr } = await runCli(['stream', 'tail', `${url}/kept/#`, '--count', '1']);
    expect(stderr).toMatch(/\n1 message\n$/);
  });

  it.each([
    ['raw', /^\uFFFD/],
    ['hex', /kept\/bytes {2}3 B\n00000000 {2}ff 00 07 +\|\.\.\.\|\n$/],
    ['csv', /^time,topic,payload\n\d{4}-.*Z,kept\/bytes,/],
    ['json', /^\{"topic":"kept\/bytes",.*"encoding":"base64".*\}\n$/],
  ])('prints in the format %s', async (format, expected) => {
    const { stdout } = await runCli(['stream', 'tail', `${url}/kept/bytes`, '-n', '1', '--format', format]);
    expect(stdout).toMatch(expected);
  });

  it('exits with 0 after --for, and with 124 if --timeout expires before --count is reached', async () => {
    expect((await runCli(['stream', 'tail', `${url}/kept/#`, '--for', '200ms'])).code).toBe(0);
    const late = await runCli(['stream', 'tail', `${url}/kept/#`, '-n', '9', '--timeout', '200ms', '--json']);
    expect(late.code).toBe(124);
    expect(late.json).toMatchObject({ error: { code: 'AIOT_TIMEOUT' } });
  });

  it.each([
    [['ftp://x'], 2, 'AIOT_STREAM_SCHEME'],
    [['mqtt://127.0.0.1:1/t'], 1, 'AIOT_BROKER_UNREACHABLE'],
    [['aiot:///t', '--context', 'none-such'], undefined, 'AIOT_CONTEXT_NOT_FOUND'],
    [['mqtt://127.0.0.1:1/t', '--count', '0'], 2, 'AIOT_USAGE'],
    [['mqtt://127.0.0.1:1/t', '--for', '3'], 2, 'AIOT_USAGE'],
    [['mqtt://127.0.0.1:1/t', '--cert', 'x.crt'], 2, 'AIOT_USAGE'],
    [['mqtt://127.0.0.1:1/t', '--ca', '/no/such.crt'], 4, 'AIOT_FILE_NOT_FOUND'],
    [['file:/no/such.ndjson'], 4, 'AIOT_FILE_NOT_FOUND'],
  ])('%j exits with %s and %s', async (args, exit, code) => {
    const result = await runCli(['stream', 'tail', ...args, '--json']);
    expect(result.json).toMatchObject({ error: { code } });
    if (exit !== undefined) expect(result.code).toBe(exit);
  });
});

describe('stream publish', () => {
  it('reports that the broker acknowledged the message', async () => {
    const file = join(folder, 'reading.json');
    await writeFile(file, '{"z":3}');
    const { json, code } = await runCli([
      'stream',
      'publish',
      `${url}/in`,
      '--file',
      file,
      '--retain',
      '--json',
    ]);
    expect(code).toBe(0);
    expect(StreamPublish.result.parse(json)).toEqual({
      url: `${url}/in`,
      topic: 'in',
      bytes: 7,
      qos: 1,
      retain: true,
      acknowledged: true,
    });
    const { json: kept } = await runCli(['stream', 'tail', `${url}/in`, '-n', '1', '--json']);
    expect(kept).toMatchObject({ payload: { z: 3 }, retain: true });
  });

  it('names the topic of several messages, and suggests a command that can show the message', async () => {
    const text = async (...argv: string[]) => (await runCli(['stream', 'publish', ...argv])).stdout;
    expect(await text(`${url}/in`, 'x', '--count', '2')).toContain(
      `2 messages, 2 B to ${url}/in: acknowledged`,
    );
    const tail = `aiot stream tail ${url}/in`;
    const alone = await text(`${url}/in`, 'x');
    expect(alone).toContain(`Only clients that were already subscribed received it, such as ${tail}\n`);
    // A tail that starts now would not show the message.
    expect(alone).not.toContain('Next:');
    expect(await text(`${url}/in`, 'x', '--retain')).toContain(`Next: ${tail}\n`);
    const named = await text(`${url}/in`, 'x', '--retain', '--username', 'ann lee');
    expect(named).toContain(`Next: ${tail} --username "ann lee"\n`);
    const recorded = await runCli(['stream', 'tail', 'messages.ndjson.gz', '--json']);
    expect(recorded.json).toMatchObject({
      error: { code: 'AIOT_STREAM_URL', next: expect.stringContaining('file:messages.ndjson') },
    });
  });

  it('shows numbers in payloads without the noise of binary fractions, which --json keeps', async () => {
    const noisy = '{"latencyMs":0.23420000000000002,"s":"0.23420000000000002","n":-1.5e-7,"t":1764230000123}';
    expect((await runCli(['stream', 'publish', `${url}/noise`, noisy, '--retain'])).code).toBe(0);
    const tail = ['stream', 'tail', `${url}/noise`, '-n', '1'];
    expect((await runCli([...tail, '--no-color'])).stdout).toContain(
      '{"latencyMs":0.2342,"s":"0.23420000000000002","n":-1.5e-7,"t":1764230000123}',
    );
    expect((await runCli([...tail, '--format', 'raw'])).stdout).toContain(noisy);
    expect((await runCli([...tail, '--json'])).json).toMatchObject({
      payload: { latencyMs: 0.23420000000000002 },
    });
  });

  it('never prints a password', async () => {
    const secret = url.replace('://', '://ann:hush@');
    const { stdout, stderr } = await runCli(['stream', 'publish', `${secret}/in`, 'x']);
    expect(stdout).toContain('acknowledged');
    expect(stdout + stderr).not.toContain('hush');
  });

  it.each([
    [['mqtt://127.0.0.1:1/t', 'x'], 1, 'AIOT_BROKER_UNREACHABLE'],
    [['mqtt://127.0.0.1:99999/t', 'x'], 2, 'AIOT_STREAM_URL'],
    [['URL/t', 'x', '--ca', 'package.json'], 2, 'AIOT_FILE_MALFORMED'],
    [['URL/a/#', 'x'], 2, 'AIOT_STREAM_URL'],
    [['URL', 'x'], 2, 'AIOT_STREAM_URL'],
    [['stdin:', 'x'], 2, 'AIOT_STREAM_SCHEME'],
    [['URL/t', 'x', '--file', 'y'], 2, 'AIOT_USAGE'],
    [['URL/t', 'x', '--qos', '3'], 2, 'AIOT_USAGE'],
    [['URL/t', 'x', '--template', 'y'], 2, 'AIOT_USAGE'],
    [['URL/t', '--template', '{{n'], 2, 'AIOT_STREAM_EXPRESSION'],
    [['URL/t', 'x', '--header', 'y'], 2, 'AIOT_USAGE'],
    [['URL/t', 'x', '--rate', 'fast'], 2, 'AIOT_USAGE'],
    [['URL/t', '--file', '/no/such'], 4, 'AIOT_FILE_NOT_FOUND'],
  ])('%j exits with %i and %s', async (args, exit, code) => {
    const given = args.map((arg) => arg.replace('URL', url));
    const result = await runCli(['stream', 'publish', ...given, '--json']);
    expect(result.json).toMatchObject({ error: { code } });
    expect(result.code).toBe(exit);
  });
});
