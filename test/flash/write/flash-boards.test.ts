import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AiotError } from '../../../src/lib/core/errors.js';
import { flashBoard } from '../../../src/lib/flash/write/flash-board.js';
import { openRecord } from '../../../src/lib/flash/write/production.js';
import {
  type BoardRow,
  type FlashBoardsOptions,
  flashBoards,
} from '../../../src/lib/flash/write/run-flash.js';
import { quickClock } from '../../support/update.js';
import { piece } from '../plan/support.js';
import { anyLoader, FakeBoard } from './fake-board.js';

const job = {
  pieces: [piece('a.bin', 0x10000, 8192)],
  old: [],
  header: {},
  erase: false,
  verify: false,
  force: false,
  device: null,
};

function run(boards: Record<string, FakeBoard>, options: Partial<FlashBoardsOptions> = {}) {
  return flashBoards({
    ports: Object.keys(boards),
    jobs: 8,
    retries: 2,
    loader: anyLoader,
    clock: quickClock,
    flash: (how) => flashBoard(() => job, { ...how, open: boards[how.port]!.opener() }),
    ...options,
  });
}

const lost = () => new AiotError('AIOT_SERIAL_LOST', 'the cable was unplugged');
const mac = (n: number) => `24:0a:c4:00:00:0${n}`;

describe('flashing many boards', () => {
  it('reports progress and a result for each board, in the order of the ports', async () => {
    const boards = { a: new FakeBoard({ mac: mac(1) }), b: new FakeBoard({ mac: mac(2) }) };
    const rows: BoardRow[] = [];
    const result = await run(boards, { row: (row) => rows.push(row) });
    expect(result).toMatchObject({ ok: 2, failed: 0 });
    expect(result.boards.map(({ port, board }) => [port, board?.mac])).toEqual([
      ['a', mac(1)],
      ['b', mac(2)],
    ]);
    const stages = rows.filter(({ port }) => port === 'a').map(({ stage }) => stage);
    expect(stages).toEqual(['waiting', 'waiting', 'write', 'done']);
  });

  it('rejects a second board with the same MAC address, and writes nothing to it', async () => {
    const boards = { a: new FakeBoard({ mac: mac(1) }), b: new FakeBoard({ mac: mac(1) }) };
    const result = await run(boards, { jobs: 1 });
    expect(result).toMatchObject({ ok: 1, failed: 1 });
    expect(result.boards.map(({ attempts, error }) => [attempts, error?.code])).toEqual([
      [1, undefined],
      [1, 'AIOT_FLASH_REFUSED'],
    ]);
    expect(result.boards[1]?.error?.message).toBe(`the boards at b and a have the same MAC: ${mac(1)}`);
    expect(boards.b.bytes(0x10000, 16)).toEqual(Buffer.alloc(16, 0xff));
  });

  it('counts an unhealthy board as failed, and keeps the MAC address and chip of a failed one', async () => {
    const board = new FakeBoard({ mac: mac(6) });
    const switched = {
      slot: 'b',
      before: 'a',
      healthy: false,
      restored: true,
      reason: 'it crashed',
      back: null,
    };
    const unwell: FlashBoardsOptions['flash'] = async (how) => ({
      ...(await flashBoard(() => job, { ...how, open: board.opener() })),
      switched,
    });
    const { ok, failed, boards } = await run({ a: board }, { flash: unwell });
    expect([ok, failed, boards[0]?.attempts]).toEqual([0, 1, 1]);
    expect(boards[0]?.error?.code).toBe('AIOT_FLASH_UNHEALTHY');
    const fails: FlashBoardsOptions['flash'] = (how) =>
      flashBoard(() => Promise.reject(new AiotError('AIOT_FLASH_REFUSED', 'no')), {
        ...how,
        open: board.opener(),
      });
    const { boards: of } = await run({ a: board }, { flash: fails });
    expect(of[0]).toMatchObject({ mac: mac(6), chip: 'esp32', board: null });
  });

  it('retries transient failures, and reports the number of attempts', async () => {
    const board = new FakeBoard();
    board.failures = [lost(), lost()];
    const { boards } = await run({ a: board });
    expect(boards[0]).toMatchObject({ attempts: 3, error: null });
  });

  it('gives up on a board after its retries, and finishes the others', async () => {
    const bad = new FakeBoard();
    bad.failures = [lost(), lost(), lost(), lost()];
    const result = await run({ bad, good: new FakeBoard() });
    expect(result).toMatchObject({ ok: 1, failed: 1 });
    expect(result.boards[0]).toMatchObject({
      attempts: 3,
      board: null,
      error: { code: 'AIOT_SERIAL_LOST', message: 'the cable was unplugged' },
    });
  });

  it('does not retry rejected jobs, denied access or a chip mismatch', async () => {
    for (const code of ['AIOT_FLASH_REFUSED', 'AIOT_SERIAL_DENIED', 'AIOT_CHIP_MISMATCH'] as const) {
      const board = new FakeBoard();
      board.failures = [new AiotError(code, 'no')];
      expect((await run({ a: board })).boards[0]).toMatchObject({ attempts: 1, error: { code } });
    }
  });

  it('reports an internal error as a bug, and continues with the others', async () => {
    const bad = new FakeBoard();
    bad.failures = [new TypeError('x is not a function')];
    const result = await run({ bad, good: new FakeBoard() }, { retries: 0 });
    expect(result.boards.map(({ error }) => error?.code ?? null)).toEqual(['AIOT_BUG', null]);
  });

  it('flashes no more boards at a time than allowed', async () => {
    let now = 0;
    let most = 0;
    await flashBoards({
      ports: ['a', 'b', 'c', 'd', 'e'],
      jobs: 2,
      retries: 0,
      loader: anyLoader,
      flash: async () => {
        most = Math.max(most, ++now);
        await new Promise((resolve) => setTimeout(resolve, 5));
        now--;
        throw lost();
      },
    });
    expect(most).toBe(2);
  });

  it('starts no further boards after an abort signal', async () => {
    const stop = new AbortController();
    const begun: string[] = [];
    const result = await flashBoards({
      ports: ['a', 'b', 'c'],
      jobs: 1,
      retries: 2,
      loader: { ...anyLoader, signal: stop.signal },
      flash: async ({ port }) => {
        begun.push(port);
        stop.abort(new AiotError('AIOT_INTERRUPTED', 'stopped'));
        throw lost();
      },
    });
    expect(begun).toEqual(['a']);
    expect(result.boards.map(({ error }) => error?.code)).toEqual([
      'AIOT_SERIAL_LOST',
      'AIOT_INTERRUPTED',
      'AIOT_INTERRUPTED',
    ]);
  });
});

