/** Tests that `aiot mcp` offers the commands of device types as tools, with the client of the official SDK. */
import { join } from 'node:path';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { approve, askedFor, lineOf } from '../../../src/lib/cli/approvals.js';
import { toolNameOf } from '../../../src/lib/cli/mcp-device-commands.js';
import { writeContexts } from '../../../src/lib/core/contexts.js';
import { provisionDevice } from '../../../src/lib/provision/provision.js';
import { root } from '../../support/cli.js';
import { connectDevice } from '../../support/mqtt.js';
import { type TestPlatform, testPlatform } from '../../support/platform.js';

let own: TestPlatform;
let client: Client;
const device = { sent: [] as { command: string; args?: object }[], end: async () => {} };

beforeAll(async () => {
  own = await testPlatform();
  process.env.AIOT_CONFIG_DIR = join(own.folder, 'config');
  const { urls, ca } = own.platform;
  await writeContexts({ current: 'lab', contexts: { lab: { url: urls.http, ca, token: own.token } } });
  await provisionDevice({
    client: own.client,
    name: 'pump-1',
    type: 'pump',
    out: join(own.folder, 'pump-1'),
  });
  const link = await connectDevice(urls.mqtts, join(own.folder, 'pump-1'));
  link.on('message', (_topic, payload) => {
    const { id, ...command } = JSON.parse(payload.toString());
    device.sent.push(command);
    const reply = { id, t: Date.now(), ok: true, result: { rpm: command.args.rpm } };
    link.publish('aiot/v1/pump-1/reply', JSON.stringify(reply), { qos: 1 });
  });
  await link.subscribeAsync('aiot/v1/pump-1/command', { qos: 1 });
  device.end = () => link.endAsync(true);
  client = new Client({ name: 'test', version: '1.0.0' });
  await client.connect(
    new StdioClientTransport({
      ...{ command: process.execPath, args: [join(root, 'bin/run.js'), 'mcp'], cwd: own.folder },
      ...{ env: { ...process.env } as Record<string, string>, stderr: 'ignore' },
    }),
  );
});
afterAll(async () => {
  await client.close();
  await device.end();
  await own.stop();
});

const params = {
  $schema: 'https://json-schema.org/draft/2020-12/schema',
  type: 'object',
  properties: { rpm: { type: 'integer', maximum: 3000 }, note: { type: 'string' } },
  required: ['rpm'],
  additionalProperties: false,
};
const setSpeed = { type: 'pump', name: 'set-speed', summary: 'Set the speed.', params, repeatable: true };

async function call(name: string, given: Record<string, unknown>) {
  const { content, structuredContent, isError } = await client.callTool({ name, arguments: given });
  return { text: (content as [{ text: string }])[0].text, structured: structuredContent, isError };
}

/** Calls a tool, approves the call, and repeats it. Returns the approved command line and the result. */
async function approved(name: string, given: Record<string, unknown>) {
  const { text } = await call(name, given);
  const waiting = await askedFor(/aiot mcp approve ([0-9a-f]{8})/.exec(text)?.[1] ?? '');
  const { token } = await approve(waiting);
  return { line: lineOf(waiting), ...(await call(name, { ...given, approval_token: token })) };
}

