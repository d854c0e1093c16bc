import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { MonitorEvent } from '../../src/lib/flash/monitor/events.js';
import { monitor } from '../../src/lib/flash/monitor/monitor.js';
import { describeReal } from '../support/real.js';
import { FakeLine } from './fake-line.js';

const source = `volatile int sink;
__attribute__((noinline)) void crash(int *where) {
  sink = 1;
  *where = 42;
}
__attribute__((noinline)) void middle(int *where) {
  sink = 2;
  crash(where);
  sink = 3;
}
int main(void) {
  middle((int *)0);
  return sink;
}
`;
const tool = (name: string, args: string[]) => {
  const { status, stdout, stderr } = spawnSync(`riscv64-unknown-elf-${name}`, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${name}: ${stderr}`);
  return stdout;
};

describeReal('riscv', 'crash decoding with an ELF file', () => {
  let folder: string;
  let elf: string;
  /** Address of the instruction after a call, and address of a function's store instruction. */
  let behind: (caller: string, callee: string) => number;
  let storeIn: (name: string) => number;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'aiot-crash-'));
    const file = join(folder, 'crash.c');
    elf = join(folder, 'crash.elf');
    await writeFile(file, source);
    tool('gcc', [
      ...[
        '-march=rv32imc',
        '-mabi=ilp32',
        '-nostdlib',
        '-ffreestanding',
        '-O1',
        '-g',
        '-Wl,-Ttext=0x42000000',
      ],
      ...[
        '-Wl,-emain',
        '-Wl,--no-relax',
        '-msmall-data-limit=0',
        '-fno-optimize-sibling-calls',
        file,
        '-o',
        elf,
      ],
    ]);
    const listing = tool('objdump', ['-d', elf]).split('\n');
    const lines = (name: string) => {
      const start = listing.findIndex((line) => line.includes(`<${name}>:`)) + 1;
      const end = listing.findIndex((line, i) => i > start && line.trim() === '');
      return listing.slice(start, end === -1 ? undefined : end);
    };
    const address = (line: string | undefined) => Number.parseInt(line ?? '', 16);
    behind = (caller, callee) => {
      const body = lines(caller);
      return address(body[body.findIndex((line) => line.includes(`<${callee}>`)) + 1]);
    };
    storeIn = (name) => address(lines(name).findLast((line) => /\bsw\b/.test(line)));
  });
  afterAll(() => rm(folder, { recursive: true }));

  async function crashed(text: string, file = elf) {
    const line = new FakeLine();
    const events: MonitorEvent[] = [];
    const done = monitor({
      ...{ port: 'test', baud: 115_200, elf: file, until: /Rebooting/, open: async () => line },
      onEvent: (event) => events.push(event),
      signal: AbortSignal.timeout(20_000),
    });
    line.say(text);
    await done;
    return events.filter((event) => event.event === 'crash');
  }
  const hex = (value: number) => value.toString(16).padStart(8, '0');

  it('resolves the crash location, return address and stack to the same lines as addr2line', async () => {
    const places = { mepc: storeIn('crash'), ra: behind('middle', 'crash'), stack: behind('main', 'middle') };
    const hash = createHash('sha256')
      .update(await readFile(elf))
      .digest('hex');
    const dump = `Guru Meditation Error: Core  0 panic'ed (Store access fault). Exception was unhandled.
Core  0 register dump:
MEPC    : 0x${hex(places.mepc)}  RA      : 0x${hex(places.ra)}  SP      : 0x3fc92f60  GP      : 0x3fc8b600
Stack memory:
3fc92f60: 0x00000000 0x${hex(places.stack)} 0x${hex(places.mepc)} 0xa5a5a5a5

ELF file SHA256: ${hash.slice(0, 16)}
Rebooting...
`;
    const events = await crashed(dump.replaceAll('\n', '\r\n'));
    const frames = events.flatMap((event) => event.frames);
    // The address of the store is also on the stack, but no call precedes it, so it is not a return address.
    expect(frames.map(({ from, function: name, line }) => [from, name, line])).toEqual([
      ['MEPC', 'crash', 4],
      ['RA', 'middle', 8],
      ['stack', 'main', 12],
    ]);
    const calls = [places.mepc, places.ra - 1, places.stack - 1].map(hex);
    const judged = tool('addr2line', ['-f', '-e', elf, ...calls])
      .trim()
      .split('\n');
    expect(frames.flatMap(({ function: name, file, line }) => [name, `${file}:${line}`])).toEqual(judged);
    expect(events.map(({ elfMatches }) => elfMatches)).toEqual([null, null, true]);
  });

  it('reports that the board’s program does not match the ELF file', async () => {
    const events = await crashed(`abort() was called at PC 0x${hex(storeIn('crash'))} on core 0
ELF file SHA256: 0123456789abcdef
Rebooting...
`);
    expect(events.map(({ frames, elfMatches }) => [frames[0]?.function, elfMatches])).toEqual([
      ['crash', null],
      [undefined, false],
    ]);
  });

  it('rejects a file that is missing or not an ELF file before opening the port', async () => {
    await expect(crashed('', join(folder, 'crash.c'))).rejects.toMatchObject({
      code: 'AIOT_IMAGE_MALFORMED',
    });
    await expect(crashed('', join(folder, 'none.elf'))).rejects.toMatchObject({
      code: 'AIOT_FILE_NOT_FOUND',
    });
  });
});
