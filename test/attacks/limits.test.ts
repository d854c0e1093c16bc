import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { mostBytes, runCommand } from '../../src/lib/cli/mcp.js';
import { createHttpSource } from '../../src/lib/device/virtual/http-link.js';
import { writeArchive } from '../../src/lib/formats/archive.js';
import { readHeader } from '../../src/lib/formats/csv/cells.js';
import { readZip, writeZip } from '../../src/lib/formats/zip.js';
import { names, readBackup } from '../../src/lib/platform/backup/format.js';

const MiB = 1024 ** 2;
let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'aiot-limits-'));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

it('a ZIP archive that claims more than 512 MiB in total is rejected before it is unpacked', () => {
  const members = ['a', 'b', 'c'].map((name) => ({ name, data: Buffer.alloc(8) }));
  const claim = (...sizes: number[]) => {
    const zip = Buffer.from(writeZip(members, 0));
    let at = 0;
    for (const size of sizes) {
      at = zip.indexOf('PK\u0001\u0002', at + 1, 'latin1');
      zip.writeUInt32LE(size, at + 24);
    }
    return () => readZip(zip, ['a', 'b', 'c']);
  };
  expect(claim(8, 8, 8)).not.toThrow();
  const code = 'AIOT_FILE_MALFORMED';
  expect(claim(8, 512 * MiB, 8)).toThrow(
    expect.objectContaining({ code, message: expect.stringContaining('the size of b is stated as') }),
  );
  expect(claim(8, 8, 512 * MiB - 15)).toThrow(
    expect.objectContaining({ code, message: expect.stringContaining('the size of c is stated as') }),
  );
});

it('a CSV file with more than 65,536 columns is rejected', () => {
  const of = (count: number) => () =>
    readHeader(Buffer.from(`${'a,'.repeat(count - 1)}a\n`), 'it').columns.length;
  expect(of(65_536)()).toBe(65_536);
  expect(of(65_537)).toThrow(expect.objectContaining({ code: 'AIOT_CSV_COLUMNS' }));
});

it('a text entry of a backup that states more than 256 MiB is rejected before it is read', async () => {
  const file = join(dir, 'it.backup');
  const told = async (bytes: number) => {
    const tar = Buffer.from(writeArchive([{ name: names.head, data: Buffer.from('{}') }]));
    tar.write(`${bytes.toString(8).padStart(11, '0')}\0`, 124);
    // The checksum is computed with spaces in place of its own field (POSIX.1-2017, ustar).
    tar.fill(' ', 148, 156);
    const sum = tar.subarray(0, 512).reduce((all, byte) => all + byte, 0);
    tar.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
    writeFileSync(file, tar);
    return await readBackup(file, 'x', null).catch((error: Error) => error.message);
  };
  expect(await told(256 * MiB + 1)).toContain(`${names.head} is too large`);
  expect(await told(256 * MiB)).not.toContain('too large');
});

it('a manifest envelope of more than 64 KiB is rejected', async () => {
  let bytes = 0;
  const server = createServer((_, answer) => {
    answer.setHeader('content-type', 'application/json');
    answer.end(`"${'a'.repeat(bytes - 2)}"`);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  const source = createHttpSource({
    urls: { http: `http://127.0.0.1:${port}` },
    ca: undefined,
    token: undefined,
  });
  try {
    const get = () => source.manifest('/x', AbortSignal.timeout(10_000));
    bytes = 65_536;
    expect(String(await get())).toHaveLength(bytes - 2);
    bytes = 65_537;
    await expect(get()).rejects.toMatchObject({ code: expect.stringMatching(/^AIOT_/) });
  } finally {
    await source.close();
    server.close();
  }
});

describe('an agent call', () => {
  const call = (program: string, timeoutMs: number) => {
    mkdirSync(join(dir, 'bin'));
    writeFileSync(join(dir, 'bin/run.js'), program);
    const callable = { kind: 'change', command: { flags: {} } } as never;
    return runCommand([], callable, {
      root: dir,
      folder: dir,
      timeoutMs,
      signal: new AbortController().signal,
    });
  };
  const text = (bytes: number) => `process.stdout.write(JSON.stringify('a'.repeat(${bytes - 2})))`;

  it('can return 256 KiB', async () => {
    expect(await call(text(mostBytes), 20_000)).toMatchObject({ exit: 0 });
  });

  it('is stopped when endless output exceeds the limit', async () => {
    const told = await call("setInterval(() => process.stdout.write('a'.repeat(9000)), 1)", 20_000);
    expect(told).toEqual({ failed: expect.stringContaining(`longer than ${mostBytes} bytes`) });
  });
  it('is stopped when it times out', async () => {
    const told = await call('setInterval(() => {}, 1000)', 300);
    expect(told).toEqual({ failed: expect.stringContaining('timed out after 0.3 s') });
  });
});
