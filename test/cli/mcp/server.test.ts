/** Tests `aiot mcp` with the client of the official SDK, and with raw messages that this client would never send. */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadCommands } from '../../../scripts/docs/commands.js';
import { approve, askedFor, lineOf } from '../../../src/lib/cli/approvals.js';
import { classified, classOf } from '../../../src/lib/cli/mcp.js';
import { readContexts, writeContexts } from '../../../src/lib/core/contexts.js';
import { configFolder } from '../../../src/lib/core/folders.js';
import { root, runCli } from '../../support/cli.js';

const folder = mkdtempSync(join(tmpdir(), 'aiot-mcp-'));
const serverLine = [join(root, 'bin/run.js'), 'mcp'];
const env = { ...process.env } as Record<string, string>;
let client: Client;

beforeAll(async () => {
  client = new Client({ name: 'test', version: '1.0.0' });
  const transport = {
    command: process.execPath,
    args: serverLine,
    cwd: folder,
    env,
    stderr: 'ignore' as const,
  };
  await client.connect(new StdioClientTransport(transport));
});
afterAll(async () => {
  await client.close();
  rmSync(folder, { recursive: true, force: true });
});

/** Returns the result of a call. The client validates its structured content against the tool's schema. */
async function call(name: string, given: Record<string, unknown> = {}) {
  const { content, structuredContent, isError } = await client.callTool({ name, arguments: given });
  const [{ text }] = content as [{ text: string }];
  return {
    text,
    structured: structuredContent as { exit: number; result: { code?: string } } | undefined,
    isError,
  };
}

/** The id of the call in a refusal that requests approval. */
const idIn = (text: string) => /aiot mcp approve ([0-9a-f]{8})/.exec(text)?.[1] ?? '';

describe('MCP tools', () => {
  it('match the commands, each classified as read, write or never', async () => {
    const commands = (await loadCommands(root)).map(({ id }) => id).sort();
    expect([...classified].sort()).toEqual(commands);
    const { tools } = await client.listTools();
    const allowed = commands.filter((id) => classOf(id) !== 'never');
    expect(tools.map(({ name }) => name).sort()).toEqual(allowed.map((id) => id.replaceAll(' ', '_')).sort());
    for (const { name, annotations, inputSchema } of tools) {
      const read = classOf(name.replaceAll('_', ' ')) === 'read';
      expect(annotations?.readOnlyHint).toBe(read);
      const names = Object.keys(inputSchema.properties ?? {});
      expect(names.includes('approval_token')).toBe(!read);
      if (read)
        expect(names).not.toEqual(expect.arrayContaining([expect.stringMatching(/^(out|report|save)$/)]));
    }
  }, 120_000);

  it('return what --json prints', async () => {
    const { structured, text } = await call('error', { code: 'AIOT_USAGE' });
    expect(structured).toMatchObject({ exit: 0, result: { code: 'AIOT_USAGE', exit: 2 } });
    expect(JSON.parse(text)).toEqual(structured?.result);
    expect((await call('context_list')).structured).toEqual({ exit: 0, result: [] });
  });

  it('respond to two concurrent calls, and report errors with their codes', async () => {
    const [one, other] = await Promise.all([
      call('error', { code: 'AIOT_CSV_COLUMNS' }),
      call('model_inspect', { file: 'nothing.tflite' }),
    ]);
    expect(one.structured?.result.code).toBe('AIOT_CSV_COLUMNS');
    expect(other).toMatchObject({ isError: true, text: expect.stringContaining('AIOT_FILE_NOT_FOUND') });
  });

  it('never treat a value as a flag, and reject unknown arguments', async () => {
    const { text } = await call('model_inspect', { file: '--help' });
    expect(text).toContain('AIOT_FILE_NOT_FOUND');
    expect((await call('data_stats', { data: '--save=x', by: '--save=y' })).isError).toBe(true);
    for (const given of [{ save: 'x' }, { json: false }, { path: 1, nothing: '' }])
      expect((await call('data_schema', given)).text).toContain('AIOT_USAGE');
    expect(readdirSync(folder)).toEqual([]);
    await expect(call('token_create')).rejects.toThrow('unknown tool token_create');
  });
});

