import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Graph } from '../../src/lib/formats/tflite/graph.js';
import { writeTflite } from '../../src/lib/formats/tflite/writer.js';
import { emitted } from '../../src/lib/model/emit/emit.js';

/** TensorFlow Lite's C library (scripts/parts/tflite-c.sh). */
const library = '.venv/tflite-c';

export interface Times {
  emittedNs: number;
  /** The library with its own kernels, and with XNNPACK. */
  libraryNs: number;
  delegatedNs: number;
  /** Most steps that an answer of the library differs from ours. */
  apart: number;
}

/**
 * One scale for all rows of a layer: version 2.9 of the library knows no others in FULLY_CONNECTED, and takes their ratio for 0.
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

/** Both sides on one network, by the compiler's `level`: three processes, in each the least of so many rounds. */
export function timesOf(
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
