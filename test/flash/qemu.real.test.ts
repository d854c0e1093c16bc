import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { imageOfElf } from '../../src/lib/formats/esp-image/write.js';
import { aiotTool } from '../support/aiot-tool.js';
import { bootedText, buildC3 } from '../support/c3/build.js';
import { emulatedBoard } from '../support/qemu.js';
import { describeReal } from '../support/real.js';
import { judgeEmulated } from './emulated.js';

const bounded = { timeout: 300_000 };

/**
 * AIOT_ESP_QEMU=FOLDER contains qemu-system-xtensa, qemu-system-riscv32 and pc-bios, with `-machine esp32` and
 * `esp32c3`.
 */
describeReal('qemu', 'the real mask ROMs in an emulator', () => {
  judgeEmulated((chip, line) => emulatedBoard(chip, { line }));

  /** The image has the flash mode and size of the emulated board, as for a C3 board. */
  it('boot an image created from an ELF file', bounded, async () => {
    const folder = await mkdtemp(join(tmpdir(), 'aiot-boot-'));
    const board = await emulatedBoard('esp32c3');
    try {
      const file = join(folder, 'boot.bin');
      await writeFile(file, imageOfElf(buildC3(), { chip: 'esp32c3', mode: 'dio', size: '4MB' }));
      await aiotTool.write({ port: board.port, chip: 'esp32c3', stub: false }, 0, file, false);
      await board.restart('run');
      const said = await board.until(/tick 1/, 30_000);
      expect(said).toContain(bootedText);
      expect(said).not.toMatch(/SHA-256 comparison failed|csum err|invalid header/);
    } finally {
      await board.close();
      await rm(folder, { recursive: true, force: true });
    }
  });
});
