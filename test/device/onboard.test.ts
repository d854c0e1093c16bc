import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { type Clock, systemClock } from '../../src/lib/core/time.js';
import { joinedSchema, joinOverSerial } from '../../src/lib/device/onboard/improv.js';
import type { SeenNetwork } from '../../src/lib/device/onboard/improv-session.js';
import { encodeImprov, ImprovReader, improvError } from '../../src/lib/formats/improv.js';
import { runCli } from '../support/cli.js';

const secret = 'correct horse 7';
const networks = `network=plant:${encodeURIComponent(secret)}&network=guests&hidden-network=lab:${encodeURIComponent(secret)}`;
const port = (more = '') => `simulated:esp32s3?mac=24:0a:c4:00:00:07&${networks}${more}`;

const ends: (() => unknown)[] = [];
afterEach(async () => {
  vi.unstubAllEnvs();
  for (const end of ends.splice(0).reverse()) await end();
});

async function passwordFile(content = `${secret}\n`): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'aiot-onboard-'));
  ends.push(() => rm(folder, { recursive: true }));
  const file = join(folder, 'wifi.txt');
  await writeFile(file, content);
  return file;
}

async function onboard(at: string, ...flags: string[]) {
  const file = await passwordFile();
  return runCli(['device', 'onboard', '--port', at, '--password-file', file, ...flags]);
}

