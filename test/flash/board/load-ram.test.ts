import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import type { LineListener, SerialLine } from '../../../src/lib/flash/port/line.js';
import { tracedLine } from '../../../src/lib/flash/port/traced-line.js';
import { SimulatedChip, type SimulatedChipOptions } from '../../../src/lib/flash/rom/chip.js';
import { encodeSlip } from '../../../src/lib/flash/rom/protocol.js';
import { type ServedChip, serveChip, simulatedLine } from '../../../src/lib/flash/rom/serve.js';
import { root, runCli } from '../../support/cli.js';
import { espApp, espImage } from '../../support/esp-image.js';
import { syncRequest } from '../rom/talk.js';

const folder = mkdtempSync(join(tmpdir(), 'aiot-ram-'));
const served: ServedChip[] = [];
afterEach(async () => {
  for (const one of served.splice(0)) await one.close();
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function chipAt(options: Partial<SimulatedChipOptions> = {}) {
  const chip = new SimulatedChip({ chip: 'esp32c3', ...options });
  const one = await serveChip(chip, { port: 0 });
  served.push(one);
  return { chip, port: one.address };
}

const c3Boot = join(root, 'test', 'golden', 'images', 'c3-boot.bin');

function fileOf(name: string, bytes: Uint8Array): string {
  const file = join(folder, name);
  writeFileSync(file, bytes);
  return file;
}

describe('aiot board load-ram', () => {
  it('loads an image into RAM and starts it, and leaves the flash unchanged', async () => {
    const { chip, port } = await chipAt();
    const { json, code } = await runCli(['board', 'load-ram', c3Boot, '--port', port, '--json']);
    expect({ code, json }).toMatchObject({ code: 0, json: { chip: 'esp32c3', mac: chip.mac } });
    const { entry, segments } = json as { entry: number; segments: { address: number; bytes: number }[] };
    expect(chip.state).toBe('program');
    expect(chip.ramProgram?.entry).toBe(entry);
    const image = readFileSync(c3Boot);
    for (const [i, { address, bytes }] of segments.entries()) {
      const loaded = chip.ramProgram?.segments[i];
      expect(loaded?.address).toBe(address);
      expect(image.includes(Buffer.from(loaded?.bytes ?? []))).toBe(true);
      expect(loaded?.bytes.length).toBe(bytes);
    }
    expect(chip.flash.bytes.every((byte) => byte === 0xff)).toBe(true);
    chip.reset();
    expect(chip.ramProgram).toBeNull();
  });

  it('loads a program larger than one block, and suggests how to see its output', async () => {
    const large = fileOf('large.bin', espImage({ chip: 'esp32c3', address: 0x4038_0000, bytes: 20_000 }));
    const { chip, port } = await chipAt();
    const { code, stdout } = await runCli(['board', 'load-ram', large, '--port', port]);
    expect({ code, stdout }).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(
        /19\.5 KiB in 1 segment .*started at 0x40380000[\s\S]*Next: aiot board monitor/,
      ),
    });
    expect(chip.ramProgram?.segments[0]?.bytes.length).toBe(20_000);
  });

  it('rejects an app with code in flash, an image for another chip, and a file that is not an image', async () => {
    const app = fileOf('app.bin', espApp('esp32c3'));
    const other = fileOf('other.bin', espImage({ chip: 'esp32', address: 0x4008_0000 }));
    const cases = [
      [app, '/dev/nothing', 'AIOT_USAGE'],
      [other, 'simulated:esp32c3', 'AIOT_CHIP_MISMATCH'],
      [fileOf('text.bin', Buffer.from('hello')), '/dev/nothing', 'AIOT_IMAGE_MALFORMED'],
    ] as const;
    for (const [file, port, code] of cases) {
      const { json } = await runCli(['board', 'load-ram', file, '--port', port, '--json']);
      expect(json).toMatchObject({ error: { code } });
    }
  });
});

