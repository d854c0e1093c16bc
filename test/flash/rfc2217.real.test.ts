import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { afterEach, expect, it, vi } from 'vitest';
import { openLoader } from '../../src/lib/flash/loader/open-loader.js';
import { openLine } from '../../src/lib/flash/port/open-line.js';
import { openRfc2217Line } from '../../src/lib/flash/port/rfc2217-client.js';
import { serveLine } from '../../src/lib/flash/port/rfc2217-server.js';
import { SimulatedChip } from '../../src/lib/flash/rom/chip.js';
import { serveChip } from '../../src/lib/flash/rom/serve.js';
import { root } from '../support/cli.js';
import { esptool } from '../support/esptool.js';
import { freePort } from '../support/free-port.js';
import { describeReal, python } from '../support/real.js';
import { FakeLine } from './fake-line.js';

const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

const script = (name: string) => join(root, 'test', 'support', 'python', name);
const everyByte = Uint8Array.from({ length: 4096 }, (_, i) => i & 0xff);

/** Starts a program that is stopped after the test, and collects its output lines. */
function start(program: string, args: string[], env = {}): { child: ChildProcess; lines: string[] } {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } });
  const lines: string[] = [];
  for (const stream of [child.stdout, child.stderr])
    createInterface({ input: stream }).on('line', (line) => lines.push(line));
  ends.push(() => child.kill('SIGKILL'));
  return { child, lines };
}

async function open(address: string) {
  const client = await openRfc2217Line(address, { baud: 115_200 });
  ends.push(() => client.close());
  const got: number[] = [];
  client.listen({ data: (bytes) => got.push(...bytes), closed: () => undefined });
  return { client, got };
}

describeReal('esptool', "RFC 2217 with pyserial and Espressif's server", () => {
  it("the aiot server works with pyserial's client", async () => {
    const line = new FakeLine();
    line.echo = true;
    const served = await serveLine(async () => line, { port: 0 });
    ends.push(() => served.close());
    const { stdout } = await promisify(execFile)(
      python('esptool'),
      [script('rfc2217_client.py'), served.address],
      {
        timeout: 30_000,
      },
    );
    expect(JSON.parse(stdout)).toEqual({ echoed: true, cts: false, refused: true });
    // The client opens the port with both lines asserted, and the reset into the loader is a single step.
    expect(line.log.filter((entry, i) => entry !== line.log[i - 1])).toEqual([
      'lines:1,0',
      'lines:1,1',
      'baud:921600',
      'lines:0,1',
      'lines:1,0',
      'lines:0,0',
      'baud:115200',
    ]);
  });

  it("the aiot client works with pyserial's server", async () => {
    const { lines } = start(python('esptool'), [script('rfc2217_server.py')]);
    await vi.waitFor(() => expect(lines).toHaveLength(1), { timeout: 10_000 });
    const { client, got } = await open(`rfc2217://127.0.0.1:${lines[0]}`);
    await client.setBaud(460_800);
    await client.write(everyByte);
    await vi.waitFor(() => expect(got).toHaveLength(everyByte.length), { timeout: 10_000 });
    expect(got).toEqual([...everyByte]);
    await client.setControlLines({ dtr: false, rts: true });
    await client.close();
    await vi.waitFor(() => expect(lines).toHaveLength(2), { timeout: 10_000 });
    expect(JSON.parse(lines[1] ?? '')).toEqual({ baud: 460_800, dtr: false, rts: true });
  });

  it("the aiot client resets a board into its loader through Espressif's server, chained to aiot's", async () => {
    const line = new FakeLine();
    line.echo = true;
    const served = await serveLine(async () => line, { port: 0 });
    ends.push(() => served.close());
    const port = await freePort();
    const bin = join(python('esptool'), '..', 'esp_rfc2217_server');
    // esptool's default reset uses ioctls, which a shared port does not support. These settings describe the same steps.
    const settings = join(tmpdir(), `esptool-${process.pid}.cfg`);
    await writeFile(settings, '[esptool]\ncustom_reset_sequence = D0|R1|W0.1|D1|R0|W0.05|D0\n');
    ends.push(() => rm(settings));
    const { lines } = start(bin, ['-p', String(port), served.address], { ESPTOOL_CFGFILE: settings });
    await vi.waitFor(() => expect(lines.join('\n')).toContain('Waiting for connection'), { timeout: 20_000 });
    const { client, got } = await open(`rfc2217://127.0.0.1:${port}?ign_set_control`);
    await client.write(everyByte);
    await vi.waitFor(() => expect(got).toHaveLength(everyByte.length), { timeout: 10_000 });
    expect(got).toEqual([...everyByte]);
    line.log.length = 0;
    await client.setControlLines({ dtr: false, rts: true });
    await delay(100);
    await client.setControlLines({ dtr: true, rts: false });
    await delay(50);
    await client.setControlLines({ dtr: false, rts: false });
    // The server completes the reset sequence on its own once it has recognized its beginning.
    await vi.waitFor(() => expect(line.log.join(' ')).toMatch(/lines:0,1 (lines:0,1 )*lines:1,0/), {
      timeout: 10_000,
    });
    await vi.waitFor(() => expect(line.log.at(-1)).toBe('lines:0,0'), { timeout: 10_000 });
  });

  // pyserial's client waits 50 ms for each response, and esptool sets every option again for each command, which takes 20 s with a stub.
  it('esptool resets chips into their loader over the aiot server, and restarts their programs', async () => {
    const asked = async (name: 'esp32' | 'esp32s3' | 'esp32c3', query: string) => {
      const chip = new SimulatedChip({ chip: name });
      let text = '';
      chip.onOutput((bytes) => {
        text += Buffer.from(bytes).toString('latin1');
      });
      const served = await serveChip(chip, { rfc2217: 0 });
      ends.push(() => served.close());
      const resets = ['--before', 'default-reset', '--after', 'hard-reset'];
      const args = ['--chip', name, '--port', served.address + query, ...resets, '--no-stub', 'read-mac'];
      const { code, stdout, stderr } = await esptool(args);
      expect(code, stdout + stderr).toBe(0);
      const mac = /MAC: +([0-9a-f:]{17})/.exec(stdout)?.[1];
      const modes = [...text.matchAll(/boot:0x([0-9a-f]+)/g)].map(([, mode]) => mode);
      return {
        mac,
        download: text.includes('waiting for download'),
        backInProgram: modes.at(-1) !== modes.at(-2),
      };
    };
    const chips = await Promise.all([
      asked('esp32', ''),
      asked('esp32s3', '?ign_set_control'),
      asked('esp32c3', ''),
    ]);
    for (const chip of chips)
      expect(chip).toEqual({ mac: expect.any(String), download: true, backInProgram: true });
  });

  it('the aiot loader identifies and writes a chip over the aiot server', async () => {
    const chip = new SimulatedChip({ chip: 'esp32' });
    const served = await serveChip(chip, { rfc2217: 0 });
    ends.push(() => served.close());
    const line = await openLine(served.address, { baud: 115_200 });
    const loader = await openLoader(line, {
      ...{ chip: 'auto', baud: 921_600, stub: true, before: 'default-reset', after: 'hard-reset' },
    });
    expect(loader.chip).toMatchObject({ chip: 'esp32' });
    const [region] = await loader.write([{ offset: 0x10000, data: everyByte, name: 'test' }]);
    expect(region).toMatchObject({ offset: 0x10000, bytes: everyByte.length, skipped: false });
    await loader.end();
  });
});
