import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, it, vi } from 'vitest';
import { joinOverSoftap } from '../../src/lib/device/onboard/softap.js';
import { runCli } from '../support/cli.js';
import { type SoftapBoard, softapBoard } from '../support/softap-board.js';

const folder = mkdtempSync(join(tmpdir(), 'aiot-softap-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const file = (name: string, content: string) => {
  writeFileSync(join(folder, name), content);
  return join(folder, name);
};
const secret = 'correct horse 7';
const networks = [
  { ssid: 'guests', dbm: -80, secured: false },
  ...Array.from({ length: 9 }, (_, i) => ({ ssid: `home-${i}`, dbm: -60 - i, secured: true })),
  { ssid: 'plant', dbm: -50, secured: true, password: secret },
];

const boards: SoftapBoard[] = [];
afterEach(async () => {
  for (const board of boards.splice(0)) await board.close();
  vi.unstubAllEnvs();
});
async function open(options: Parameters<typeof softapBoard>[0] = {}) {
  const board = await softapBoard({ networks, ...options });
  boards.push(board);
  return board;
}
const onboard = (url: string, login: string, ...more: string[]) =>
  runCli([
    ...[
      'device',
      'onboard',
      '--softap',
      '--board-url',
      url,
      '--board-password-file',
      file('login.txt', login),
    ],
    ...['--password-file', file('wifi.txt', secret), '--json', ...more],
  ]);

describe('aiot device onboard --softap', () => {
  it.each([0, 1])('connects a board to a network, with patch version %i of the scheme', async (patch) => {
    const board = await open({ patch });
    const { json, code } = await onboard(board.url, 'abcd1234', '--ssid', 'plant');
    expect({ code, json }).toMatchObject({
      code: 0,
      json: { ssid: 'plant', state: 'provisioned', port: board.url },
    });
    expect(board.applied).toEqual([{ ssid: 'plant', password: secret }]);
  });

  it('sends neither password nor network in clear text', async () => {
    const board = await open();
    await onboard(board.url, 'abcd1234', '--ssid', 'plant');
    expect(board.heard.length).toBeGreaterThan(5);
    const air = Buffer.concat(board.heard).toString('latin1');
    for (const text of [secret, 'plant', 'abcd1234']) expect(air).not.toContain(text);
  });

  it('refuses a wrong password of the board before it sends the settings', async () => {
    const board = await open();
    const { json, code, stdout } = await onboard(board.url, 'wrong-pop', '--ssid', 'plant');
    expect({ code, json }).toMatchObject({ code: 5, json: { error: { code: 'AIOT_SOFTAP_REFUSED' } } });
    expect(board.applied).toEqual([]);
    expect(stdout).not.toContain('wrong-pop');
  });

  it('sends no settings to a board that does not know its password', async () => {
    const board = await open({ imitates: true, password: 'unknown' });
    const { json } = await onboard(board.url, 'abcd1234', '--ssid', 'plant');
    expect(json).toMatchObject({ error: { code: 'AIOT_SOFTAP_MALFORMED' } });
    expect(board.heard).toHaveLength(3);
  });

  it.each([0, 1])('refuses security scheme %i', async (scheme) => {
    const board = await open({ scheme });
    const { json } = await onboard(board.url, 'abcd1234', '--ssid', 'plant');
    expect(json).toMatchObject({ error: { code: 'AIOT_SOFTAP_INSECURE' } });
    expect(board.heard).toHaveLength(1);
  });

  it.each([
    ['lost', 'AIOT_WIFI_NOT_FOUND'],
    ['home-1', 'AIOT_WIFI_REFUSED'],
  ])('reports that the board cannot join %s', async (ssid, code) => {
    const board = await open({
      networks: [...networks, { ssid: 'x', dbm: -1, secured: true }].map((each) => ({
        password: 'another 1',
        ...each,
      })),
    });
    expect((await onboard(board.url, 'abcd1234', '--ssid', ssid)).json).toMatchObject({ error: { code } });
  });

  it('waits for a board whose network is away while it changes the channel', async () => {
    const board = await open({ lost: { after: 5, requests: 2 } });
    const { json } = await onboard(board.url, 'abcd1234', '--ssid', 'plant');
    expect(json).toMatchObject({ ssid: 'plant', state: 'provisioned' });
  });

  it.each([
    ['before it got the settings', 3, 0, 'does not respond', '--board-url'],
    ['after it got the settings', 5, 1, 'received the settings for plant', 'device list'],
  ])('reports a board that disappears %s', async (_when, after, applied, why, next) => {
    const board = await open({ lost: { after, requests: Number.POSITIVE_INFINITY } });
    const { json, code } = await onboard(board.url, 'abcd1234', '--ssid', 'plant', '--timeout', '3s');
    expect({ code, json }).toMatchObject({
      code: 1,
      json: {
        error: {
          code: 'AIOT_SOFTAP_UNREACHABLE',
          message: expect.stringContaining(why),
          next: expect.stringContaining(next),
        },
      },
    });
    expect(board.applied).toHaveLength(applied);
  });

  it('shows the networks that the board sees, strongest first, and needs no password for an open one', async () => {
    const board = await open();
    const options = {
      ...{ url: board.url, login: { user: 'wifiprov', password: 'abcd1234' } },
      ...{ timeoutMs: 5000, signal: new AbortController().signal },
    };
    const ask = vi.fn(async () => ({ ssid: 'plant', password: secret }));
    await joinOverSoftap({ ...options, ask });
    const seen = (ask.mock.calls as unknown as [typeof networks][])[0]![0];
    expect(seen.map(({ ssid }) => ssid)).toEqual([
      'plant',
      ...networks.slice(1, 10).map(({ ssid }) => ssid),
      'guests',
    ]);
    expect(await joinOverSoftap({ ...options, ssid: 'guests' })).toMatchObject({ ssid: 'guests' });
    await expect(joinOverSoftap({ ...options, ssid: 'home-1' })).rejects.toMatchObject({
      code: 'AIOT_USAGE',
    });
  });

  it('reports an address without a board, or with another server', async () => {
    const board = await open();
    await board.close();
    boards.splice(0);
    expect((await onboard(board.url, 'abcd1234', '--ssid', 'plant')).json).toMatchObject({
      error: { code: 'AIOT_SOFTAP_UNREACHABLE' },
    });
    for (const reply of ['<html>', '{"prov":{"sec_ver":2}}']) {
      const server = createServer((_, response) => response.end(reply));
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      const { port } = server.address() as { port: number };
      const { json } = await onboard(`http://127.0.0.1:${port}`, 'abcd1234', '--ssid', 'plant');
      expect(json, reply).toMatchObject({ error: { code: 'AIOT_SOFTAP_MALFORMED' } });
      server.close();
      server.closeAllConnections();
    }
  });

  it.each([
    ['no password of the board', ['--softap', '--ssid', 'plant'], '--board-password-file'],
    [
      'another kind of address',
      ['--softap', '--board-url', 'ftp://x', '--board-password-file', 'LOGIN'],
      'http://192.168.4.1',
    ],
    ['the address without --softap', ['--board-url', 'http://192.168.4.1'], '--softap'],
    ['a serial port', ['--softap', '--port', '/dev/ttyUSB0'], '--port'],
  ])('rejects %s', async (_what, args, why) => {
    const login = file('login.txt', 'abcd1234');
    const given = args.map((arg) => (arg === 'LOGIN' ? login : arg));
    const { code, stdout } = await runCli(['device', 'onboard', ...given, '--json']);
    expect({ code, stdout }).toMatchObject({ code: 2, stdout: expect.stringContaining(why) });
  });
});
