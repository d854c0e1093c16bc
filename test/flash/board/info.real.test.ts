import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import type { BoardInfo } from '../../../src/lib/flash/board-info.js';
import { type SimulatedChipName, simulatedChipNames } from '../../../src/lib/flash/rom/identity.js';
import type { ChipName } from '../../../src/lib/formats/esp-image/chips.js';
import { simulatedBoard } from '../../support/chips.js';
import { root, runCli } from '../../support/cli.js';
import { described, espBootloader, espImage } from '../../support/esp-image.js';
import { espflashProgram } from '../../support/espflash-program.js';
import { esptool } from '../../support/esptool.js';
import { runProgram, told } from '../../support/programs.js';
import { describeReal, python } from '../../support/real.js';

const folder = mkdtempSync(join(tmpdir(), 'aiot-info-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const at = (name: string) => join(folder, name);
const golden = (name: string) => readFileSync(join(root, 'test', 'golden', 'flash', name));

async function run(program: string, args: readonly string[]): Promise<string> {
  const result = await runProgram(program, args, { env: { NO_COLOR: '1', COLUMNS: '200' } });
  if (result.code !== 0) throw new Error(told(program, args, result));
  return result.stdout;
}

const nvsCsv = `key,type,encoding,value
net,namespace,,
ssid,data,string,workshop
password,data,string,correct horse
retries,data,u8,3
state,namespace,,
offset,data,i32,-44
sequence,data,u64,18446744073709551615
`;

const elfSha = Buffer.from(Array.from({ length: 32 }, (_, i) => i * 7));

function appOf(chip: ChipName) {
  const starts = Buffer.from(described('motor', '1.4.0'));
  starts.writeUInt32LE(2, 4);
  starts.write('15:04:05', 80);
  starts.write('Nov 20 2026', 96);
  starts.write('v5.5.1', 112);
  starts.set(elfSha, 144);
  return espImage({
    chip,
    address: chip === 'esp32' ? 0x3f40_0020 : 0x3c00_0020,
    starts: [...starts],
    bytes: 2048,
  });
}

/** A flash whose table, NVS and otadata come from third parties. */
async function flashOf(chip: SimulatedChipName): Promise<Uint8Array> {
  const flash = Buffer.alloc(4 << 20, 0xff);
  flash.set(espBootloader(chip), chip === 'esp32' ? 0x1000 : 0);
  flash.set(golden('partitions/two_ota_4m.bin'), 0x8000);
  flash.set(golden('ota/slot1.bin'), 0xe000);
  flash.set(appOf(chip), 0x10000);
  flash.set(appOf(chip), 0x150000);
  writeFileSync(at('nvs.csv'), nvsCsv);
  await run(
    python('esptool'),
    [
      ...['-m', 'esp_idf_nvs_partition_gen', 'generate', 'nvs.csv', 'nvs.bin', '0x5000', '--outdir', folder],
    ].map((word) => (word === 'nvs.csv' ? at(word) : word)),
  );
  flash.set(readFileSync(at('nvs.bin')), 0x9000);
  return flash;
}

/** Reads `Name:   value` lines of esptool. */
const lineOf = (text: string, name: string) => new RegExp(`^${name}:\\s*(.*)$`, 'm').exec(text)?.[1];

describeReal('esptool', 'aiot board info compared with third parties', () => {
  it.each(simulatedChipNames)(
    'reports what esptool and espefuse report about an %s',
    { timeout: 180_000 },
    async (chip) => {
      const board = await simulatedBoard({ chip, flash: await flashOf(chip) }, 'socket');
      try {
        const port = ['--port', board.port, '--before', 'no-reset'];
        const { json } = await runCli([
          'board',
          'info',
          ...port,
          '--no-stub',
          '--after',
          'no-reset',
          '--json',
        ]);
        const info = json as BoardInfo;
        const theirs = await esptool([...port, '--no-stub', '--after', 'no-reset', 'flash-id']);
        expect(theirs.code, theirs.stdout + theirs.stderr).toBe(0);
        expect(lineOf(theirs.stdout, 'Chip type')).toBe(info.description);
        const features = lineOf(theirs.stdout, 'Features')?.replaceAll('-', '').toLowerCase();
        for (const feature of ['wifi', 'bt']) expect(features).toContain(feature);
        expect(lineOf(theirs.stdout, 'Crystal frequency')).toBe(`${info.crystalMHz}MHz`);
        expect(lineOf(theirs.stdout, 'MAC')).toBe(info.mac);
        const [manufacturer, device] = [
          lineOf(theirs.stdout, 'Manufacturer'),
          lineOf(theirs.stdout, 'Device'),
        ];
        expect(`${manufacturer}${device}`).toBe(info.flash.id);
        expect(lineOf(theirs.stdout, 'Detected flash size')).toBe(`${(info.flash.bytes ?? 0) >> 20}MB`);

        const summary = await run(python('esptool'), [
          ...['-m', 'espefuse', ...port, 'summary', '--format', 'json', '--file', at('fuses.json')],
        ]);
        expect(summary).not.toContain('fatal');
        const fuses = JSON.parse(readFileSync(at('fuses.json'), 'utf8')) as Record<
          string,
          { value: unknown }
        >;
        const value = (name: string) => fuses[name]?.value;
        expect(value('SECURE_BOOT_EN') ?? value('ABS_DONE_1')).toBe(info.fuses?.secureBoot.version === 2);
        expect(String(value('MAC'))).toContain(info.mac);
        expect(value('DIS_PAD_JTAG') ?? value('JTAG_DISABLE')).toBe(info.fuses?.jtag.pins === 'disabled');
      } finally {
        await board.close();
      }
    },
  );

  it('reads the table, the apps and NVS as their own tools do', { timeout: 120_000 }, async () => {
    const flash = await flashOf('esp32c3');
    writeFileSync(at('flash.bin'), flash);
    const { json } = await runCli([
      'board',
      'info',
      '--port',
      `simulated:esp32c3?flash=${at('flash.bin')}`,
      '--json',
    ]);
    const info = json as BoardInfo;
    writeFileSync(at('app.bin'), flash.subarray(0x150000, 0x150000 + 8192));
    const about = (await esptool(['image-info', at('app.bin')])).stdout;
    const app = info.apps.find(({ boots }) => boots);
    expect(app).toMatchObject({ label: 'app1', state: 'undefined' });
    expect({
      project: lineOf(about, 'Project name'),
      version: lineOf(about, 'App version'),
      built: lineOf(about, 'Compile time'),
      elfSha256: lineOf(about, 'ELF file SHA256'),
      idf: lineOf(about, 'ESP-IDF'),
      secureVersion: Number(lineOf(about, 'Secure version')),
    }).toEqual({
      ...{ project: app?.project, version: app?.version, built: app?.built },
      ...{ elfSha256: app?.elfSha256, idf: app?.idf, secureVersion: app?.secureVersion },
    });
    expect(info.nvs).toEqual([
      {
        ...{ partition: 'nvs', encrypted: false, problem: null, pages: { used: 1, total: 5 } },
        namespaces: [
          {
            name: 'net',
            entries: [
              { key: 'ssid', type: 'string', bytes: 8, value: 'workshop' },
              { key: 'password', type: 'string', bytes: 13, value: null },
              { key: 'retries', type: 'u8', bytes: 1, value: '3' },
            ],
          },
          {
            name: 'state',
            entries: [
              { key: 'offset', type: 'i32', bytes: 4, value: '-44' },
              { key: 'sequence', type: 'u64', bytes: 8, value: '18446744073709551615' },
            ],
          },
        ],
      },
    ]);
  });
});

describeReal('espflash', 'aiot board info compared with espflash', () => {
  it('lists the same partitions', async () => {
    writeFileSync(at('table-flash.bin'), await flashOf('esp32c3'));
    const { json } = await runCli([
      ...['board', 'info', '--port', `simulated:esp32c3?flash=${at('table-flash.bin')}`, '--json'],
    ]);
    writeFileSync(at('table.bin'), golden('partitions/two_ota_4m.bin'));
    const csv = await run(espflashProgram, ['partition-table', '--to-csv', at('table.bin')]);
    const theirs = csv
      .split('\n')
      .map((line) => line.split(',').map((cell) => cell.trim()))
      .filter(([name = '']) => name !== '' && !name.startsWith('#'));
    expect(theirs.map(([label, , , offset, size]) => [label, Number(offset), Number(size)])).toEqual(
      (json as BoardInfo).partitions?.map(({ label, offset, size }) => [label, offset, size]),
    );
  });
});
