// What the firmware's core takes of a chip: flash and memory, instructions by the emulator's count (the same in every run), and the time of
// emitted C on this machine beside TensorFlow Lite's C library on the same int8 networks; and an update of 1 MiB over loopback.
import { join } from 'node:path';
import type { Area, Bench } from '../harness/area.js';
import type { Figure } from '../harness/figure.js';
import { parts } from '../harness/parts.js';
import { root } from '../harness/process.js';
import { featureFigures } from './features.js';
import { instructionsByLayer } from './instructions.js';
import { networks } from './networks.js';
import { type Times, timesOf } from './peer.js';
import { coreSizes } from './sizes.js';
import { updateTimes } from './update.js';

const firmware = join(root, 'firmware');
const rv32 = [parts.rv32, parts.qemuRv32];

export const area: Area = {
  about: 'what the C core takes of a chip, and of time',
  cases: {
    sizes: { needs: rv32, run: sizes },
    instructions: { needs: rv32, run: instructions },
    inference: { peer: "TensorFlow Lite's C library", needs: [parts.tfliteC], run: inference },
    features: { peer: 'the TypeScript side', needs: rv32, run: features },
    update: { run: update },
  },
};

/** Bytes of all of the core's objects; what a program links of them is less. */
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
    return own.length > 0 ? figure : { ...figure, fails: 'nothing was counted' };
  });
}

/** The same file and inputs in one process, least of many rounds; three such. */
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
    const note = `answers at most ${Math.max(...of('apart'))} steps apart`;
    const own = { unit: 'ns', ours: of('emittedNs'), slack: 1.5, note };
    return [
      { ...own, name: `emitted C, ${name}, beside its own kernels`, peer: peer('libraryNs'), goal: 0.5 },
      { ...own, name: `emitted C, ${name}, beside XNNPACK`, peer: peer('delegatedNs'), goal: 1.25 },
    ];
  });
}

function features(bench: Bench): Figure[] {
  return featureFigures(bench.quick ? 60 : 300);
}

/** From the start of a rollout to its end, the native device and the platform on this machine, TLS at both doors. */
async function update(bench: Bench): Promise<Figure[]> {
  process.chdir(root);
  const all = await updateTimes(bench.quick ? 3 : 11);
  const of = (what: 'seconds' | 'downloadSeconds') => all.map((one) => one[what]);
  return [
    { name: '1 MiB of firmware, rolled out over loopback', unit: 's', ours: of('seconds'), goal: 3 },
    { name: 'of it from DOWNLOADING to VERIFYING', unit: 's', ours: of('downloadSeconds'), goal: 1 },
  ];
}
