import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AiotError } from '../../src/lib/core/errors.js';
import { buildIdOf, readAnyElf, readElf } from '../../src/lib/formats/elf/read.js';
import { symbolize } from '../../src/lib/formats/elf/symbolize.js';
import { fc, runs } from '../support/property.js';
import { describeReal } from '../support/real.js';

const sources = {
  'src/main.c': `#include "sum.h"
#include "lib/scale.h"
volatile int sink;
static int twice(int value) {
  return value * 2;
}
int recursive(int depth) {
  if (depth == 0) return sink;
  return recursive(depth - 1) +
         twice(depth);
}
void _start(void) {
  for (int i = 0; i < 10; i++) {
    sink += sum(i, 3) + scale(i);
    if (sink & 1) sink = recursive(i);
  }
  for (;;) ;
}
`,
  'src/sum.c': `#include "sum.h"
int sum(int a, int b) {
  int total = a;
  while (b-- > 0) {
    total += helper(b);
    if (total > 100) total = total % 7;
  }
  return total;
}
`,
  'src/sum.h': `int sum(int a, int b);
static inline int helper(int value) {
  int result = value;
  for (int i = 0; i < value; i++)
    result ^= i * 3;
  return result;
}
`,
  'src/lib/scale.c': `#include "scale.h"
extern volatile int sink;
int scale(int value) {
  switch (value) {
    case 0: return 1;
    case 1: sink = 4; return 7;
    case 2: return sink * 3;
    default: return value / (sink | 1);
  }
}
`,
  'src/lib/scale.h': 'int scale(int value);\n',
};

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'aiot-elf-'));
  mkdirSync(join(folder, 'src/lib'), { recursive: true });
  for (const [name, text] of Object.entries(sources)) writeFileSync(join(folder, name), text);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Compilers for a chip (32-bit) and for this computer (64-bit): prefix of their programs, and flags. */
const machines = {
  riscv: {
    prefix: 'riscv64-unknown-elf-',
    compile: ['-march=rv32imc', '-mabi=ilp32', '-ffreestanding', '-ffunction-sections'],
    link: ['-march=rv32imc', '-mabi=ilp32', '-Wl,-Ttext=0x40380000', '-lgcc'],
  },
  host: {
    prefix: '',
    compile: ['-ffreestanding', '-ffunction-sections', '-fPIE', '-fno-stack-protector'],
    link: ['-pie', '-Wl,--build-id=sha1'],
  },
} as const;
type Machine = keyof typeof machines;

/** Compiles in different folders, so that relative and absolute file names occur. */
function build(flags: readonly string[], machine: Machine = 'riscv'): string {
  const { prefix, compile, link } = machines[machine];
  const run = (args: readonly string[], cwd: string) => {
    const { status, stderr } = spawnSync(`${prefix}gcc`, [...args], { cwd, encoding: 'utf8' });
    if (status !== 0) throw new Error(stderr);
  };
  run([...compile, ...flags, '-Isrc', '-c', 'src/main.c', '-o', 'main.o'], folder);
  run([...compile, ...flags, '-c', 'sum.c', '-o', '../sum.o'], join(folder, 'src'));
  run([...compile, ...flags, '-c', join(folder, 'src/lib/scale.c'), '-o', 'scale.o'], folder);
  run(['-nostdlib', '-Wl,--gc-sections', 'main.o', 'sum.o', 'scale.o', '-o', 'all.elf', ...link], folder);
  return join(folder, 'all.elf');
}

interface Told {
  name: string | null;
  file: string | null;
  line: number | null;
}

/** Returns the output of addr2line for each address. */
function addr2line(elf: string, addresses: readonly number[], machine: Machine): Told[] {
  const input = addresses.map((address) => address.toString(16)).join('\n');
  const { stdout } = spawnSync(`${machines[machine].prefix}addr2line`, ['-f', '-e', elf], {
    input,
    encoding: 'utf8',
  });
  const lines = stdout.trimEnd().split('\n');
  return addresses.map((_, index) => {
    const [, file = '??', line = '?'] =
      /^(.*):(\d+|\?)(?: \(discriminator \d+\))?$/.exec(lines[index * 2 + 1] ?? '') ?? [];
    const name = lines[index * 2] ?? '??';
    return {
      name: name === '??' ? null : name,
      file: file === '??' ? null : file,
      line: line === '?' || line === '0' ? null : Number(line),
    };
  });
}