describe('--trace', () => {
  it.each([
    ['a folder', '', 'it is a folder'],
    ['a file in a missing folder', 'nowhere/trace.txt', 'its folder does not exist'],
  ])('rejects %s with a plain reason', async (_, path, reason) => {
    const file = join(folder, path);
    const { json } = await runCli(['board', 'info', '--port', 'simulated:esp32', '--trace', file, '--json']);
    expect(json).toMatchObject({
      error: { code: 'AIOT_FILE_NOT_WRITABLE', message: `cannot write ${file}: ${reason}` },
    });
  });

  it('records requests, answers, control lines and speeds in a file that only the user can read', async () => {
    const file = join(folder, 'trace.txt');
    const port = 'simulated:esp32c3';
    const { code } = await runCli(['board', 'info', '--port', port, '--trace', file, '--json']);
    expect(code).toBe(0);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    const trace = readFileSync(file, 'utf8');
    const lines = trace.trimEnd().split('\n');
    expect(lines[0]).toMatch(
      /^\+000\.\d{3} simulated:esp32c3 {2}open: simulated, 115200 baud, with DTR and RTS$/,
    );
    for (const part of [
      /DTR=0 RTS=1$/m,
      /← text "ESP-ROM:esp32c3-api1/,
      /→ SYNC \(0x08\) 07071220 5555/,
      /← SYNC \(0x08\) value 0x\w{8}, 0{8}$/m,
      /→ READ_REG \(0x0a\) 0x40001000$/m,
      /→ MEM_DATA \(0x07\) block 0, \d+ bytes not shown$/m,
      /← packet 4f484149$/m,
      /→ CHANGE_BAUD \(0x0f\) 0xe1000 0x1c200$/m,
      /921600 baud$/m,
    ]) {
      expect(trace).toMatch(part);
    }
  });

  it('leaves out what is read from and written to flash', async () => {
    const secret = 'correct horse battery staple';
    const content = Buffer.alloc(0x1000, secret);
    const [image, file, out] = [
      fileOf('secret.bin', content),
      join(folder, 'flash.txt'),
      join(folder, 'out.bin'),
    ];
    for (const stub of [[], ['--no-stub']]) {
      const { port } = await chipAt();
      const wrote = await runCli([
        'flash',
        `${image}@0x9000`,
        '--port',
        port,
        ...stub,
        '--trace',
        file,
        '--json',
      ]);
      expect(wrote.code).toBe(0);
      const written = readFileSync(file, 'utf8');
      expect(written).toMatch(/→ (FLASH|DEFL)_DATA/);
      const reading = ['board', 'read', '0x9000', '0x100', '--out', out, '--port', port, ...stub];
      const read = await runCli([...reading, '--trace', file, '--json']);
      expect({ code: read.code, json: read.json }).toMatchObject({ code: 0 });
      for (const trace of [written, readFileSync(file, 'utf8')]) {
        expect(trace).not.toContain(secret.slice(0, 7));
        expect(trace).not.toContain(Buffer.from(secret).toString('hex').slice(0, 14));
      }
    }
  });

  it('prints to standard error with -, and fails before the port is opened if the file cannot be written', async () => {
    const shown = await runCli(['board', 'run', '--port', 'simulated:esp32', '--trace', '-', '--json']);
    expect(shown.stderr).toMatch(/→ SYNC \(0x08\)/);
    expect(shown.json).toMatchObject({ chip: 'esp32' });
    const denied = await runCli([
      'board',
      'run',
      '--port',
      '/dev/nothing',
      '--trace',
      '/nowhere/x.txt',
      '--json',
    ]);
    expect(denied.json).toMatchObject({ error: { code: 'AIOT_FILE_NOT_WRITABLE' } });
  });

  it('masks passwords that a program prints', async () => {
    const chip = new SimulatedChip({ chip: 'esp32c3' });
    const lines: string[] = [];
    const line = tracedLine(
      simulatedLine(chip),
      (text) => lines.push(text),
      () => 0,
    );
    const heard: Uint8Array[] = [];
    line.listen({ data: (bytes) => heard.push(bytes), closed: () => {} });
    const secret = 'wifi password="hunter2 and more", x\r\nssid=y\r\n';
    chip.faults.add({ kind: 'chatter', text: secret });
    await line.write(encodeSlip(syncRequest));
    await expect.poll(() => lines.some((text) => text.includes('SYNC (0x08) value'))).toBe(true);
    await line.close();
    expect(Buffer.concat(heard).toString('latin1')).toContain('hunter2');
    expect(lines.join('\n')).toContain('text "wifi password=••••"');
    expect(lines.join('\n')).toContain('text "ssid=y"');
    expect(lines.join('\n')).not.toMatch(/hunter2|and more/);
  });

  it('masks a password that arrives in pieces, and shows no block of flash', async () => {
    const lines: string[] = [];
    let listener: LineListener | undefined;
    const fake = {
      ...{ address: 'port', kind: 'serial', usb: null, baud: 115_200, hasControlLines: true },
      listen: (added: LineListener) => {
        listener = added;
        return () => {};
      },
      write: async () => {},
      close: async () => {},
    } as unknown as SerialLine;
    const line = tracedLine(
      fake,
      (text) => lines.push(text),
      () => 0,
    );
    line.listen({ data: () => {}, closed: () => {} });
    for (const piece of ['wifi_p', 'w: hunt', 'er2 an', 'd more\r\nready\r\n', 'pin_code: 4711'])
      listener?.data(Buffer.from(piece));
    const request = (code: number) => encodeSlip(Uint8Array.of(0, code, 0, 0, 0, 0, 0, 0));
    await line.write(request(0xd2));
    listener?.data(encodeSlip(Buffer.from('s3cret')));
    // A block that looks like an answer to SYNC, with "key" as its data.
    listener?.data(encodeSlip(Uint8Array.of(1, 8, 3, 0, 0, 0, 0, 0, 0x6b, 0x65, 0x79)));
    listener?.data(encodeSlip(Buffer.from('OHAI')));
    await line.close();
    const text = lines.join('\n');
    expect(text).toContain('text "wifi_pw: ••••"');
    expect(text).toContain('text "ready"');
    expect(text).toContain('text "pin_code: ••••"');
    expect(text).not.toMatch(/hunt|er2|and more|4711|s3cret|733363726574|6b6579/);
    expect(text).toContain('packet, 6 bytes not shown');
    expect(text).toContain('packet, 11 bytes not shown');
    expect(text).toContain('packet 4f484149');
  });
});