describe('commands of a device type', () => {
  it('become tools with their own schema when a project defines them, and disappear with them', async () => {
    const named = async () => (await client.listTools()).tools.filter(({ name }) => name.startsWith('call_'));
    expect(await named()).toEqual([]);
    await own.client.commands.apply({
      project: 'pumps',
      commands: [setSpeed, { type: 'pump', name: 'stop' }],
    });
    const [set, stop, ...others] = await named();
    expect(others).toEqual([]);
    expect(set).toMatchObject({
      name: 'call_pump_set-speed',
      description: expect.stringContaining('Set the speed.'),
      annotations: { readOnlyHint: false, idempotentHint: true },
      inputSchema: { required: ['params'] },
    });
    const { $schema: _, ...bare } = params;
    expect(set?.inputSchema.properties?.params).toEqual(bare);
    expect(stop).toMatchObject({ name: 'call_pump_stop', annotations: { idempotentHint: false } });
    expect(Object.keys(stop?.inputSchema.properties ?? {})).not.toContain('params');
    await own.client.commands.apply({ project: 'pumps', commands: [setSpeed] });
    expect((await named()).map(({ name }) => name)).toEqual(['call_pump_set-speed']);
  }, 120_000);

  it('run once approved, on a device or a selection, with each value as it was given', async () => {
    await expect.poll(async () => (await own.client.devices.get('pump-1')).online).toBe(true);
    const given = { device: 'pump-1', params: { rpm: 900, note: '7' } };
    const one = await approved('call_pump_set-speed', given);
    expect(one.line).toBe(
      'aiot device call --json --quiet --param=note=7 --param=rpm=900 "--selector=type=pump and name=pump-1" -- set-speed',
    );
    expect(one.structured).toMatchObject({
      exit: 0,
      result: { matched: 1, succeeded: 1, devices: [{ device: 'pump-1', result: { rpm: 900 } }] },
    });
    expect(device.sent.at(-1)).toMatchObject({ command: 'set-speed', args: { rpm: 900, note: '7' } });
    const many = await approved('call_pump_set-speed', {
      selector: 'pump-1',
      params: { rpm: 10 },
      wait: true,
    });
    expect(many.structured).toMatchObject({ exit: 0, result: { matched: 1, succeeded: 1 } });
    // A device of another type may have a command of the same name.
    const other = await approved('call_pump_set-speed', { device: 'valve-1', params: { rpm: 10 } });
    expect(other).toMatchObject({ isError: true, text: expect.stringContaining('AIOT_NOT_FOUND') });
    const tooFast = await approved('call_pump_set-speed', { device: 'pump-1', params: { rpm: 9000 } });
    expect(tooFast.text).toContain('AIOT_COMMAND_PARAMS');
    expect(device.sent).toHaveLength(2);
  }, 120_000);

  it('reject arguments that could mean something else, before any approval', async () => {
    for (const given of [
      { params: { rpm: 1 } },
      { device: 'pump-1', selector: 'all', params: { rpm: 1 } },
      { device: 'pump-1', params: { 'rpm=1': 2 } },
      { device: 'pump-1', params: [1] },
      { device: 'pump-1', context: 'other' },
      { device: 'a\0b', params: {} },
      { device: '--selector=all', params: { rpm: 1 } },
      { device: 'pump-1 or type=valve', params: { rpm: 1 } },
    ])
      expect((await call('call_pump_set-speed', given)).text).toContain('AIOT_USAGE');
    const unread = await call('call_pump_set-speed', { selector: 'type=pump) or (all', params: { rpm: 1 } });
    expect(unread.text).toContain('AIOT_SELECTOR_INVALID');
    expect(device.sent).toHaveLength(2);
    await expect(call('call_pump_explode', {})).rejects.toThrow('unknown tool call_pump_explode');
  }, 120_000);

  it('keep the local references of their schemas', async () => {
    const level = { type: 'integer', maximum: 5 };
    const referring = { type: 'object', properties: { level: { $ref: '#/$defs/level' } }, $defs: { level } };
    const commands = [setSpeed, { type: 'pump', name: 'prime', params: referring }];
    await own.client.commands.apply({ project: 'pumps', commands });
    const { tools } = await client.listTools();
    const { inputSchema } = tools.find(({ name }) => name === 'call_pump_prime')!;
    expect(inputSchema.properties?.params).toMatchObject({
      properties: { level: { $ref: '#/properties/params/$defs/level' } },
      $defs: { level },
    });
  }, 120_000);

  it('have names that all clients accept, and that never collide', () => {
    const long = 'x'.repeat(60);
    const names = [
      ...[toolNameOf({ type: 'a_b', name: 'c' }), toolNameOf({ type: 'a.b', name: 'c' })],
      ...[toolNameOf({ type: long, name: 'c' }), toolNameOf({ type: long, name: 'd' })],
      toolNameOf({ type: 'a', name: 'b-c' }),
    ];
    for (const name of names) expect(name).toMatch(/^[A-Za-z0-9_-]{1,64}$/);
    expect(new Set(names).size).toBe(names.length);
  });
});
