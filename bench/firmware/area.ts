// Resources that the firmware's core needs on a chip: flash, memory, and instructions as counted by an emulator, which are the same in
// every run. Also the time of emitted C on this machine, compared with TensorFlow Lite's C library on the same int8 models, and an update
// of 1 MiB over loopback.

import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Graph } from '../../src/lib/formats/tflite/graph.js';
import { writeTflite } from '../../src/lib/formats/tflite/write.js';
import { emitted } from '../../src/lib/model/emit/emit.js';
import type { Area, Bench } from '../harness/area.js';
import type { Figure } from '../harness/figure.js';
import { parts } from '../harness/parts.js';
import { root } from '../harness/process.js';
import { featureFigures } from './features.js';
import { networks } from './networks.js';
import { coreSizes } from './sizes.js';
import { updateTimes } from './update.js';

const firmware = join(root, 'firmware');
const rv32 = [parts.rv32, parts.qemuRv32];

export const area: Area = {
  about: 'size and speed of the C core',
  cases: {
    sizes: { needs: rv32, run: sizes },
    instructions: { needs: rv32, run: instructions },
    inference: { peer: "TensorFlow Lite's C library", needs: [parts.tfliteC], run: inference },
    features: { peer: 'TypeScript', needs: rv32, run: features },
    update: { run: update },
  },
};

/** Total size of the core's objects. A program links only a part of them. */
function sizes(bench: Bench): Figure[] {
  const most = { text: 160_000, data: 256, bss: 256 };
  const own = coreSizes(firmware, bench.folder(), 'rv32');
  return (['text', 'data', 'bss'] as const).map((section) => ({
    ...{ name: `the core's objects on RV32, -Os: ${section}`, unit: 'bytes', ours: own[section] },
    ...{ goal: most[section], slack: 1 },
  }));
}

function instructions(bench: Bench): Figure[] {
  const most: Record<string, number> = { motor: 15_000, waves: 33_000 };
  const layers = instructionsByLayer(firmware, bench.folder());
  return Object.entries(most).map(([network, goal]) => {
    const own = layers.filter((layer) => layer.network === network);
    const sum = own.reduce((all, layer) => all + layer.instructions, 0);
    const note = own.map(({ op, instructions }) => `${op} ${instructions}`).join(', ');
    const figure = {
      name: `an inference of ${network} on RV32`,
      unit: 'instructions',
      ours: sum,
      goal,
      slack: 1,
      note,
    };
    return own.length > 0 ? figure : { ...figure, fails: 'no instructions were counted' };
  });
}

/**
 * Both sides run the same model on the same inputs in one process, and the fastest of many rounds is used. This is repeated in three
 * processes.
 */
function inference(bench: Bench): Figure[] {
  process.chdir(root);
  const folder = bench.folder();
  return Object.entries(networks).flatMap(([name, { make, runs }]) => {
    const rounds = bench.quick ? 20 : 100;
    const all = timesOf(make(), join(folder, name), { level: '-O2', rounds, runs });
    const of = (side: keyof Times) => all.map((times) => times[side]);
    const peer = (side: keyof Times) => ({
      name: "TensorFlow Lite's C library",
      version: '2.9.0',
      rounds: of(side),
    });
    const note = `outputs differ by at most ${Math.max(...of('apart'))} steps`;
    const own = { unit: 'ns', ours: of('emittedNs'), slack: 1.5, note };
    return [
      {
        ...own,
        name: `emitted C, ${name}, compared with the library's own kernels`,
        peer: peer('libraryNs'),
        goal: 0.5,
      },
      { ...own, name: `emitted C, ${name}, compared with XNNPACK`, peer: peer('delegatedNs'), goal: 1.25 },
    ];
  });
}

function features(bench: Bench): Figure[] {
  return featureFigures(bench.quick ? 60 : 300);
}

