import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  assignIdentities,
  type DeviceIdentity,
  readIdentities,
  readIdentity,
  recordBoard,
} from '../../../src/lib/flash/write/identity.js';
import { type FlashRequest, prepareJob, runFlash } from '../../../src/lib/flash/write/run-flash.js';
import { parsePartitionsCsv, writePartitionTable } from '../../../src/lib/formats/partitions.js';
import { anyLoader } from './fake-board.js';

let folder = '';
const table = writePartitionTable(
  parsePartitionsCsv(
    'nvs,data,nvs,0x9000,0x5000,\nkeys,data,nvs_keys,0xe000,0x1000,\napp,app,factory,0x10000,1M,\n',
  ),
);
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'aiot-identity-'));
  for (const [name, chip] of [
    ['motor-1', 'esp32'],
    ['motor-2', 'esp32'],
    ['cam-1', 'esp32s3'],
  ] as const) {
    const own = join(folder, 'tray', name);
    await mkdir(own, { recursive: true });
    const urls = { http: 'https://a', mqtts: 'mqtts://a' };
    await writeFile(
      join(own, 'device.json'),
      JSON.stringify({ name, id: `dev_${name}`, type: 'motor', chip, urls }),
    );
    await writeFile(join(own, 'partitions.bin'), table);
    await writeFile(join(own, 'nvs.bin'), Buffer.alloc(0x5000, 0xff));
  }
  await writeFile(join(folder, 'tray', 'motor-2', 'nvs_keys.bin'), Buffer.alloc(0x1000, 1));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const tray = () => join(folder, 'tray');
const board = (n: number, chip: 'esp32' | 'esp32s3' = 'esp32') => ({ mac: `24:0a:c4:00:00:0${n}`, chip });

describe('an identity from its folder', () => {
  it('consists of the table, the NVS and any keys, at their offsets in the table', async () => {
    const plain = await readIdentity(join(tray(), 'motor-1'));
    expect(plain).toMatchObject({ name: 'motor-1', chip: 'esp32', certificate: '' });
    expect(plain.pieces.map(({ place }) => place)).toEqual([0x8000, 0x9000]);
    const encrypted = await readIdentity(join(tray(), 'motor-2'));
    expect(encrypted.pieces.map(({ place }) => place)).toEqual([0x8000, 0x9000, 0xe000]);
  });

  it('is written to the NVS that provisioning chose, wherever it is in the table', async () => {
    const own = join(folder, 'late-nvs');
    await mkdir(own);
    const urls = { http: 'https://a', mqtts: 'mqtts://a' };
    const described = { name: 'late', id: 'dev_late', type: 'motor', chip: 'esp32', urls };
    await writeFile(join(own, 'device.json'), JSON.stringify(described));
    const csv = 'other,data,nvs,0x9000,0x5000,\napp,app,factory,0x10000,1M,\nnvs,data,nvs,0x3dc000,0xc000,\n';
    await writeFile(join(own, 'partitions.bin'), writePartitionTable(parsePartitionsCsv(csv)));
    await writeFile(join(own, 'nvs.bin'), Buffer.alloc(0xc000, 0xff));
    const { pieces } = await readIdentity(own);
    expect(pieces.map(({ place }) => place)).toEqual([0x8000, 0x3dc000]);
  });

  it('determines the chip of a plan without a board', async () => {
    const request = (device: string): FlashRequest => ({
      ...{ images: [], project: null, device, slot: undefined, firmware: undefined, model: undefined },
      ...{ watch: null, ports: [], all: false, jobs: 1, retries: undefined, loader: anyLoader },
      ...{ header: {}, diffWith: [], erase: false, verify: true, force: false, dryRun: true },
      ...{ record: undefined, context: undefined },
    });
    const one = await runFlash(request(join(tray(), 'cam-1')));
    expect(one).toMatchObject({ chip: 'esp32s3', regions: [{ offset: 0x8000 }, { offset: 0x9000 }] });
    expect(await runFlash(request(join(tray(), 'motor-1')))).toMatchObject({ chip: 'esp32' });
    const other = { ...request(join(tray(), 'cam-1')), loader: { ...anyLoader, chip: 'esp32' as const } };
    await expect(runFlash(other)).rejects.toMatchObject({
      message: 'this board has an esp32, but cam-1 was provisioned for an esp32s3',
    });
  });

  it('replaces a project’s table and keeps its other images', async () => {
    const app = join(folder, 'app.bin');
    await writeFile(app, 'app');
    await writeFile(join(folder, 'table.bin'), 'table');
    const request: FlashRequest = {
      ...{ images: [`${app}@0x10000`, `${join(folder, 'table.bin')}@0x8000`], project: null },
      ...{
        device: join(tray(), 'motor-1'),
        slot: undefined,
        firmware: undefined,
        model: undefined,
        watch: null,
      },
      ...{ ports: [], all: false, jobs: 1, retries: undefined, loader: anyLoader, header: {}, diffWith: [] },
      ...{ erase: false, verify: false, force: false, dryRun: false, record: undefined, context: undefined },
    };
    const job = (await prepareJob(request, []))(board(1));
    expect(job.device?.name).toBe('motor-1');
    expect(job.pieces.map(({ name, place }) => [name.split('/').at(-1), place])).toEqual([
      ['app.bin', 0x10000],
      ['partitions.bin', 0x8000],
      ['nvs.bin', 0x9000],
    ]);
  });

  it.each([
    ['a folder without an identity', 'none'],
    ['a missing folder', 'nowhere'],
  ])('is rejected for %s', async (_, name) => {
    if (name === 'none') await mkdir(join(folder, name));
    await expect(readIdentities(join(folder, name))).rejects.toMatchObject({
      code: 'AIOT_FILE_NOT_FOUND',
      next: expect.stringContaining('aiot device provision'),
    });
  });
});

