import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, it } from 'vitest';
import { root } from '../support/cli.js';
import { emulatedBoard } from '../support/qemu.js';
import { describeReal } from '../support/real.js';
import { judgeEmulated } from './emulated.js';

/** What qemu.real.test.ts does with the real mask ROMs, tried with a stand-in for the emulator. */
describeReal('espflash', 'a stand-in for the emulator', () => {
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
