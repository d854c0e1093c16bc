import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { RegistryClient } from '../../src/lib/api/client.js';
import { clientFor } from '../../src/lib/api/context.js';
import { crashListSchema, crashShownSchema } from '../../src/lib/api/contract/crashes.js';
import { pushedSymbolsSchema } from '../../src/lib/api/firmware/symbols.js';
import { buildIdOf, readAnyElf } from '../../src/lib/formats/elf/read.js';
import { runCli } from '../support/cli.js';
import { describeReal } from '../support/real.js';
import { ok, refusal, type UpForTests, upForTests } from '../support/up.js';

const source = (more: string) => `${more}
volatile int sink;
__attribute__((noinline)) int sensor_read(int channel) {
  volatile int *register_ = (int *)(long)channel;
  sink = *register_;
  return sink + 1;
}
__attribute__((noinline)) int sample(int channel) {
  int value = sensor_read(channel);
  return value * 2 + sink;
}
int main(int count, char **arguments) {
  (void)arguments;
  return sample(count) + 1;
}
`;

interface Program {
  file: string;
  build: string;
  /** Addresses in sensor_read, and after the calls in sample and main: those of a crash in sensor_read. */
  backtrace: { address: string }[];
}

describeReal('cc', 'crashes of a program whose ELF file is registered', () => {
  let own: UpForTests;
  let client: RegistryClient;
  beforeAll(async () => {
    own = await upForTests();
    client = await clientFor();
  });
  afterAll(async () => {
    await client?.close();
    await own?.stop();
  });

  function compile(name: string, more = ''): Program {
    writeFileSync(join(own.folder, `${name}.c`), source(more));
    const file = join(own.folder, name);
    const flags = ['-g', '-O1', '-pie', '-fPIE', '-Wl,--build-id=sha1', '-fno-optimize-sibling-calls'];
    const { status, stderr } = spawnSync('cc', [...flags, `${name}.c`, '-o', file], {
      cwd: own.folder,
      encoding: 'utf8',
    });
    expect(status, stderr).toBe(0);
    const { stdout } = spawnSync('objdump', ['-d', '--no-show-raw-insn', file], { encoding: 'utf8' });
    const after = (caller: string, called: string) => {
      const body = stdout.slice(stdout.indexOf(`<${caller}>:`));
      return new RegExp(`call\\s+[0-9a-f]+ <${called}>\\n\\s*([0-9a-f]+):`).exec(body)?.[1] ?? '';
    };
    const start = /^([0-9a-f]+) <sensor_read>:/m.exec(stdout)?.[1] ?? '';
    const addresses = [start, after('sample', 'sensor_read'), after('main', 'sample')];
    const backtrace = addresses.map((at) => ({ address: `0x${Number.parseInt(at, 16).toString(16)}` }));
    return { file, build: buildIdOf(readAnyElf(readFileSync(file))) ?? '', backtrace };
  }

  /** Functions and lines according to addr2line. A return address belongs to the call before it. */
  function judged({ file, backtrace }: Program) {
    return backtrace.map(({ address }, index) => {
      const at = (Number(address) - (index === 0 ? 0 : 1)).toString(16);
      const { stdout } = spawnSync('addr2line', ['-f', '-e', file, at], { encoding: 'utf8' });
      const [name, place = ''] = stdout.split('\n');
      const [, line] = /:(\d+)/.exec(place) ?? [];
      return { function: name, line: Number(line) };
    });
  }

  const send = (device: string, { build, backtrace }: Program, version: string) =>
    client.crashes.send({
      device,
      crash: {
        id: `${device}-${version}`,
        ...{ kind: 'exception', reason: 'SIGSEGV at 0x1', backtrace },
        firmware: { name: 'pump', version, build },
      },
    });
  const groups = async () => (await ok(crashListSchema, ['device', 'crashes', 'list'])).groups;
  const shown = (id: string) => ok(crashShownSchema, ['device', 'crashes', 'show', id]);

  it('are named as by addr2line, including those that arrived before the file, in one group across versions', async () => {
    const first = compile('one');
    const second = compile('two', 'int more(int a) { return a * 3; }');
    expect(second.build).not.toBe(first.build);
    await send('pump-1', first, '1.0.0');
    await send('pump-2', first, '1.0.0');
    await send('pump-1', second, '2.0.0');
    const before = await groups();
    expect(before.map(({ count, place }) => [count, place?.function])).toEqual([
      [1, null],
      [2, null],
    ]);

    const added = await ok(pushedSymbolsSchema, ['firmware', 'symbols', first.file]);
    expect(added).toMatchObject({
      lines: true,
      builds: [first.build, expect.stringMatching(/^[0-9a-f]{64}$/)],
    });
    await expect
      .poll(async () => (await groups()).map(({ place }) => place?.function))
      .toContain('sensor_read');
    await ok(pushedSymbolsSchema, ['firmware', 'symbols', second.file]);
    await expect.poll(async () => (await groups()).length).toBe(1);
    const [group] = await groups();
    expect(group).toMatchObject({
      count: 3,
      devices: 2,
      versions: [{ version: '2.0.0' }, { version: '1.0.0' }],
    });

    // The signatures from before the files were registered still lead to the group.
    for (const { signature } of before) expect((await shown(signature)).group).toEqual(group);
    for (const program of [first, second]) {
      const { others, id } = await shown(group?.signature ?? '');
      const all = await Promise.all(
        [id, ...others.map((other) => other.id)].map((one) => client.crashes.get(one)),
      );
      const one = all.find(({ report }) => report.firmware?.build === program.build);
      expect(one?.frames.map((frame) => ({ function: frame.function, line: frame.line }))).toEqual(
        judged(program),
      );
    }
    // A later report is named when it arrives.
    await send('pump-3', second, '2.0.0');
    expect(await groups()).toMatchObject([{ count: 4, devices: 3 }]);
  });

  it('are named without further steps if the program is pushed as firmware', async () => {
    const program = compile('gateway', 'int gateway(int a) { return a * 5; }');
    const pushed = ['firmware', 'push', program.file, '--name', 'gateway', '--types', 'virtual'];
    expect((await runCli([...pushed, '--json'])).code).toBe(0);
    await send('pump-9', program, '4.0.0');
    const all = await groups();
    const group = all.find(({ versions }) => versions.some(({ version }) => version === '4.0.0'));
    const { frames } = await shown(group?.signature ?? '');
    expect(frames.map((frame) => ({ function: frame.function, line: frame.line }))).toEqual(judged(program));
  }, 30_000);

  it('are not named by a file that is not an ELF file or has no symbols', async () => {
    const { file } = compile('three', 'int third;');
    writeFileSync(join(own.folder, 'text'), 'no program');
    expect((await refusal(['firmware', 'symbols', join(own.folder, 'text')])).code).toBe(
      'AIOT_IMAGE_MALFORMED',
    );
    spawnSync('strip', ['--strip-all', file]);
    expect((await refusal(['firmware', 'symbols', file])).code).toBe('AIOT_USAGE');
    await client.blobs.put(
      'sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae',
      Buffer.from('foo'),
    );
    await expect(
      client.crashes.addSymbols('sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae'),
    ).rejects.toMatchObject({ code: 'AIOT_IMAGE_MALFORMED' });
    await expect(client.crashes.addSymbols(`sha256:${'0'.repeat(64)}`)).rejects.toMatchObject({
      code: 'AIOT_NOT_FOUND',
    });
  });
});
