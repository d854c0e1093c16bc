import { execFileSync, spawnSync } from 'node:child_process';
import { join } from 'node:path';

export interface Layer {
  network: string;
  layer: number;
  op: string;
  instructions: number;
}

/** Instructions that each layer of the emitted fixtures takes on RV32IMC, compiled by -O2; an emulator counts them, the same in each run. */
export function instructionsByLayer(firmware: string, folder: string): Layer[] {
  const elf = join(folder, 'emitted.elf');
  const sources = ['emitted_test.c', 'emitted_motor.c', 'emitted_waves.c'].map((name) =>
    join(firmware, 'test', name),
  );
  const memory = ['flash=0x80000000', 'flash_size=0x400000', 'ram=0x80400000', 'ram_size=0x400000'];
  const places = memory.map((place) => `-Wl,--defsym=__${place}`);
  execFileSync('riscv64-unknown-elf-gcc', [
    ...['-std=c11', '-O2', '-march=rv32imc', '-mabi=ilp32', '--specs=picolibc.specs', '--oslib=semihost'],
    ...['--crt0=semihost', ...places, ...sources, '-o', elf],
  ]);
  const { stdout, stderr } = spawnSync(
    'qemu-system-riscv32',
    [
      ...['-machine', 'virt', '-cpu', 'rv32', '-bios', 'none', '-nographic', '-icount', 'shift=0'],
      ...['-semihosting-config', 'enable=on,target=native', '-kernel', elf],
    ],
    { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], timeout: 60_000 },
  );
  // The program's words come out of the emulator's stderr where that is no terminal.
  const said = `${stdout}${stderr}`;
  return [...said.matchAll(/^(\w+), layer (\d+) \((.*)\): (\d+) instructions/gm)].map(
    ([, network, layer, op, count]) => ({
      network: network!,
      layer: Number(layer),
      op: op!,
      instructions: Number(count),
    }),
  );
}