describe('identities for a tray of boards', () => {
  it('are assigned to the boards in turn, each once and to the right chip', async () => {
    const assign = assignIdentities((await readIdentities(tray())).identities, []);
    expect(assign(board(1)).name).toBe('motor-1');
    expect(assign(board(2, 'esp32s3')).name).toBe('cam-1');
    expect(assign(board(1)).name).toBe('motor-1');
    expect(assign(board(3)).name).toBe('motor-2');
    expect(() => assign(board(4))).toThrow('no identity is left');
    expect(() => assign(board(5, 'esp32s3'))).toThrow('no identity is left');
  });

  it('stay with the boards that have them in a record', async () => {
    const { identities } = await readIdentities(tray());
    const row = {
      time: '',
      port: '',
      chip: '',
      certificate: '',
      versions: '',
      error: '',
      attempts: 1,
      seconds: 1,
    };
    const record = [
      { ...row, mac: board(7).mac, device: 'motor-2', result: 'ok' as const },
      { ...row, mac: board(8).mac, device: '', result: 'failed' as const },
    ];
    const assign = assignIdentities(identities, record);
    expect(assign(board(8)).name).toBe('motor-1');
    expect(assign(board(7)).name).toBe('motor-2');
    expect(() => assign(board(9))).toThrow('no identity is left');
  });
});

describe('identities without a record', () => {
  const given = (names: Record<string, Partial<DeviceIdentity>>) =>
    Object.entries(names).map(
      ([name, own]): DeviceIdentity => ({
        ...{
          name,
          folder: `tray/${name}`,
          certificate: '',
          chip: 'esp32',
          mac: null,
          writtenTo: null,
          batch: null,
          pieces: [],
        },
        ...own,
      }),
    );

  it('stay with the board that their folder names', async () => {
    const own = join(folder, 'tray', 'motor-1');
    expect(await recordBoard(own, board(3).mac)).toBeNull();
    const { identities } = await readIdentities(tray());
    const assign = assignIdentities(identities, []);
    expect(assign(board(1)).name).toBe('motor-2');
    expect(assign(board(3)).name).toBe('motor-1');
    await rm(join(own, 'board.json'));
  });

  it('go only to the board that they were provisioned for', () => {
    const assign = assignIdentities(given({ a: { mac: board(2).mac }, b: {} }), []);
    expect(assign(board(1)).name).toBe('b');
    expect(assign(board(2)).name).toBe('a');
    expect(() => assign(board(3))).toThrow('no identity is left for esp32 boards: all 2 are assigned');
  });

  it('go to the connected board if requested by name', () => {
    const assign = assignIdentities(given({ a: { mac: board(2).mac } }), [], true);
    expect(assign(board(1)).name).toBe('a');
  });

  it('exclude those of computers', async () => {
    const pi = join(folder, 'tray', 'gate-1');
    const urls = { http: 'https://a', mqtts: 'mqtts://a' };
    await mkdir(pi);
    await writeFile(
      join(pi, 'device.json'),
      JSON.stringify({ name: 'gate-1', id: 'dev_1', type: 'pi', urls }),
    );
    await writeFile(join(pi, 'device.key'), 'key');
    const { identities, skipped } = await readIdentities(tray());
    expect(identities.map(({ name }) => name)).toEqual(['cam-1', 'motor-1', 'motor-2']);
    expect(skipped).toEqual([pi]);
    await expect(readIdentities(pi)).rejects.toThrow('an identity for a computer');
    await rm(pi, { recursive: true });
  });
});
