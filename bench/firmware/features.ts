// Cost of computing one window's features in the firmware's C code: instruction count on the ESP32-C3, and time on this machine compared
// with TypeScript.
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createPipeline } from '../../src/lib/signal/pipeline.js';
import type { SignalSpec } from '../../src/lib/signal/spec.js';
import type { Figure } from '../harness/figure.js';
import { root } from '../harness/process.js';

interface FeatureCost {
  set: string;
  fields: number;
  window: number;
  features: number;
  /** Memory for the features and the window on RV32, bytes. */
  bytes: number;
  /** Instructions retired on RV32IMC for one window, including filtering and resampling of its samples; null without the tools. */
  instructions: number | null;
  /** Time per window in the fastest round, in C and in TypeScript, µs. */
  hostUs: number;
  typescriptUs: number;
}

/** Limits: instructions per window, and the ratio of C's time to TypeScript's on this machine. */
const limits: Record<string, { instructions: number; ratio: number }> = {
  raw: { instructions: 400_000, ratio: 1 },
  'raw, low-pass, resampled': { instructions: 3_200_000, ratio: 1 },
  spectral: { instructions: 17_000_000, ratio: 1 },
  motion: { instructions: 16_000_000, ratio: 1 },
  har: { instructions: 44_000_000, ratio: 1 },
  'har, length 3 * 167': { instructions: 68_000_000, ratio: 1 },
};

const core = join(root, 'firmware', 'core');
const flags = ['-std=c11', '-ffp-contract=off', '-Wall', '-Wextra', '-Werror', '-I', join(core, 'include')];
const region = { flash: 0x80000000, flash_size: 0x400000, ram: 0x80400000, ram_size: 0x400000 };

/**
 * Builds `feature_cost.c` for RV32 and for this machine, and runs both. @param rounds number of rounds on this machine; the fastest one is
 * used
 */
function featureCosts(rounds: number): FeatureCost[] {
  const folder = mkdtempSync(join(tmpdir(), 'aiot-features-'));
  try {
    const here = onHost(folder, rounds);
    const there = onRv32(folder);
    return here.map(({ set, fields, window, features, bytes, nanoseconds }, i) => ({
      set,
      fields,
      window,
      features,
      bytes: there?.[i]?.bytes ?? bytes,
      instructions: there?.[i]?.instructions ?? null,
      hostUs: nanoseconds / 1000,
      typescriptUs: typescriptUs(set, fields, window, rounds),
    }));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/**
 * Two figures per set: the number of instructions, which is the same in every run, and the time on this machine relative to the
 * TypeScript implementation.
 */
export function featureFigures(rounds: number): Figure[] {
  return featureCosts(rounds).flatMap(({ set, fields, window, features, bytes, instructions, ...times }) => {
    const limit = limits[set]!;
    const what = `${set}: ${features} features of ${window} × ${fields}`;
    const counted: Figure[] =
      instructions === null
        ? []
        : [
            {
              ...{ name: `${what}, on RV32`, unit: 'instructions', ours: instructions },
              ...{ goal: limit.instructions, slack: 1, note: `${(bytes / 1024).toFixed(1)} KiB` },
            },
          ];
    const peer = { name: 'TypeScript', rounds: [times.typescriptUs] };
    const here: Figure = {
      name: `${what}, in C on this machine`,
      unit: 'µs',
      ours: times.hostUs,
      peer,
      goal: limit.ratio,
    };
    return [...counted, { ...here, slack: 1.5 }];
  });
}

type Row = Pick<FeatureCost, 'set' | 'fields' | 'window' | 'features' | 'bytes'> & {
  nanoseconds: number;
  instructions: number;
};

function rowsOf(text: string): Row[] {
  return text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
}

function sources(): string[] {
  const signal = join(core, 'src', 'signal');
  const own = readdirSync(signal).filter((name) => name.endsWith('.c'));
  return [
    ...own.map((name) => join(signal, name)),
    join(core, 'src', 'arena.c'),
    join(root, 'bench', 'firmware', 'feature_cost.c'),
  ];
}

function onHost(folder: string, rounds: number): Row[] {
  const program = join(folder, 'host');
  execFileSync('cc', [...flags, '-O2', `-DAIOT_ROUNDS=${rounds}`, ...sources(), '-lm', '-o', program]);
  return rowsOf(execFileSync(program, { encoding: 'utf8' }));
}

/** Runs the program on RV32. Needs Debian's gcc-riscv64-unknown-elf, picolibc-riscv64-unknown-elf and qemu-system-misc; null without them. */
function onRv32(folder: string): Row[] | null {
  const tools = ['riscv64-unknown-elf-gcc', 'qemu-system-riscv32'];
  if (tools.some((tool) => spawnSync(tool, ['--version']).status !== 0)) return null;
  const program = join(folder, 'rv32.elf');
  const linked = Object.entries(region).map(([name, at]) => `-Wl,--defsym=__${name}=${at}`);
  const chip = [
    '-march=rv32imc',
    '-mabi=ilp32',
    '--specs=picolibc.specs',
    '--oslib=semihost',
    '--crt0=semihost',
  ];
  execFileSync('riscv64-unknown-elf-gcc', [
    ...flags,
    '-Os',
    ...chip,
    ...linked,
    ...sources(),
    '-lm',
    '-o',
    program,
  ]);
  const machine = ['-machine', 'virt', '-cpu', 'rv32', '-bios', 'none', '-nographic', '-icount', 'shift=0'];
  const semihosting = ['-semihosting-config', 'enable=on,target=native', '-kernel', program];
  const options = { encoding: 'utf8', input: '', timeout: 120_000 } as const;
  const { status, stdout, stderr } = spawnSync('qemu-system-riscv32', [...machine, ...semihosting], options);
  if (status !== 0) throw new Error(`the emulator exited with ${status}: ${stderr}`);
  // The program's semihosting output is part of the emulator's output.
  return rowsOf(`${stdout}${stderr}`);
}

/** Computes the features of the same windows. The rounds take at least half a second, because V8 compiles only code that runs often. */
function typescriptUs(set: string, fields: number, window: number, rounds: number): number {
  const filtered = set === 'motion' || set.includes('low-pass');
  const rateHz = set === 'spectral' ? 200 : 100;
  const spec: SignalSpec = {
    fields: ['x', 'y', 'z', 'w'].slice(0, fields),
    rateHz,
    lowpassHz: filtered ? 12 : null,
    resampleHz: filtered ? 50 : rateHz,
    windowSamples: window,
    strideSamples: window,
    features: set.split(',')[0] as 'raw',
  };
  const pipeline = createPipeline(spec);
  const sample = new Float64Array(fields);
  let best = Number.POSITIVE_INFINITY;
  let seed = 1;
  const until = performance.now() + 500;
  for (let round = 0; round < rounds || performance.now() < until; round++) {
    pipeline.reset();
    const start = process.hrtime.bigint();
    for (let full = false; !full; ) {
      for (let f = 0; f < fields; f++) {
        seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
        sample[f] = (seed >>> 20) / 2048 - 1;
      }
      full = pipeline.push(sample) !== null;
    }
    best = Math.min(best, Number(process.hrtime.bigint() - start) / 1000);
  }
  return best;
}
