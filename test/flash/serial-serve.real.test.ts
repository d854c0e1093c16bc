import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readlink, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { openLine } from '../../src/lib/flash/port/open-line.js';
import { serveEventSchema } from '../../src/lib/flash/port/rfc2217-server.js';
import { runCli } from '../support/cli.js';
import { freePort } from '../support/free-port.js';
import { describeReal } from '../support/real.js';

describe('aiot board share', () => {
  it('rejects a missing port, a shared port, and an invalid TCP port number', async () => {
    expect(await runCli(['board', 'share', '--port', '/dev/ttyNONE', '--json'])).toMatchObject({
      code: 4,
      json: { error: { code: 'AIOT_SERIAL_NOT_FOUND' } },
    });
    expect(await runCli(['board', 'share', '--port', 'socket://127.0.0.1:9', '--json'])).toMatchObject({
      code: 2,
      json: { error: { code: 'AIOT_USAGE' } },
    });
    expect(await runCli(['board', 'share', '--port', '/dev/ttyNONE', '--listen', '70000'])).toMatchObject({
      code: 2,
    });
  });
});

describeReal('socat', 'aiot board share with a port', () => {
  let folder: string;
  let echo: ChildProcess;
  let port: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'aiot-serve-'));
    const link = join(folder, 'port');
    echo = spawn('socat', [`PTY,raw,echo=0,link=${link}`, 'PIPE'], { stdio: 'ignore' });
    port = await vi.waitFor(() => readlink(link), { timeout: 20_000 });
  });
  afterEach(async () => {
    const gone = once(echo, 'exit');
    if (echo.kill()) await gone;
    await rm(folder, { recursive: true, force: true });
  });

  /** Shares the port while `act` runs, then stops as with Ctrl-C. */
  async function meanwhile(argv: string[], act: (tcpPort: number) => Promise<void>) {
    const tcpPort = await freePort();
    const run = runCli(['board', 'share', '--port', port, '--listen', String(tcpPort), '--json', ...argv]);
    try {
      await act(tcpPort);
    } finally {
      process.emit('SIGINT');
    }
    const { stdout, code } = await run;
    const events = stdout
      .trim()
      .split('\n')
      .map((line) => serveEventSchema.parse(JSON.parse(line)));
    return { events, code };
  }

  async function echoes(address: string): Promise<void> {
    const line = await vi.waitFor(() => openLine(address, { baud: 115_200 }), { timeout: 10_000 });
    const got: number[] = [];
    line.listen({ data: (bytes) => got.push(...bytes), closed: () => undefined });
    await line.write(Uint8Array.of(1, 0xff, 0x0d));
    await vi.waitFor(() => expect(got).toEqual([1, 0xff, 0x0d]), { timeout: 10_000 });
    await line.close();
  }

  it('shares the port over RFC 2217 and reports connections', async () => {
    const { events, code } = await meanwhile([], (tcpPort) => echoes(`rfc2217://127.0.0.1:${tcpPort}`));
    expect(code).toBe(0);
    expect(events[0]).toMatchObject({
      event: 'serving',
      address: expect.stringMatching(/^rfc2217:\/\/127\.0\.0\.1:/),
    });
    expect(events.at(-1)).toMatchObject({ event: 'disconnected', sent: 3, received: 3 });
  });

  it('shares the port as a plain socket in raw mode', async () => {
    const { events } = await meanwhile(['--raw'], (tcpPort) => echoes(`socket://127.0.0.1:${tcpPort}`));
    expect(events.at(-1)).toMatchObject({ event: 'disconnected', sent: 3, received: 3 });
  });

  it('reports that a TCP port is in use', async () => {
    await meanwhile([], async (tcpPort) => {
      await echoes(`rfc2217://127.0.0.1:${tcpPort}`);
      const second = spawn('socat', [`PTY,raw,echo=0,link=${join(folder, 'second')}`, 'PIPE'], {
        stdio: 'ignore',
      });
      try {
        const other = await vi.waitFor(() => readlink(join(folder, 'second')), { timeout: 20_000 });
        const { servePort } = await import('../../src/lib/flash/port/rfc2217-server.js');
        const signal = AbortSignal.timeout(5000);
        const again = servePort({ path: other, baud: 115_200, port: tcpPort, signal });
        await expect(again).rejects.toMatchObject({ code: 'AIOT_PORT_IN_USE' });
      } finally {
        second.kill();
      }
    });
  });
});
