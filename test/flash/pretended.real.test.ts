import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, it } from 'vitest';
import { root } from '../support/cli.js';
import { emulatedBoard } from '../support/qemu.js';
import { describeReal } from '../support/real.js';
import { judgeEmulated } from './emulated.js';

/** Runs the tests of qemu.real.test.ts with a substitute for the emulator with the real mask ROMs. */
describeReal('espflash', 'esptool, espflash and aiot on a simulated chip in place of the emulator', () => {
  let folder = '';
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'aiot-pretended-'));
    await mkdir(join(folder, 'pc-bios'));
    for (const name of ['qemu-system-xtensa', 'qemu-system-riscv32']) {
      const script = join(root, 'test', 'support', 'pretend-qemu.ts');
      await writeFile(
        join(folder, name),
        `#!/bin/sh\ncd '${root}' && exec '${process.execPath}' --import tsx '${script}' "$@"\n`,
      );
      await chmod(join(folder, name), 0o755);
    }
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  judgeEmulated((chip, line) => emulatedBoard(chip, { folder, line }), it.concurrent);
});
