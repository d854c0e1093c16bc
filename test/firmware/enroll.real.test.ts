import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { request } from 'node:https';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { enrollmentListSchema, enrollReplySchema } from '../../src/lib/api/contract/batches.js';
import type { ProvisionReply } from '../../src/lib/api/fields.js';
import { readNvs } from '../../src/lib/formats/nvs/read.js';
import type { NvsEntry } from '../../src/lib/formats/nvs/types.js';
import { createdBatchSchema } from '../../src/lib/provision/batch.js';
import { imageFor } from '../../src/lib/provision/chip-image.js';
import { usualFlashBytes } from '../../src/lib/provision/chip-options.js';
import { runCli } from '../support/cli.js';
import { describeReal } from '../support/real.js';
import { ok, type UpForTests, upForTests } from '../support/up.js';
import { buildUpdateTool, type UpdateTool } from '../support/update-tool.js';

/** The result of one enrollment by the firmware's core. */
interface Enrolled {
  requests: Record<string, string>[];
  replies: { status: number; body: string }[];
  news: string[];
  entries: NvsEntry[];
}

interface Relay {
  key: string;
  serial: string;
  mac: string;
  /** Called before each request; `n` counts from 1. A string is the response in place of the platform's. */
  before?: (n: number) => Promise<string | undefined>;
  /** News after which the device is stopped. */
  until?: RegExp;
}

