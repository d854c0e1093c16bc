import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { readTflite } from '../../src/lib/formats/tflite/read.js';
import { deviceNeed } from '../../src/lib/model/bundle/device-memory.js';
import { unpackBundle } from '../../src/lib/model/bundle/pack.js';
import { root } from '../support/cli.js';
import { describeReal } from '../support/real.js';

const firmware = join(root, 'firmware');
const fixtures = join(firmware, 'test', 'fixtures', 'bundles');

/** Finds the smallest memory in which a bundle's predictor and its golden vectors open. */
const program = (files: readonly string[]) => `
#include <stdio.h>
#include "aiot/pipeline.h"
static uint8_t file[600000], memory[400000];
static size_t bytes;
static aiot_bundle active;
static bool opens(size_t room, bool trial) {
  aiot_arena arena;
  aiot_predictor *predictor;
  aiot_golden *golden;
  aiot_arena_init(&arena, memory, room);
  aiot_bundle *bundle = trial ? aiot_arena_take(&arena, sizeof *bundle, 8) : &active;
  if (bundle == NULL || aiot_bundle_open(bundle, file, bytes, &arena) != AIOT_OK) return false;
  if (trial) return aiot_golden_open(bundle, &aiot_interpreter, &arena, &golden) == AIOT_OK;
  return aiot_predictor_open(bundle, &aiot_interpreter, &arena, &predictor) == AIOT_OK;
}
static size_t smallest(bool trial) {
  size_t low = 0, high = sizeof memory;
  while (low < high) {
    const size_t room = (low + high) / 2;
    if (opens(room, trial)) high = room;
    else low = room + 1;
  }
  return low;
}
int main(void) {
  static const char *const path[] = {${files.map((file) => JSON.stringify(file)).join(', ')}};
  for (size_t i = 0; i < sizeof path / sizeof *path; i++) {
    FILE *in = fopen(path[i], "rb");
    if (in == NULL) return 1;
    bytes = fread(file, 1, sizeof file, in);
    fclose(in);
    printf("need %zu %zu %zu\\n", i, smallest(false), smallest(true));
  }
  return 0;
}
`;

function sources(folder: string): string[] {
  return readdirSync(join(firmware, 'core', 'src', folder))
    .filter((name) => name.endsWith('.c'))
    .map((name) => join(firmware, 'core', 'src', folder, name));
}

describeReal('riscv', 'the memory that a model needs on a 32-bit chip', () => {
  let dir = '';
  beforeAll(() => {
    dir = mkdtempSync(join(tmpdir(), 'aiot-need-'));
  });
  afterAll(() => rmSync(dir, { recursive: true, force: true }));

  it('is at least the calculated size, and at most 2 KiB more, and 320 bytes for each operator after the fifth', () => {
    const names = readdirSync(fixtures).sort();
    writeFileSync(join(dir, 'need.c'), program(names.map((name) => join(fixtures, name))));
    const memory = ['__flash=0x80000000', '__flash_size=0x400000', '__ram=0x80400000', '__ram_size=0x800000'];
    execFileSync(
      'riscv64-unknown-elf-gcc',
      [
        ...['-std=c11', '-Os', '-march=rv32imc', '-mabi=ilp32', '-ffp-contract=off'],
        ...['--specs=picolibc.specs', '--oslib=semihost', '--crt0=semihost'],
        ...memory.map((symbol) => `-Wl,--defsym=${symbol}`),
        ...['-ffunction-sections', '-Wl,--gc-sections', '-I', join(firmware, 'core', 'include')],
        ...['', 'signal', 'predict'].flatMap(sources),
        ...[join(dir, 'need.c'), '-lm', '-o', join(dir, 'need.elf')],
      ],
      { stdio: 'pipe' },
    );
    // The emulator writes a program's output to stderr.
    const told = spawnSync(
      'qemu-system-riscv32',
      [
        ...['-machine', 'virt', '-cpu', 'rv32', '-bios', 'none', '-nographic', '-m', '64'],
        ...['-semihosting-config', 'enable=on,target=native', '-kernel', join(dir, 'need.elf')],
      ],
      { encoding: 'utf8', timeout: 120_000 },
    ).output.join('');
    const actual = [...told.matchAll(/^need (\d+) (\d+) (\d+)\s*$/gm)].map(([, , active, trial]) => ({
      active: Number(active),
      trial: Number(trial),
    }));
    expect(actual).toHaveLength(names.length);
    for (const [i, name] of names.entries()) {
      const bundle = unpackBundle(readFileSync(join(fixtures, name)));
      const need = deviceNeed(bundle);
      // The structures of more than five operators.
      const further = 320 * Math.max(0, readTflite(bundle.model).operators.length - 5);
      for (const when of ['active', 'trial'] as const) {
        expect(actual[i]![when], `${name}, ${when}`).toBeGreaterThanOrEqual(need[when]);
        expect(actual[i]![when] - need[when], `${name}, ${when}`).toBeLessThan(2048 + further);
      }
    }
  }, 300_000);
});