/** A board at a socket, which answers each received chunk. */
async function board(answer: (bytes: Buffer) => Uint8Array | string | null): Promise<string> {
  const server = createServer((socket) => {
    ends.push(() => socket.destroy());
    socket.on('error', () => undefined);
    socket.on('data', (bytes) => {
      const reply = answer(bytes);
      if (reply !== null) socket.write(reply);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  ends.push(() => server.close());
  const address = server.address();
  return `socket://127.0.0.1:${typeof address === 'object' ? address?.port : 0}`;
}

describe('aiot device onboard', () => {
  it('connects a board to a network, and prints neither the password nor anything else that is secret', async () => {
    const { stdout, stderr, code } = await onboard(port(), '--ssid', 'plant');
    expect(code).toBe(0);
    expect(stdout).toMatch(/^240ac4000007 joined plant in \d/);
    expect(stdout).toContain('firmware');
    expect(stdout + stderr).not.toContain(secret);
  });

  it('returns the board, the network and the state', async () => {
    const { json } = await onboard(port(), '--improv', '--ssid', 'plant', '--json');
    const { seconds, ...joined } = joinedSchema.parse(json);
    expect(seconds).toBeGreaterThan(0);
    expect(joined).toEqual({
      ...{ device: '240ac4000007', chip: 'esp32s3', firmware: 'aiot', version: '1.0.0' },
      ...{
        port: port().replaceAll(encodeURIComponent(secret), '…'),
        ssid: 'plant',
        state: 'provisioned',
        url: null,
      },
    });
  });

  it('joins a hidden network, and an open network without a password', async () => {
    expect((await onboard(port(), '--ssid', 'lab', '--json')).code).toBe(0);
    const open = await runCli(['device', 'onboard', '--port', port(), '--ssid', 'guests', '--json']);
    expect(open).toMatchObject({ code: 0, json: { ssid: 'guests' } });
  });

  it('takes the password from the environment', async () => {
    vi.stubEnv('AIOT_WIFI_PASSWORD', secret);
    const { code } = await runCli(['device', 'onboard', '--port', port(), '--ssid', 'plant', '--json']);
    expect(code).toBe(0);
  });

  it.each([
    ['a wrong password', 'AIOT_WIFI_REFUSED', 'plant', 'wrong password', 'cannot join the network plant'],
    ['an unknown network', 'AIOT_WIFI_NOT_FOUND', 'plnat', secret, 'it sees 2 networks: plant, guests'],
  ])('reports %s as the reason', async (_name, errorCode, ssid, password, message) => {
    const file = await passwordFile(password);
    const argv = ['device', 'onboard', '--port', port(), '--ssid', ssid, '--password-file', file, '--json'];
    const { code, json, stdout, stderr } = await runCli(argv);
    expect({ code, json }).toMatchObject({ code: 1, json: { error: { code: errorCode } } });
    expect(stdout + stderr).toContain(message);
    expect(stdout + stderr).not.toContain(secret);
  });

  it.each([
    ['log lines between packets', '&fault=chatter times=99'],
    ['a line that changes bytes', '&fault=noise rate=0.004'],
    ['a line that loses bytes', '&fault=lost-bytes rate=0.004'],
  ])('works with %s', async (_name, fault) => {
    expect(await onboard(port(fault), '--ssid', 'plant', '--json')).toMatchObject({ code: 0 });
  });

  it('ends with 124 if the board is still joining after --timeout', async () => {
    const { code, stderr } = await onboard(port('&fault=wifi-hang'), '--ssid', 'plant', '--timeout', '1s');
    expect(code).toBe(124);
    expect(stderr).toContain('the board had not joined plant after 1s');
  });

  it('rejects an invalid name or password before it opens the port', async () => {
    const file = await passwordFile('short');
    const argv = ['device', 'onboard', '--port', '/dev/missing', '--ssid', 'plant', '--password-file', file];
    const { code, stderr } = await runCli(argv);
    expect(code).toBe(2);
    expect(stderr).toContain('expected a Wi-Fi password of 8 to 63 printable characters');
    expect(stderr).not.toContain('short');
  });

  it.each([
    ['grüße an alle', 'characters that are not printable ASCII'],
    ['first line\nsecond line', 'got 2 lines'],
    ['short', 'got 5'],
  ])('reports why the password %j is invalid, without showing it', async (password, why) => {
    const file = await passwordFile(password);
    const argv = ['device', 'onboard', '--port', '/dev/missing', '--ssid', 'plant', '--password-file', file];
    const { code, stderr } = await runCli(argv);
    expect({ code, stderr }).toMatchObject({ code: 2, stderr: expect.stringContaining(why) });
    expect(stderr).not.toContain(password.split('\n')[0]);
  });

  it('joins a simulated network with a colon in its name', async () => {
    const address = `simulated:esp32?network=${encodeURIComponent(`cafe\\:bar:${secret}`)}`;
    const { code, json } = await onboard(address, '--ssid', 'cafe:bar', '--json');
    expect({ code, json }).toMatchObject({ code: 0, json: { ssid: 'cafe:bar', state: 'provisioned' } });
  });

  it('never prints the password of a simulated network', async () => {
    const joined = await onboard(port(), '--ssid', 'plant', '--no-color');
    const failed = await onboard(port('&fault=no-improv'), '--ssid', 'plant');
    const json = await onboard(port(), '--ssid', 'plant', '--json');
    expect([joined.code, json.code]).toEqual([0, 0]);
    for (const { stdout, stderr } of [joined, failed, json]) {
      expect(`${stdout}${stderr}`).not.toContain(encodeURIComponent(secret));
      expect(`${stdout}${stderr}`).not.toContain(secret);
    }
    expect(json.json).toMatchObject({ port: expect.stringContaining('network=plant:…') });
    expect(joined.stdout).toContain('aiot device list');
  });

  it('requires a name and a password without a terminal', async () => {
    const unnamed = await runCli(['device', 'onboard', '--port', port()]);
    expect(unnamed.code).toBe(2);
    expect(unnamed.stderr.replace(/\s+/g, ' ')).toContain('the board sees plant, guests');
    const secured = await runCli(['device', 'onboard', '--port', port(), '--ssid', 'plant']);
    expect(secured.code).toBe(2);
    expect(secured.stderr).toContain('--password-file FILE');
  });
});

/**
 * A clock that runs about ten times as fast, so that timeouts take little time. It advances only while somebody waits, and by 10 ms at a
 * time, between which packets can arrive. A pause of a busy machine therefore counts as one step.
 */
let hastyMs = 0;
const hasty: Clock = {
  now: () => hastyMs,
  async sleep(ms, signal) {
    for (const until = hastyMs + ms; hastyMs < until; hastyMs += 10) await systemClock.sleep(1, signal);
  },
};

describe('joining over a serial line', () => {
  const options = { baud: 115_200, reset: false, timeoutMs: 10_000, signal: new AbortController().signal };

  it('offers the networks that the board sees, strongest first, without hidden ones', async () => {
    let offered: readonly SeenNetwork[] = [];
    const ask = async (seen: readonly SeenNetwork[]) => {
      offered = seen;
      return { ssid: 'guests', password: '' };
    };
    const { ssid } = await joinOverSerial({ ...options, port: port(), ask });
    expect(ssid).toBe('guests');
    expect(offered).toEqual([
      { ssid: 'plant', dbm: -48, secured: true },
      { ssid: 'guests', dbm: -57, secured: false },
    ]);
  });

  it.each([
    ['sends nothing', '&fault=silent', 'the board sends nothing'],
    [
      'does not support Improv',
      '&fault=no-improv',
      'the board sends text, but no Improv packet. Last output',
    ],
    ['sends garbage', '&fault=wrong-clock', 'neither Improv packets nor text at 115200 baud'],
  ])('names the reason if a board %s', async (_name, fault, message) => {
    const attempt = joinOverSerial({
      ...options,
      clock: hasty,
      port: port(fault),
      ssid: 'guests',
      password: '',
    });
    await expect(attempt).rejects.toMatchObject({
      code: 'AIOT_IMPROV_SILENT',
      message: expect.stringContaining(message),
    });
  });

  it('sends the settings again if they were damaged or lost on the line', async () => {
    const answers = [
      encodeImprov(improvError('invalid-packet')),
      null,
      Buffer.concat([
        encodeImprov({ kind: 'state', state: 'provisioning' }),
        encodeImprov({ kind: 'result', command: 1, texts: ['http://10.0.0.7/'] }),
      ]),
    ];
    const reader = new ImprovReader();
    const at = await board((bytes) => {
      const [request] = reader.push(bytes).packets;
      if (request?.kind !== 'command') return null;
      if (request.command === 2) return encodeImprov({ kind: 'state', state: 'ready' });
      if (request.command === 3)
        return encodeImprov({ kind: 'result', command: 3, texts: ['ESPHome', '2026.1', 'esp32', 'lamp'] });
      return answers.shift() ?? null;
    });
    const joined = await joinOverSerial({
      ...options,
      clock: hasty,
      port: at,
      ssid: 'plant',
      password: secret,
    });
    expect(answers).toEqual([]);
    expect(joined).toMatchObject({ device: 'lamp', firmware: 'ESPHome', url: 'http://10.0.0.7/' });
  });

  it('asks a board that has become quiet whether it has joined', async () => {
    // The packets that report success were lost.
    let joins = 0;
    const reader = new ImprovReader();
    const at = await board((bytes) => {
      const [request] = reader.push(bytes).packets;
      if (request?.kind !== 'command') return null;
      if (request.command === 3) return encodeImprov({ kind: 'result', command: 3, texts: [] });
      if (request.command === 1) joins++;
      const state = request.command === 1 ? 'provisioning' : joins > 0 ? 'provisioned' : 'ready';
      return encodeImprov({ kind: 'state', state });
    });
    const joined = await joinOverSerial({
      ...options,
      clock: hasty,
      port: at,
      ssid: 'plant',
      password: secret,
    });
    expect({ joins, state: joined.state }).toEqual({ joins: 1, state: 'provisioned' });
  });

  it('does not mistake the state of an earlier network for success', async () => {
    // The board is connected already, and ignores the new settings.
    const reader = new ImprovReader();
    const at = await board((bytes) => {
      const requests = reader.push(bytes).packets.filter(({ kind }) => kind === 'command');
      return requests.length === 0 ? null : encodeImprov({ kind: 'state', state: 'provisioned' });
    });
    const wifi = { ssid: 'plant', password: secret };
    await expect(joinOverSerial({ ...options, clock: hasty, port: at, ...wifi })).rejects.toMatchObject({
      code: 'AIOT_IMPROV_SILENT',
    });
  });

  it.each([
    [2, 'AIOT_IMPROV_UNSUPPORTED'],
    [1, 'AIOT_IMPROV_REJECTED'],
    [255, 'AIOT_IMPROV_FAILED'],
  ])('turns error %i of the board into %s', async (code, expected) => {
    const reader = new ImprovReader();
    const at = await board((bytes) => {
      const [request] = reader.push(bytes).packets;
      if (request?.kind !== 'command') return null;
      if (request.command === 2) return encodeImprov({ kind: 'state', state: 'ready' });
      if (request.command === 3) return encodeImprov({ kind: 'result', command: 3, texts: [] });
      return encodeImprov({ kind: 'error', error: 'unknown', code });
    });
    await expect(
      joinOverSerial({ ...options, port: at, ssid: 'plant', password: secret }),
    ).rejects.toMatchObject({ code: expected });
  });

  it('reports that the board uses its former network again', async () => {
    let joined = false;
    const reader = new ImprovReader();
    const at = await board((bytes) => {
      const [request] = reader.push(bytes).packets;
      if (request?.kind !== 'command') return null;
      if (request.command === 3 || request.command === 4)
        return encodeImprov({ kind: 'result', command: request.command, texts: [] });
      if (request.command === 2) return encodeImprov({ kind: 'state', state: 'provisioned' });
      joined = true;
      return encodeImprov({ kind: 'error', error: 'unable-to-connect', code: 3 });
    });
    const attempt = joinOverSerial({ ...options, port: at, ssid: 'plant', password: secret });
    await expect(attempt).rejects.toThrow('It has returned to its previous network');
    expect(joined).toBe(true);
  });
});
