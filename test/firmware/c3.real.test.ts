import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { readEspImage } from '../../src/lib/formats/esp-image/read.js';
import { aiotTool } from '../support/aiot-tool.js';
import { runOnC3 } from '../support/c3/cpu.js';
import { root, runCli } from '../support/cli.js';
import { emulatedBoard } from '../support/qemu.js';
import { describeReal, python } from '../support/real.js';

const allRight = /AIOT-C3 (\d{3,}) checks passed, 0 failed/;

describeReal('cmake', 'the core on a bare ESP32-C3', () => {
  describeReal('riscv', 'built by the compiler for its instruction set', () => {
    let folder = '';
    let image = '';
    beforeAll(async () => {
      folder = mkdtempSync(join(tmpdir(), 'aiot-c3-'));
      for (const args of [
        ['-S', join(root, 'firmware'), '-B', folder],
        ['--build', folder, '--target', 'c3'],
      ]) {
        const { status, stdout, stderr } = spawnSync('cmake', args, { encoding: 'utf8' });
        if (status !== 0) throw new Error(`cmake ${args.join(' ')}: ${stdout}${stderr}`);
      }
      image = join(folder, 'aiot_c3.bin');
      const elf = join(folder, 'aiot_c3.elf');
      const options = ['--chip', 'esp32c3', '--flash-mode', 'dio', '--flash-size', '4MB', '--out', image];
      const { code, stderr } = await runCli(['firmware', 'image', 'create', elf, ...options]);
      if (code !== 0) throw new Error(stderr);
    }, 120_000);
    afterAll(() => {
      rmSync(folder, { recursive: true, force: true });
    });

    it('is an image that the ROM accepts: code in IRAM, the rest in DRAM, and both checksums valid', async () => {
      const { json } = await runCli(['firmware', 'image', 'info', image, '--json']);
      expect(json).toMatchObject({ chip: 'esp32c3' });
      const { segments } = readEspImage(new Uint8Array(readFileSync(image)));
      const bus = (address: number) => (address >= 0x40380000 && address < 0x40394000 ? 'iram' : 'dram');
      for (const { address, length } of segments) {
        const [start, end] = bus(address) === 'iram' ? [0x40380000, 0x4039d000] : [0x3fc9d000, 0x3fcc0000];
        expect(address).toBeGreaterThanOrEqual(start);
        expect(address + length).toBeLessThanOrEqual(end);
      }
      expect(new Set(segments.map(({ address }) => bus(address)))).toEqual(new Set(['iram', 'dram']));
    });

    it('passes the golden vectors and reports that on its UART, in an instruction-set emulator', () => {
      const bytes = new Uint8Array(readFileSync(image));
      const { printed } = runOnC3(readEspImage(bytes), bytes, 1, 100_000_000);
      expect(printed).toMatch(allRight);
      expect(printed.match(/emitted: /g)).toHaveLength(2);
      expect(printed.match(/interpreted: /g)?.length).toBeGreaterThan(10);
    }, 60_000);

    describeReal('esptool', 'as read by PyPI’s esptool', () => {
      it('has the right chip, checksum, and digest', () => {
        const args = ['-m', 'esptool', '--chip', 'esp32c3', 'image-info', image];
        const { status, stdout } = spawnSync(python('esptool'), args, { encoding: 'utf8' });
        expect(status).toBe(0);
        expect(stdout).toMatch(/Checksum: 0x[0-9a-f]+ \(valid\)/);
        expect(stdout).toMatch(/Validation hash: [0-9a-f]+ \(valid\)/);
      });
    });

    /** AIOT_ESP_QEMU=FOLDER contains an emulator with the chip's real mask ROM. */
    describeReal('qemu', 'in an emulator with the mask ROM', () => {
      it('boots from the ROM, and passes the golden vectors', async () => {
        const board = await emulatedBoard('esp32c3');
        try {
          await aiotTool.write({ port: board.port, chip: 'esp32c3', stub: false }, 0, image, false);
          await board.restart('run');
          const said = await board.until(allRight, 60_000);
          expect(said).toMatch(allRight);
          expect(said).not.toMatch(/SHA-256 comparison failed|csum err|invalid header/);
        } finally {
          await board.close();
        }
      }, 300_000);
    });
  });
});
