import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { build } from 'esbuild';
import { afterEach, beforeAll, expect, it } from 'vitest';
import { joinedSchema } from '../../src/lib/device/onboard/improv.js';
import { resetBoard } from '../../src/lib/flash/loader/reset.js';
import { openChipLine } from '../../src/lib/flash/rom/simulate.js';
import { encodeImprov, encodeTexts, improvCommands } from '../../src/lib/formats/improv.js';
import { root, runCli } from '../support/cli.js';
import { describeReal, improvSdk } from '../support/real.js';

const secret = 'correct horse 7';
const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'aiot-improv-'));
  ends.push(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** The board of firmware/test/improv_board.c, compiled once. */
let program = '';
function compileBoard(): string {
  if (program !== '') return program;
  const made = join(mkdtempSync(join(tmpdir(), 'aiot-improv-board-')), 'board');
  const firmware = join(root, 'firmware');
  const sources = ['core/src/improv.c', 'core/src/networks.c', 'test/improv_board.c'].map((file) =>
    join(firmware, file),
  );
  const strict = ['-std=c11', '-Wall', '-Wextra', '-Werror', '-Wconversion', '-fsanitize=address,undefined'];
  execFileSync('cc', [...strict, '-I', join(firmware, 'core/include'), ...sources, '-o', made]);
  program = made;
  return made;
}

/** A byte stream in both directions, in the form of a browser's serial port, which the library expects. */
interface Wire {
  write(bytes: Uint8Array): void | Promise<void>;
  listen(data: (bytes: Uint8Array) => void): void;
}

/** The part of the Improv project's class that this test uses. */
interface ImprovSerial {
  info?: { name: string; firmware: string; version: string; chipFamily: string };
  state?: number;
  nextUrl?: string;
  initialize(timeoutMs?: number): Promise<unknown>;
  scan(timeoutMs?: number): Promise<{ name: string; rssi: number; secured: boolean }[]>;
  provision(ssid: string, password: string, timeoutMs?: number): Promise<void>;
  close(): Promise<void>;
}

let Sdk: new (port: unknown, logger: unknown) => ImprovSerial;

/** Connects the library to a board, and records the bytes that the library sends. */
function client(wire: Wire): { improv: ImprovSerial; sent: () => Uint8Array } {
  const sent: Uint8Array[] = [];
  // The library cancels the stream when it is closed, but the board may still send.
  let closed = false;
  const readable = new ReadableStream<Uint8Array>({
    start: (to) =>
      wire.listen((bytes) => {
        if (!closed) to.enqueue(bytes);
      }),
    cancel: () => {
      closed = true;
    },
  });
  const writable = new WritableStream<Uint8Array>({
    write: async (bytes) => {
      sent.push(bytes);
      await wire.write(bytes);
    },
  });
  const quiet = { log: () => {}, debug: () => {}, error: () => {} };
  const improv = new Sdk({ readable, writable }, quiet);
  ends.push(() => improv.close());
  return { improv, sent: () => Buffer.concat(sent) };
}

async function simulatedChip(): Promise<Wire> {
  const networks = `network=plant:${encodeURIComponent(secret)}&network=guests`;
  const line = await openChipLine(`simulated:esp32c3?${networks}`, 115_200);
  ends.push(() => line.close());
  await resetBoard(line);
  return {
    write: (bytes) => line.write(bytes),
    listen: (data) => void line.listen({ data, closed: () => undefined }),
  };
}

function nativeBoard(store: string): ChildProcess {
  const child = spawn(compileBoard(), [store, `plant:${secret}`, 'guests'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  ends.push(() => void child.kill());
  return child;
}

async function firmware(): Promise<Wire> {
  const { stdin, stdout } = nativeBoard(join(folder(), 'networks.bin'));
  return {
    write: (bytes) => void stdin?.write(bytes),
    listen: (data) => void stdout?.on('data', data),
  };
}

describeReal('improv', "the Improv project's own client", () => {
  beforeAll(async () => {
    const out = join(mkdtempSync(join(tmpdir(), 'aiot-improv-sdk-')), 'sdk.mjs');
    await build({
      entryPoints: [join(improvSdk, 'node_modules', 'improv-wifi-serial-sdk', 'dist', 'serial.js')],
      ...{ bundle: true, format: 'esm', platform: 'node', outfile: out, logLevel: 'silent' },
    });
    ({ ImprovSerial: Sdk } = await import(/* @vite-ignore */ pathToFileURL(out).href));
  });

  it.each([
    ['the simulated chip', simulatedChip, 'esp32c3'],
    ['the firmware', firmware, 'host'],
  ] as const)('identifies %s, lists its networks and connects it', async (_name, open, chip) => {
    const { improv } = client(await open());
    await improv.initialize(5000);
    expect(improv).toMatchObject({ state: 2, info: { chipFamily: chip } });
    expect(await improv.scan(5000)).toMatchObject([
      { name: 'guests', secured: false },
      { name: 'plant', secured: true },
    ]);
    await improv.provision('plant', secret, 5000);
    expect(improv.state).toBe(4);
  });

  it.each([
    ['the simulated chip', simulatedChip],
    ['the firmware', firmware],
  ] as const)(
    'receives from %s that a password is wrong and that the board waits for another',
    async (_name, open) => {
      const { improv } = client(await open());
      await improv.initialize(5000);
      await expect(improv.provision('plant', 'wrong password', 5000)).rejects.toBe('UNABLE_TO_CONNECT');
      await improv.provision('plant', secret, 5000);
      expect(improv.state).toBe(4);
    },
  );

  it('sends the same bytes as aiot, apart from the line feeds around them', async () => {
    const { improv, sent } = client({ write: () => {}, listen: () => {} });
    void improv.provision('Büro 2.4', secret, 200).catch(() => undefined);
    await delay(50);
    const data = encodeTexts(['Büro 2.4', secret]);
    const ours = encodeImprov({ kind: 'command', command: improvCommands.wifi, data });
    expect(Buffer.from(sent()).toString('hex').replace(/0a$/, '')).toBe(
      Buffer.from(ours.subarray(1, -1)).toString('hex'),
    );
  });
});

describeReal('socat', 'the firmware on a pty', () => {
  /** A pty whose other end is the board. */
  async function port(store: string): Promise<string> {
    const path = join(folder(), 'tty');
    const bridge = spawn('socat', [`PTY,raw,echo=0,link=${path}`, 'STDIO'], {
      stdio: ['pipe', 'pipe', 'ignore'],
    });
    ends.push(() => void bridge.kill());
    const board = nativeBoard(store);
    board.stdout?.pipe(bridge.stdin as NodeJS.WritableStream);
    bridge.stdout?.pipe(board.stdin as NodeJS.WritableStream);
    bridge.stdin?.on('error', () => undefined);
    board.stdin?.on('error', () => undefined);
    for (let tries = 0; tries < 500 && !existsSync(path); tries++) await delay(10);
    return path;
  }

  async function onboard(at: string, ssid: string, password: string) {
    const file = join(folder(), 'wifi.txt');
    writeFileSync(file, password);
    return runCli(['device', 'onboard', '--port', at, '--ssid', ssid, '--password-file', file, '--json']);
  }

  it('joins a network, keeps it when a new one fails, and uses it after a restart', async () => {
    const store = join(folder(), 'networks.bin');
    const at = await port(store);
    const { json, code } = await onboard(at, 'plant', secret);
    expect(code).toBe(0);
    expect(joinedSchema.parse(json)).toMatchObject({
      ...{ device: 'pump-7', chip: 'host', firmware: 'aiot-device', version: '1.2.3' },
      ...{ ssid: 'plant', state: 'provisioned', url: 'https://platform/' },
    });
    const kept = readFileSync(store);
    expect(kept.includes(Buffer.from(`plant${secret}`))).toBe(true);

    const refused = await onboard(at, 'guests', 'not an open network');
    expect(refused).toMatchObject({ code: 1, json: { error: { code: 'AIOT_WIFI_REFUSED' } } });
    expect(await onboard(at, 'plnat', secret)).toMatchObject({
      json: { error: { code: 'AIOT_WIFI_NOT_FOUND' } },
    });
    expect(readFileSync(store)).toEqual(kept);

    const again = await port(store);
    await delay(500);
    // Only a board that has joined a network reports its page.
    const { json: later } = await onboard(again, 'plant', secret);
    expect(joinedSchema.parse(later).url).toBe('https://platform/');
    expect(statSync(store).size).toBe(kept.length);
  });
});