/** Returns the file name for an address, from the rows of the line table as decoded by readelf. */
function decodedFiles(elf: string, machine: Machine): (address: number) => string | null {
  const { stdout } = spawnSync(`${machines[machine].prefix}readelf`, ['-wL', '-W', elf], {
    encoding: 'utf8',
  });
  const rows = [...stdout.matchAll(/^(\S+\.[ch]) +(\d+|-) +(0x[0-9a-f]+|0)\b/gm)].map(
    ([, file = '', line, at]) => ({
      file: line === '-' ? null : file,
      at: Number(at),
    }),
  );
  rows.sort((a, b) => a.at - b.at);
  return (address) => rows.findLast(({ at }) => at <= address)?.file ?? null;
}

function addressesOf(elf: string): number[] {
  const read = readAnyElf(readFileSync(elf), elf);
  const text = read.sections.find(({ name }) => name === '.text')!;
  return Array.from({ length: text.size / 2 + 8 }, (_, index) => text.address - 8 + index * 2);
}

describe.each(['riscv', 'host'] as const)('function, file and line of an address on %s', (machine) => {
  describeReal(machine === 'host' ? 'cc' : machine, 'as addr2line', () => {
    for (const version of [2, 3, 4, 5]) {
      for (const optimize of ['-O0', '-Og', '-Os', '-O2']) {
        it(`DWARF ${version}, ${optimize}`, () => matchesAddr2line(version, optimize, machine));
      }
    }
  });
});

function matchesAddr2line(version: number, optimize: string, machine: Machine): void {
  const elf = build([`-gdwarf-${version}`, optimize], machine);
  const addresses = addressesOf(elf);
  const theirs = addr2line(elf, addresses, machine);
  const ours = symbolize(readAnyElf(readFileSync(elf)), addresses);
  // In binutils 2.40, addr2line counts the files of DWARF 5 from 1, but readelf counts them from 0, as in the
  // standard.
  const files = version === 5 ? decodedFiles(elf, machine) : null;
  for (const [index, { address, function: name, file, line }] of ours.entries()) {
    const { name: theirName, file: theirFile, line: theirLine } = theirs[index]!;
    const label = `0x${address.toString(16)}`;
    // Padding between functions: addr2line names the function before it.
    if (machine === 'host' && name === null && line === null && theirLine === null) continue;
    expect({ name, line }, label).toEqual({ name: theirName, line: theirLine });
    if (files === null) expect(file, label).toBe(theirFile);
    else
      expect(file === null ? null : basename(file), label).toBe(theirFile === null ? null : files(address));
  }
  expect(theirs.filter(({ line }) => line !== null).length).toBeGreaterThan(50);
}

describeReal('cc', 'the build ID', () => {
  it('equals that of readelf, and is null without one', () => {
    const elf = build(['-g', '-O2'], 'host');
    const { stdout } = spawnSync('readelf', ['-n', elf], { encoding: 'utf8' });
    const [, expected] = /Build ID: ([0-9a-f]{40})/.exec(stdout) ?? [];
    const bytes = readFileSync(elf);
    expect(buildIdOf(readAnyElf(bytes))).toBe(expected);
    spawnSync('strip', ['-R', '.note.gnu.build-id', elf]);
    expect(buildIdOf(readAnyElf(readFileSync(elf)))).toBeNull();
  });

  it('is not read from a file that is cut off or of another machine', () => {
    const bytes = new Uint8Array(readFileSync(build(['-g', '-O2'], 'host')));
    expect(() => readAnyElf(bytes.subarray(0, 60))).toThrow('the file ends within its 64-byte header');
    expect(() => readAnyElf(bytes.subarray(0, bytes.length - 500))).toThrow('but the file ends at');
    expect(() => readElf(bytes)).toThrow('ELF files for these chips are 32-bit');
    const other = Uint8Array.from(bytes);
    other[18] = 21;
    expect(() => readAnyElf(other)).toThrow('unsupported machine 21');
  });
});