describe('a call that makes changes', () => {
  const asked = { dir: 'made', template: 'motor-watch' };

  it('runs once after approval, and neither again nor with other arguments', async () => {
    const refused = await call('init', asked);
    expect(refused).toMatchObject({ isError: true, text: expect.stringContaining('AIOT_APPROVAL_NEEDED') });
    const id = idIn(refused.text);
    const waiting = await askedFor(id);
    expect(lineOf(waiting)).toBe('aiot init --json --quiet --template=motor-watch -- made');
    const { token } = await approve(waiting);
    const done = await call('init', { ...asked, approval_token: token });
    expect(done.structured?.exit).toBe(0);
    expect(existsSync(join(folder, 'made/aiot.yaml'))).toBe(true);
    expect((await call('init', { ...asked, approval_token: token })).text).toContain('AIOT_APPROVAL_NEEDED');
    const other = await approve(await askedFor(idIn((await call('init', asked)).text)));
    const changed = await call('init', { ...asked, dir: 'elsewhere', approval_token: other.token });
    expect(changed.text).toContain('AIOT_APPROVAL_NEEDED');
    // The attempt with other arguments has used up the token.
    expect((await call('init', { ...asked, approval_token: other.token })).isError).toBe(true);
    expect(existsSync(join(folder, 'elsewhere'))).toBe(false);
  });

  it('needs no further confirmation: approval implies --yes', async () => {
    const before = await readContexts();
    await writeContexts({ contexts: { old: { url: 'https://old.example:8443' } } });
    const { tools } = await client.listTools();
    const schema = tools.find(({ name }) => name === 'context_remove')?.inputSchema;
    expect(Object.keys(schema?.properties ?? {})).toEqual(['name', 'approval_token']);
    const waiting = await askedFor(idIn((await call('context_remove', { name: 'old' })).text));
    expect(lineOf(waiting)).toBe('aiot context remove --json --quiet --yes -- old');
    const { token } = await approve(waiting);
    const done = await call('context_remove', { name: 'old', approval_token: token });
    expect(done.structured).toEqual({ exit: 0, result: { removed: 'old', current: null } });
    await writeContexts(before);
  });

  it('is rejected if its approval is expired or forged', async () => {
    const waiting = await askedFor(idIn((await call('init', { dir: 'late' })).text));
    const { token } = await approve(waiting, Date.now() - 301_000);
    for (const approval of [token, `${waiting.id}.x`, '../../x', ''])
      expect((await call('init', { dir: 'late', approval_token: approval })).text).toContain(
        'AIOT_APPROVAL_NEEDED',
      );
    expect(existsSync(join(folder, 'late'))).toBe(false);
    await expect(askedFor(waiting.id, Date.now() + 3_700_000)).rejects.toThrow('is waiting for approval');
  });

  it('can be approved only on a terminal, with control characters escaped', async () => {
    const id = idIn((await call('init', { dir: 'a\u001b[2Kb\u202e' })).text);
    expect(await runCli(['mcp', 'approve', id])).toMatchObject({ code: 2, stdout: '' });
    expect(await runCli(['mcp', 'approve', 'ffffffff'])).toMatchObject({ code: 4 });
    expect(lineOf(await askedFor(id))).toContain('a\\u{1b}[2Kb\\u{202e}');
    expect(readdirSync(join(configFolder(), 'mcp')).length).toBeGreaterThan(0);
  });
});

describe('the MCP server', () => {
  /** Starts a server for raw messages. */
  function raw(more: Record<string, string> = {}) {
    const child: ChildProcessWithoutNullStreams = spawn(process.execPath, serverLine, {
      cwd: folder,
      env: { ...env, ...more },
    });
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    return {
      child,
      say: (value: unknown) =>
        child.stdin.write(`${typeof value === 'string' ? value : JSON.stringify(value)}\n`),
      hear: async () => JSON.parse((await lines.next()).value ?? 'null'),
      ended: once(child, 'exit'),
    };
  }
  const request = (id: number, method: string, params: object = {}) => ({
    jsonrpc: '2.0',
    id,
    method,
    params,
  });

  it('negotiates a version, survives invalid input, and ends when stdin closes', async () => {
    const { child, say, hear, ended } = raw();
    say(request(1, 'initialize', { protocolVersion: '2025-03-26', capabilities: {} }));
    expect(await hear()).toMatchObject({ id: 1, result: { protocolVersion: '2025-03-26' } });
    say(request(2, 'initialize', { protocolVersion: '1999-01-01' }));
    expect(await hear()).toMatchObject({ id: 2, result: { protocolVersion: '2025-11-25' } });
    say('{"jsonrpc": ');
    expect(await hear()).toMatchObject({ id: null, error: { code: -32700 } });
    for (const wrong of ['[1]', '7', 'null', '{"id":3}']) {
      say(wrong);
      expect((await hear()).error.code).toBe(-32600);
    }
    say(request(4, 'resources/list'));
    expect(await hear()).toMatchObject({ id: 4, error: { code: -32601 } });
    say(request(5, 'ping'));
    expect(await hear()).toEqual({ jsonrpc: '2.0', id: 5, result: {} });
    child.stdin.end();
    expect(await ended).toEqual([0, null]);
  });

  it('runs four calls at a time, ends a canceled call, and ends the rest on exit', async () => {
    // A platform that accepts connections but never responds, so that every call to it waits.
    const open = new Set<Socket>();
    const silent = createServer((socket) => {
      open.add(socket);
      socket
        .resume()
        .on('error', () => {})
        .on('close', () => open.delete(socket));
    }).listen(0, '127.0.0.1');
    await once(silent, 'listening');
    const url = `https://127.0.0.1:${(silent.address() as AddressInfo).port}`;
    const own = join(folder, 'silent');
    await writeContexts({ current: 'silent', contexts: { silent: { url, token: 'x' } } }, own);
    const { child, say, hear, ended } = raw({ AIOT_CONFIG_DIR: own });
    for (const id of [1, 2, 3, 4]) say(request(id, 'tools/call', { name: 'device_list', arguments: {} }));
    say(request(5, 'tools/call', { name: 'error', arguments: { code: 'AIOT_USAGE' } }));
    await expect.poll(() => open.size, { timeout: 45_000 }).toBe(4);
    say(request(6, 'ping'));
    expect(await hear()).toMatchObject({ id: 6 });
    const fifth = hear();
    // Several times as long as a command takes when it need not wait.
    expect(await Promise.race([fifth, delay(3_000, 'nothing')])).toBe('nothing');
    say({ jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId: 2 } });
    expect(await fifth).toMatchObject({ id: 5, result: { structuredContent: { exit: 0 } } });
    await expect.poll(() => open.size, { timeout: 30_000 }).toBe(3);
    child.stdin.end();
    expect(await ended).toEqual([0, null]);
    await expect.poll(() => open.size, { timeout: 30_000 }).toBe(0);
    await new Promise((resolve) => silent.close(resolve));
  }, 150_000);
});
