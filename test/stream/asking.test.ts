import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Config } from '@oclif/core';
import { afterAll, describe, expect, it } from 'vitest';
import { allCheatSheets, sheetNames, sheetsFor } from '../../src/lib/cli/cheat-sheets.js';
import { parseCreateFile } from '../../src/lib/stream/broker/create.js';
import { root, runCli } from '../support/cli.js';

const folder = mkdtempSync(join(tmpdir(), 'aiot-asking-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('a file for aiot stream create', () => {
  it('accepts durations and sizes with units, and variables', () => {
    const text = [
      `at: nats://\${HOST:-127.0.0.1}`,
      'topics:',
      '  - name: S',
      '    subjects: [a.>]',
      '    maxAge: 7d',
      '    maxBytes: 1GiB',
      '    maxMessages: 10',
      '    consumers: [{name: c, subject: a.b, ackWait: 10s}]',
      '  - name: T',
      '    partitions: 3',
      '    config: {retention.bytes: 100, cleanup.policy: compact}',
    ].join('\n');
    expect(parseCreateFile(text, 'f.yaml', { HOST: 'broker' })).toEqual({
      at: 'nats://broker',
      topics: [
        {
          name: 'S',
          subjects: ['a.>'],
          maxAgeMs: 604_800_000,
          maxBytes: 1024 ** 3,
          maxMessages: 10,
          consumers: [{ name: 'c', subject: 'a.b', ackWaitMs: 10_000 }],
        },
        { name: 'T', partitions: 3, config: { 'retention.bytes': '100', 'cleanup.policy': 'compact' } },
      ],
    });
  });

  it.each([
    ['topics: []', /at least one topic/],
    ['topics: [{}]', /f\.yaml:1:10: topics\.0\.name/],
    ['topics: [{name: a, maxAge: 30}]', /maxAge/],
    ['topics: [{name: a, maxBytes: lots}]', /maxBytes/],
    ['topics: [{name: a, retention: forever}]', /retention/],
    ['topics: [{name: a, partitons: 3}]', /partitons/],
    ['topics: [{name: a}, {name: a}]', /a is listed twice/],
    [`at: nats://\${NOWHERE_TO_BE_FOUND}\ntopics: [{name: a}]`, /NOWHERE_TO_BE_FOUND has no value/],
  ])('is rejected: %s', (text, message) => {
    expect(() => parseCreateFile(text, 'f.yaml', {})).toThrow(message);
  });

  it.each([
    ['topics: [{name: a}]', [], "expected the broker's address"],
    ['at: mqtt://127.0.0.1:1\ntopics: [{name: a}]', [], 'AIOT_STREAM_SCHEME'],
    ['topics: [{name: a}]', ['--at', 'file:///x'], 'AIOT_STREAM_SCHEME'],
  ])('makes the command fail with the reason: %s with flags %j', async (text, flags, message) => {
    const file = join(folder, 'topics.yaml');
    writeFileSync(file, text);
    const { code, stderr } = await runCli(['stream', 'create', file, ...flags]);
    expect(code).not.toBe(0);
    expect(stderr).toContain(message);
  });
});

it.each(readdirSync(join(root, 'examples/streams')))(
  'examples/streams/%s is a valid file for aiot stream create',
  (name) => {
    const path = join(root, 'examples/streams', name);
    expect(parseCreateFile(readFileSync(path, 'utf8'), path, {})).toMatchObject({
      at: expect.stringMatching(/^(nats|kafka):/),
    });
  },
);

describe('commands that need a broker', () => {
  it.each([
    ['list', 'file:///x.ndjson', 2, 'AIOT_STREAM_SCHEME'],
    ['lag', 'stdin:', 2, 'AIOT_STREAM_SCHEME'],
    ['check', 'file:///x.ndjson', 2, 'AIOT_STREAM_SCHEME'],
    ['check', 'no-url', 2, 'AIOT_STREAM_URL'],
    ['list', 'nats://127.0.0.1:1', 1, 'AIOT_BROKER_UNREACHABLE'],
    ['list', 'nats://127.0.0.1:70000', 2, 'AIOT_STREAM_URL'],
  ])('aiot stream %s %s exits with %i', async (verb, url, exit, message) => {
    const { code, stderr } = await runCli(['stream', verb, url]);
    expect({ code, stderr }).toEqual({ code: exit, stderr: expect.stringContaining(message) });
  });
});

it('aiot stream check reports a server that does not use NATS, and does not wait for it', async () => {
  const server = createServer((socket) => {
    // The client closes the connection once it recognizes the server.
    socket.on('error', () => {}).write('220 mail.example ESMTP\r\n');
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const { json, code } = await runCli(['stream', 'check', `nats://127.0.0.1:${port}`, '--json']);
  server.close();
  expect(code).toBe(6);
  expect((json as { results: { detail: string }[] }).results.at(-1)).toMatchObject({
    what: 'broker',
    state: 'failed',
    detail: expect.stringContaining('does not speak NATS'),
  });
});

describe('aiot examples', () => {
  it.each(Object.keys(allCheatSheets))('prints the commands of %s with their descriptions', async (name) => {
    const { stdout, code } = await runCli(['examples', name]);
    expect(code).toBe(0);
    for (const [what, command] of allCheatSheets[name]!.lines) {
      expect(stdout).toContain(`# ${what}\n${command}\n`.trimEnd());
    }
  });

  it('prints the examples of a command, and of each command of a topic', async () => {
    const init = await runCli(['examples', 'init']);
    expect([init.code, init.stderr]).toEqual([0, '']);
    expect(init.stdout).toMatch(/^aiot init\n/);
    expect(init.stdout).toContain('\naiot init my-watch --template har-imu');
    // The summary follows the title, so it is not repeated as a comment above each command.
    expect(init.stdout.match(/^(# )?Create a project from a template or your own data\.$/gm)).toHaveLength(1);
    const { stdout } = await runCli(['examples', 'rollout']);
    for (const command of ['start', 'abort', 'rehearse'])
      expect(stdout).toContain(`\naiot rollout ${command} `);
    const comments = stdout.match(/^# .*/gm) ?? [];
    expect(new Set(comments).size).toBe(comments.length);
    const one = await runCli(['examples', 'rollout', 'start']);
    expect(one.stdout).toContain('\naiot rollout start ');
    expect(one.stdout).not.toContain('aiot rollout abort');
  });

  it('has examples for every command and topic', async () => {
    const config = await Config.load(root);
    for (const word of sheetNames(config)) {
      const [[, sheet] = []] = sheetsFor(word, config);
      expect(sheet?.lines.length, word).toBeGreaterThan(0);
      expect(JSON.stringify(sheet), word).not.toContain('<%');
    }
  });

  it('prints all topics without an argument, and rejects an unknown topic', async () => {
    const { json } = await runCli(['examples', '--json']);
    expect((json as { topic: string }[]).map(({ topic }) => topic)).toEqual(Object.keys(allCheatSheets));
    expect((await runCli(['examples', 'rabbit'])).code).toBe(2);
    const { stderr } = await runCli(['examples', 'rolout']);
    expect(stderr).toContain('there are no examples for "rolout". Did you mean rollout?');
  });
});