/** Duration of a rollout, with the native device and the platform on this machine and TLS on both connections. */
async function update(bench: Bench): Promise<Figure[]> {
  process.chdir(root);
  const all = await updateTimes(bench.quick ? 3 : 11);
  const of = (what: 'seconds' | 'downloadSeconds') => all.map((one) => one[what]);
  return [
    { name: '1 MiB of firmware, rolled out over loopback', unit: 's', ours: of('seconds'), goal: 3 },
    { name: 'from DOWNLOADING to VERIFYING', unit: 's', ours: of('downloadSeconds'), goal: 1 },
  ];
}

interface Layer {
  network: string;
  layer: number;
  op: string;
  instructions: number;
}

/**
 * Instructions per layer of the emitted fixtures on RV32IMC, compiled with -O2. An emulator counts them, so they are the same in every
 * run.
 */
function instructionsByLayer(firmware: string, folder: string): Layer[] {
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
  // The emulator writes the program's output to stderr if stderr is not a terminal.
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

/** TensorFlow Lite's C library (scripts/parts/tflite-c.sh). */
const library = '.venv/tflite-c';

interface Times {
  emittedNs: number;
  /** Time with the library's own kernels, and with XNNPACK. */
  libraryNs: number;
  delegatedNs: number;
  /** Maximum difference between the library's outputs and ours, in quantization steps. */
  apart: number;
}

/**
 * Gives all rows of a FULLY_CONNECTED layer the same scale. Version 2.9 of the library does not support per-row scales and treats their
 * ratio as 0.
 */
function perTensor(graph: Graph): Graph {
  for (const { op, inputs } of graph.operators) {
    if (op !== 'FULLY_CONNECTED') continue;
    const [x, weights, bias] = inputs.map((index) => graph.tensors[index]);
    const scales = weights!.quantization!.scale;
    const largest = Math.max(...scales);
    const per = (weights!.data as Int8Array).length / scales.length;
    const part = (channel: number) => (scales[channel] ?? largest) / largest;
    weights!.data = Int8Array.from(weights!.data as Int8Array, (value, at) =>
      Math.round(value * part(Math.floor(at / per))),
    );
    weights!.quantization = { scale: [largest], zeroPoint: [0], axis: 0 };
    if (bias === undefined) continue;
    bias.data = Int32Array.from(bias.data as Int32Array, (value, at) => Math.round(value * part(at)));
    const scale = Math.fround(largest * x!.quantization!.scale[0]!);
    bias.quantization = { scale: [scale], zeroPoint: [0], axis: 0 };
  }
  return graph;
}

/** Times both sides on one model at this optimization level, in three processes. Each takes the minimum of this many rounds. */
function timesOf(
  network: Graph,
  folder: string,
  { level, runs, rounds }: { level: string; runs: number; rounds: number },
): Times[] {
  mkdirSync(folder, { recursive: true });
  const graph = perTensor(network);
  const contents = writeTflite(graph);
  const file = join(folder, 'model.tflite');
  writeFileSync(file, contents);
  for (const [path, text] of emitted('c', { out: folder, graph, contents, name: 'bench', classes: [] }))
    writeFileSync(path, text);
  const program = join(folder, 'peer');
  const libraries = join(process.cwd(), library, 'linux_amd64');
  execFileSync('cc', [
    ...['-std=c11', level, '-I', folder, '-I', join(library, 'include')],
    ...[join(import.meta.dirname, 'peer.c'), join(folder, 'model.c'), '-L', libraries, '-ltensorflowlite_c'],
    ...[`-Wl,-rpath,${libraries}`, '-o', program],
  ]);
  const args = [file, String(runs), String(rounds)];
  return Array.from({ length: 3 }, () => {
    const said = execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
    const [emittedNs, libraryNs, delegatedNs, apart] = [...said.matchAll(/\d+/g)].map(Number);
    return { emittedNs: emittedNs!, libraryNs: libraryNs!, delegatedNs: delegatedNs!, apart: apart! };
  });
}