const cpp = `
namespace sensors {
struct Level {
  int value;
  Level(int v);
  ~Level();
  int read() const;
  Level &operator+=(int other);
  static int count(void);
};
namespace {
int hidden(int v);
}
}
volatile int sink;
sensors::Level::Level(int v) : value(v) { sink = v; }
sensors::Level::~Level() { sink = 0; }
int sensors::Level::read() const { return value + sink; }
sensors::Level &sensors::Level::operator+=(int other) { value += other; return *this; }
int sensors::Level::count() { return sink; }
static int local(int v) { return v * sink; }
int plain(int a, char b) { return a + b + local(a); }
template <typename T> T biggest(T a, T b) { return a > b ? a : b; }
extern "C" void _start() {
  sensors::Level level(3);
  level += plain(1, 2);
  sink = biggest<int>(level.read(), sensors::Level::count());
  for (;;) ;
}
`;

describeReal('riscv', 'C++ names', () => {
  it('match c++filt without parameters, except for templates', () => {
    writeFileSync(join(folder, 'level.cpp'), cpp);
    const machine = [
      '-march=rv32imc',
      '-mabi=ilp32',
      '-ffreestanding',
      '-fno-exceptions',
      '-fno-inline',
      '-O1',
    ];
    for (const debug of ['-g0', '-gdwarf-4']) {
      const args = [...machine, debug, '-nostdlib', '-Wl,-Ttext=0x40380000', 'level.cpp', '-o', 'level.elf'];
      const { status, stderr } = spawnSync('riscv64-unknown-elf-gcc', args, {
        cwd: folder,
        encoding: 'utf8',
      });
      expect(status, stderr).toBe(0);
      const elf = readElf(readFileSync(join(folder, 'level.elf')));
      const { stdout } = spawnSync('riscv64-unknown-elf-nm', [join(folder, 'level.elf')], {
        encoding: 'utf8',
      });
      const symbols = [...stdout.matchAll(/^([0-9a-f]+) [tT] (_Z\S+|_start)$/gm)].map(
        ([, at = '', name = '']) => ({
          at,
          name,
        }),
      );
      const names = symbols.map(({ name }) => name).join('\n');
      const filtered = spawnSync('riscv64-unknown-elf-c++filt', ['-p'], {
        input: names,
        encoding: 'utf8',
      }).stdout.split('\n');
      let compared = 0;
      for (const [index, { at, name }] of symbols.entries()) {
        const [place] = symbolize(elf, [Number.parseInt(at, 16)]);
        if (name.includes('biggest')) expect(place?.function).toBe(debug === '-g0' ? name : 'biggest<int>');
        else expect(place?.function, name).toBe(filtered[index]);
        compared++;
      }
      expect(compared).toBeGreaterThan(7);
    }
  });
});

describeReal('riscv', 'damaged debug information', () => {
  it('is either read or rejected, without endless loops', () => {
    const file = build(['-gdwarf-5', '-Os']);
    const good = new Uint8Array(readFileSync(file));
    const addresses = addressesOf(file);
    const read = readElf(good);
    const parts = read.sections.filter(({ name }) =>
      /^\.(debug_(line|info|abbrev|rnglists)|symtab)$/.test(name),
    );
    const place = fc
      .constantFrom(...parts)
      .chain(({ offset, size }) =>
        fc.tuple(fc.integer({ min: offset, max: offset + size - 1 }), fc.integer({ min: 0, max: 255 })),
      );
    let refused = 0;
    fc.assert(
      fc.property(fc.array(place, { minLength: 1, maxLength: 3 }), (places) => {
        const damaged = Uint8Array.from(good);
        for (const [at, value] of places) damaged[at] = value;
        try {
          expect(symbolize(damaged, addresses)).toHaveLength(addresses.length);
        } catch (error) {
          expect(error).toBeInstanceOf(AiotError);
          expect((error as AiotError).message).toMatch(/at offset 0x[0-9a-f]+: \.debug_/);
          refused++;
        }
      }),
      { numRuns: runs(5000, 300) },
    );
    expect(refused).toBeGreaterThan(10);
  });
});
