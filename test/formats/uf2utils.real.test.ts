import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { parseUf2, readUf2, uf2Families, writeUf2Program } from '../../src/lib/formats/uf2.js';
import { describeReal, python } from '../support/real.js';

/** PyPI's uf2utils reads our files, names the same families, and writes files that we read. */
describeReal('mcuboot', 'UF2 files compared with uf2utils', () => {
  const folder = mkdtempSync(join(tmpdir(), 'aiot-uf2utils-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  const data = Uint8Array.from({ length: 5000 }, (_, index) => (index * 31 + 5) & 0xff);

  function py(script: string, input: unknown): unknown {
    const { status, stdout, stderr } = spawnSync(python('mcuboot'), ['-c', script], {
      encoding: 'utf8',
      input: JSON.stringify(input),
      cwd: folder,
      timeout: 60_000,
    });
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    return JSON.parse(stdout);
  }

  it('has its family ids, except the two that it does not list', () => {
    const theirs = py(names, null) as Record<string, number>;
    const ours = Object.fromEntries(uf2Families.map(({ name, id }) => [name, id]));
    const missing = Object.keys(ours).filter((name) => theirs[name] === undefined);
    expect(missing).toEqual(['rp2-absolute', 'rp2-data']);
    for (const name of missing) delete ours[name];
    expect(ours).toEqual(Object.fromEntries(Object.keys(ours).map((name) => [name, theirs[name]])));
  });

  it('writes blocks that it reads with the same addresses and data', () => {
    const files = uf2Families.map(({ name }) => `${name}.uf2`);
    for (const [index, family] of uf2Families.entries())
      writeFileSync(join(folder, files[index]!), writeUf2Program([{ offset: 0x1000_0000, data }], family));
    const read = py(reader, files) as [number, number, number, number, string][][];
    for (const [index, family] of uf2Families.entries()) {
      const blocks = read[index]!.filter(([, address]) => address !== 0x10ff_ff00);
      expect(blocks.map(([id]) => id)).toEqual(blocks.map(() => family.id));
      expect(blocks.map(([, address]) => address)).toEqual(blocks.map((_, i) => 0x1000_0000 + i * 256));
      expect(blocks.map(([, , number, count]) => [number, count])).toEqual(
        blocks.map((_, i) => [i, blocks.length]),
      );
      const whole = Buffer.from(blocks.map(([, , , , hex]) => hex).join(''), 'hex');
      expect(whole.subarray(0, data.length).equals(data)).toBe(true);
      expect(read[index]!.length - blocks.length).toBe(/^rp2350-/.test(family.name) ? 1 : 0);
    }
  });

  it('reads the files that it writes', () => {
    writeFileSync(join(folder, 'data.bin'), data);
    py(writer, ['NRF52840', 'rp2350-riscv', 'SAMD51']);
    for (const [name, ours] of [
      ['NRF52840', 'nrf52840'],
      ['rp2350-riscv', 'rp2350-riscv'],
      ['SAMD51', 'samd51'],
    ] as const) {
      const file = readFileSync(join(folder, `${name}.theirs.uf2`));
      const { family, regions } = readUf2(file);
      expect(family?.name).toBe(ours);
      expect(regions.map(({ offset, data: own }) => [offset, Buffer.compare(own, data)])).toEqual([
        [0x26000, 0],
      ]);
      expect(parseUf2(file).ignoredBlocks).toBe(0);
    }
  });
});

const names = `
import json
from uf2utils.family import FamilyDescriptions
print(json.dumps({d['name'].lower(): d['id'] for d in FamilyDescriptions}))
`;
const reader = `
import json, sys
from uf2utils.file import UF2File
out = []
for name in json.load(sys.stdin):
    blocks = [(b.header.board_family, b.header.address, b.header.block_number, b.header.total_blocks, bytes(b.payload).hex()) for b in UF2File.readBlocks(name)]
    out.append(blocks)
print(json.dumps(out))
`;
const writer = `
import json, sys
from uf2utils.file import UF2File
from uf2utils.family import Family
from uf2utils.constants import Flags
data = open('data.bin', 'rb').read()
for name in json.load(sys.stdin):
    uf2 = UF2File()
    uf2.header.flags = Flags.FamilyIDPresent
    uf2.header.family = Family.byName(name)
    uf2.append_payload(data, 0x26000)
    uf2.to_file(name + '.theirs.uf2')
print('null')
`;