describeReal('native', 'enrollment by the firmware’s core, at a real platform', () => {
  let own: UpForTests;
  let tool: UpdateTool;
  let program = '';
  beforeAll(async () => {
    own = await upForTests();
    await runCli(['trust', 'init', '--keys', '2', '--threshold', '2', '--out', join(own.folder, 'offline')]);
    tool = await buildUpdateTool('update_tool', 'enroll_tool');
    program = tool.path('enroll_tool');
  }, 300_000);
  afterAll(async () => {
    tool?.remove();
    await own?.stop();
  });

  const create = (name: string, ...more: string[]) =>
    ok(createdBatchSchema, [
      ...['device', 'batch', 'create', name, '--type', 'esp32c3', '--out', join(own.folder, `${name}.json`)],
      ...more,
    ]);

  async function send(path: string, body: string): Promise<string> {
    const headers = { 'content-type': 'application/json' };
    const asked = request(`${own.url}${path}`, { method: 'POST', headers, ca: await readFile(own.ca) });
    asked.end(body);
    const [response] = await once(asked, 'response');
    return `${response.statusCode} ${response.headers['retry-after'] ?? 0} ${await text(response)}`;
  }

  async function enroll({ key, serial, mac, before, until }: Relay): Promise<Enrolled> {
    const child = spawn(program, [serial, mac, 'esp32c3'], { stdio: ['pipe', 'pipe', 'inherit'] });
    const result: Enrolled = { requests: [], replies: [], news: [], entries: [] };
    // A request may have been printed before the program was ended.
    child.stdin.on('error', () => {});
    child.stdin.write(`${key}\n`);
    for await (const line of createInterface(child.stdout)) {
      const [kind, ...rest] = line.split(' ');
      if (kind === 'post') {
        const [path = '', ...body] = rest;
        result.requests.push(JSON.parse(body.join(' ')));
        const answer = (await before?.(result.requests.length)) ?? (await send(path, body.join(' ')));
        result.replies.push({
          status: Number(answer.split(' ')[0]),
          body: answer.split(' ').slice(2).join(' '),
        });
        child.stdin.write(`${answer}\n`);
      } else if (kind === 'news') {
        result.news.push(rest.join(' '));
        if (until?.test(line)) child.kill();
      } else result.entries.push(entryOf(rest));
    }
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    return result;
  }

  function entryOf([namespace = '', key = '', type = '', hex = '']: string[]): NvsEntry {
    const value = Buffer.from(hex, 'hex');
    if (type === 'string') return { namespace, key, type, value: value.toString() };
    if (type === 'blob') return { namespace, key, type, value };
    if (type === 'u64') return { namespace, key, type, value: value.readBigUInt64LE() };
    return { namespace, key, type: type as 'u8' | 'u32', value: value.readUIntLE(0, value.length) };
  }

  const textOf = ({ entries }: Enrolled, key: string) => {
    const found = entries.find((entry) => entry.namespace === 'aiot' && entry.key === key);
    return found?.type === 'string' ? found.value : '';
  };
  const identityIn = ({ replies }: Enrolled): ProvisionReply => {
    const { identity } = enrollReplySchema.parse(JSON.parse(replies.at(-1)?.body ?? ''));
    if (identity === null) throw new Error('the device has no identity yet');
    return identity;
  };
  const openssl = (args: string[], input: string) => {
    const { stdout, stderr, status } = spawnSync('openssl', args, {
      input,
      encoding: 'utf8',
      cwd: own.folder,
    });
    return { status, out: `${stdout}${stderr}` };
  };
  const sorted = (entries: readonly NvsEntry[]) =>
    entries
      .map((entry) => ({
        ...entry,
        ...(entry.type === 'blob' && { value: Buffer.from(entry.value).toString('hex') }),
      }))
      .sort((a, b) => (`${a.namespace}/${a.key}` < `${b.namespace}/${b.key}` ? -1 : 1));

  it('finds the key, the platform and Wi-Fi in the images of `device batch provision`', async () => {
    const { key } = await create('images');
    const [file, out] = [join(own.folder, 'images.json'), join(own.folder, 'images')];
    const made = await runCli(['device', 'batch', 'provision', file, '--out', out, '--wifi-ssid', 'plant']);
    expect(made.code, made.stderr).toBe(0);
    const places = ['aiot_batch key', 'aiot_batch http', 'wifi ssid', 'aiot key', 'aiot name'];
    const asked = `${places.map((place) => `string ${place}`).join('\n')}\n`;
    const values = tool.run(['nvs', join(out, 'nvs.bin')], asked);
    const hex = [key, own.url, 'plant'].map((value) => Buffer.from(value).toString('hex'));
    expect(values).toEqual([...hex, 'none', 'none']);
  }, 60_000);

  let issued: Enrolled;

  it('waits for approval, and stores the same entries as `device provision`', async () => {
    const { key } = await create('july');
    issued = await enroll({
      ...{ key, serial: '240ac4123456', mac: '24:0a:c4:12:34:56' },
      async before(n) {
        if (n === 4) await runCli(['device', 'approve', 'july-240ac4123456']);
        return undefined;
      },
    });
    expect(issued.news).toEqual([
      expect.stringMatching(/^waits \d+ july-240ac4123456$/),
      'stored 0 july-240ac4123456',
    ]);
    expect(issued.requests.length).toBe(4);
    expect(issued.requests[0]).toMatchObject({ key, serial: '240ac4123456', mac: '24:0a:c4:12:34:56' });
    const reply = identityIn(issued);
    expect(reply.root).toBeTruthy();
    const image = imageFor(
      { key: textOf(issued, 'key'), reply },
      {
        chip: 'esp32c3',
        wifi: null,
        nvsVersion: 2,
        table: null,
        flashBytes: usualFlashBytes,
        encrypt: false,
      },
    );
    expect(sorted(issued.entries)).toEqual(sorted(readNvs(image.nvs.data).entries));
  }, 120_000);

  it('sends a request, and stores a key and a certificate, that OpenSSL accepts', async () => {
    const request = openssl(['req', '-verify', '-noout', '-subject', '-text'], issued.requests[0]?.csr ?? '');
    expect(request.out).toMatch(/verify OK/);
    expect(request.out).toContain('CN = 240ac4123456');
    expect(request.out).toContain('ASN1 OID: prime256v1');
    expect(request.out).toContain('ecdsa-with-SHA256');
    const key = openssl(['pkey', '-check', '-pubout'], textOf(issued, 'key'));
    expect(key.out).toContain('Key is valid');
    const certificate = textOf(issued, 'certificate');
    expect(key.out).toContain(openssl(['x509', '-noout', '-pubkey'], certificate).out);
    await writeFile(join(own.folder, 'chip-ca.crt'), textOf(issued, 'ca'));
    const verdict = openssl(
      ['verify', '-x509_strict', '-purpose', 'sslclient', '-CAfile', 'chip-ca.crt'],
      certificate,
    );
    expect(verdict).toMatchObject({ status: 0 });
  });

  it('gets an identity with which the device connects', async () => {
    const dir = join(own.folder, 'as-a-computer');
    const { device, urls, trust } = identityIn(issued);
    await mkdir(dir);
    for (const [name, data] of Object.entries({
      'device.key': textOf(issued, 'key'),
      'device.crt': textOf(issued, 'certificate'),
      'ca.crt': textOf(issued, 'ca'),
      'trust.json': JSON.stringify(trust),
      'device.json': JSON.stringify({ name: device.name, id: device.id, type: device.type, urls }),
    }))
      await writeFile(join(dir, name), data, { mode: 0o600 });
    const ran = await runCli(['device', 'simulate', dir, '--for', '1s', '--json']);
    expect(ran.code, ran.stderr).toBe(0);
    expect((await runCli(['device', 'show', device.name, '--json'])).json).toMatchObject({ state: 'active' });
  }, 60_000);

  it('continues after malformed responses, an overload and a lost connection', async () => {
    const { key } = await create('august', '--approve', '*');
    const wrong = [
      '200 0 <html>',
      '200 0 {"state":"issued","name":"x","identity":{}}',
      '503 7 ',
      '429 3 {}',
      'broken',
      '500 0 ',
    ];
    const own = await enroll({
      ...{ key, serial: 'B1', mac: '24:0a:c4:00:00:01' },
      before: async (n) => wrong[n - 1],
    });
    expect(own.news.map((line) => line.split(' ')[0])).toEqual([
      ...['malformed', 'limited', 'unreachable', 'unreachable', 'stored'],
    ]);
    expect(new Set(own.requests.map(({ csr }) => csr)).size).toBe(1);
    expect(textOf(own, 'name')).toBe('august-B1');
  }, 60_000);

  it.each([
    ['a wrong key', 'none', 'aiotbatch_wrong', /^refused \d+ /],
    ['a revoked batch', 'revoked', null, /^refused \d+ the batch revoked was revoked/],
    ['a serial number of another key', 'taken', null, /^refused \d+ .*another key/],
  ])(
    'is refused for an hour with %s',
    async (_, batch, wrongKey, reason) => {
      const { key } = await create(batch);
      const device = { key: wrongKey ?? key, serial: 'C1', mac: '24:0a:c4:00:00:02' };
      if (batch === 'taken') await enroll({ ...device, until: /waits/ });
      if (batch === 'revoked') await runCli(['device', 'batch', 'revoke', batch, '--yes']);
      const { news, entries } = await enroll({ ...device, until: /refused/ });
      expect(news[0]).toMatch(reason);
      expect(Number(news[0]?.split(' ')[1])).toBeGreaterThanOrEqual(3_600_000);
      expect(entries).toEqual([]);
      const listed = await ok(enrollmentListSchema, ['device', 'waiting', 'list', '--all', '--batch', batch]);
      expect(listed.enrollments.length).toBe(batch === 'taken' ? 1 : 0);
    },
    60_000,
  );
});
