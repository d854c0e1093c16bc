import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { root, runCli } from '../../support/cli.js';
import { describeReal, python } from '../../support/real.js';

const golden = (name: string) => join(root, 'test', 'golden', 'images', name);

function run(program: string, ...args: string[]): string {
  const { status, stdout, stderr } = spawnSync(program, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${program} ${args.join(' ')}: ${stdout}${stderr}`);
  return stdout;
}

async function inspected<T>(file: string): Promise<T> {
  const { json, code, stderr } = await runCli(['firmware', 'inspect', file, '--json']);
  if (code !== 0) throw new Error(stderr);
  return json as T;
}

/** The reference is the output of binutils for the same files. */
describeReal('cc', 'aiot firmware inspect compared with size and readelf', () => {
  const files = [golden('c3-boot.elf'), '/usr/bin/env', '/usr/bin/readelf', process.execPath];
  describe.each(files.filter((file) => existsSync(file)))('%s', (file) => {
    it('reports the same text, data and bss sizes', async () => {
      const { elf } = await inspected<{ elf: { text: number; data: number; bss: number } }>(file);
      const [, line = ''] = run('size', file).split('\n');
      const [text, data, bss] = line.trim().split(/\s+/).map(Number);
      expect({ text: elf.text, data: elf.data, bss: elf.bss }).toEqual({ text, data, bss });
    });

    it('reports the same entry point, class and sections', async () => {
      const { elf } = await inspected<{
        elf: { bits: number; entry: number; sections: { name: string; bytes: number; address: number }[] };
      }>(file);
      const header = run('readelf', '-h', file);
      expect(header).toContain(`ELF${elf.bits}`);
      expect(Number(/Entry point address:\s+(0x[0-9a-f]+)/.exec(header)?.[1])).toBe(elf.entry);
      const rows = run('readelf', '-SW', file).matchAll(
        /^ +\[ *\d+\] (\S+) +\S+ +([0-9a-f]+) [0-9a-f]+ ([0-9a-f]+) \S+ +(\S*A\S*) /gm,
      );
      const theirs = [...rows].map(([, name, address, bytes]) => ({
        ...{ name, address: Number.parseInt(address!, 16), bytes: Number.parseInt(bytes!, 16) },
      }));
      const key = (section: { name?: string | undefined; address: number }) =>
        `${section.address} ${section.name}`;
      const ours = elf.sections.map(({ name, address, bytes }) => ({ name, address, bytes }));
      expect(ours.toSorted((a, b) => (key(a) < key(b) ? -1 : 1))).toEqual(
        theirs.filter(({ bytes }) => bytes > 0).toSorted((a, b) => (key(a) < key(b) ? -1 : 1)),
      );
    });
  });
});

/** PyPI's esptool verifies the images, and its espsecure signs them. */
describeReal('esptool', 'aiot firmware inspect compared with esptool', () => {
  const folder = mkdtempSync(join(tmpdir(), 'aiot-inspect-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it('reports the same image details as image-info', async () => {
    const file = golden('c3-boot.bin');
    const { image } = await inspected<{
      image: {
        entry: number;
        checksum: number;
        hash: string | null;
        segments: { length: number; address: number }[];
      };
    }>(file);
    const told = run(python('esptool'), '-m', 'esptool', '--chip', 'esp32c3', 'image-info', file);
    expect(told).toMatch(new RegExp(`Entry point: 0x0*${image.entry.toString(16)}`, 'i'));
    expect(told).toContain(`Checksum: 0x${image.checksum.toString(16).padStart(2, '0')} (valid)`);
    if (image.hash !== null) expect(told).toContain(`Validation hash: ${image.hash} (valid)`);
    for (const { length, address } of image.segments) {
      expect(told).toMatch(new RegExp(`0x0*${length.toString(16)}\\s+0x0*${address.toString(16)}`, 'i'));
    }
  });

  it.each(['1', '2'] as const)('detects a signature of secure boot version %s', async (version) => {
    const [key, out] = [join(folder, `${version}.pem`), join(folder, `${version}.bin`)];
    const secure = (...args: string[]) => run(python('esptool'), '-m', 'espsecure', ...args);
    secure('generate-signing-key', '--version', version, key);
    secure('sign-data', '--version', version, '--keyfile', key, '--output', out, golden('c3-boot.bin'));
    const { signed } = await inspected<{ signed: { scheme: string; valid: boolean | null } | null }>(out);
    expect(signed).toMatchObject({
      scheme: `secure-boot-v${version}`,
      valid: version === '2' ? true : null,
    });
  });
});