describe('a production record', () => {
  let folder = '';
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'aiot-record-'));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  it.each(['csv', 'json'])(
    'has an entry for each board in %s format, and is continued by a later run',
    async (format) => {
      const file = join(folder, `record.${format}`);
      const bad = new FakeBoard();
      bad.failures = [new AiotError('AIOT_CHIP_SILENT', 'nothing came, "not a byte", at all')];
      const now = () => Date.UTC(2026, 10, 20, 12);
      const first = await openRecord(file, now);
      const finished = first.add;
      await run({ good: new FakeBoard(), bad }, { retries: 0, finished, jobs: 1 });
      const again = await openRecord(file, now);
      expect(again.rows()).toEqual(first.rows());
      await run({ good: new FakeBoard({ mac: mac(7) }) }, { finished: again.add });
      expect(again.rows().map(({ mac, result, error }) => [mac, result, error])).toEqual([
        ['24:0a:c4:00:01:10', 'ok', ''],
        ['', 'failed', 'AIOT_CHIP_SILENT: nothing came, "not a byte", at all'],
        [mac(7), 'ok', ''],
      ]);
      const text = await readFile(file, 'utf8');
      if (format === 'csv') {
        expect(text.split('\n')[0]).toBe(
          'time,port,mac,chip,device,certificate,versions,result,error,attempts,seconds',
        );
        expect(text).toContain('"AIOT_CHIP_SILENT: nothing came, ""not a byte"", at all"');
      } else expect(JSON.parse(text)).toHaveLength(3);
    },
  );

  it.each([
    ['notes.txt', '', 'AIOT_USAGE'],
    ['other.csv', 'name,value\na,1\n', 'AIOT_FILE_MALFORMED'],
    ['other.json', '{"a":1}', 'AIOT_FILE_MALFORMED'],
    ['broken.json', '[', 'AIOT_FILE_MALFORMED'],
  ])('does not overwrite %s', async (name, text, code) => {
    const file = join(folder, name);
    await writeFile(file, text);
    await expect(openRecord(file, Date.now)).rejects.toMatchObject({ code });
    expect(await readFile(file, 'utf8')).toBe(text);
  });
});
