import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { gaussian, seededRandom } from '../../src/lib/core/numbers.js';
import { elementCount, type Graph } from '../../src/lib/formats/tflite/graph.js';
import { writeTflite } from '../../src/lib/formats/tflite/write.js';
import { emitted } from '../../src/lib/model/emit/emit.js';
import {
  prepareGraph,
  quantizeGraph,
  quantizePrepared,
} from '../../src/lib/model/quantize/graph/quantize-graph.js';
import type { Kind } from '../../src/lib/model/quantize/types.js';
import { createInterpreter } from '../../src/lib/runtime/interpreter/interpreter.js';
import { architectures } from '../support/architectures.js';
import { root } from '../support/cli.js';
import { bytesIn } from '../support/emitted.js';
import { chanceInputs } from '../support/every-tensor.js';
import { describeReal } from '../support/real.js';
import { runInPython } from '../support/tflite.js';
import { temporaryFolder } from './support.js';

const kinds = Object.keys(architectures) as (keyof typeof architectures)[];

function rowsFor(graph: Graph, seed: number): Float32Array[] {
  const random = seededRandom(seed);
  const length = elementCount(graph.tensors[graph.inputs[0]!]!.shape);
  return Array.from({ length: 40 }, () => Float32Array.from({ length }, () => gaussian(random)));
}

function sourcesOf(graph: Graph, out: string): Map<string, string> {
  return emitted('tflm', { out, graph, contents: writeTflite(graph), name: 'test', classes: ['a', 'b'] });
}

describeReal('cxx', 'emitted source in a C++ compiler', () => {
  it('compiles for every model kind in every mode that devices run', async () => {
    const folder = await temporaryFolder();
    const files = kinds.flatMap((kind) => {
      const float = architectures[kind](seededRandom(8));
      return (['float32', 'int8', 'int16x8'] as const).map((mode) => {
        const { graph } = quantizeGraph(float, rowsFor(float, 2), { mode, calibration: 'min-max' });
        for (const [path, text] of sourcesOf(graph, join(folder, `${kind}-${mode}.tflite`)))
          writeFileSync(path, text);
        return join(folder, `${kind}-${mode}.cc`);
      });
    });
    const main = files.map((file) => `#include "${file}"`).join('\n');
    const uses = kinds.map(
      (kind) => `  { using namespace ${kind}_int8; OpResolver r; failed |= RegisterOperators(r); }`,
    );
    writeFileSync(
      join(folder, 'main.cc'),
      `${main}\nint main() {\n  int failed = 0;\n${uses.join('\n')}\n  return failed;\n}\n`,
    );
    const flags = ['-std=c++17', '-Wall', '-Wextra', '-Werror', '-I', join(root, 'test/support/tflm-stub')];
    execFileSync('g++', [...flags, join(folder, 'main.cc'), '-o', join(folder, 'main')], { stdio: 'pipe' });
    execFileSync(join(folder, 'main'));
  });
});

describeReal('tflm', 'emitted arrays and mixed-precision models in TFLite Micro', () => {
  it('produces the same outputs from the emitted array as from the file', () => {
    const float = architectures.conv1d(seededRandom(3));
    const { graph } = quantizeGraph(float, rowsFor(float, 1), { mode: 'int8', calibration: 'min-max' });
    const [, source] = [...sourcesOf(graph, 'm.tflite').values()];
    const input = chanceInputs(graph, seededRandom(1), 50);
    const [file, array] = runInPython('tflm', [
      { graph, input },
      { graph: bytesIn(source!), input },
    ]);
    expect(Buffer.from(array!.output).equals(Buffer.from(file!.output))).toBe(true);
  });

  /** Runs every second operator of an int8 model in another mode. */
  const mixed = (kind: (typeof kinds)[number], seed: number, other: Kind) => {
    const float = prepareGraph(architectures[kind](seededRandom(seed)));
    const apart = new Map(
      float.operators.flatMap((_, at) => (at % 2 === seed % 2 ? [[at, other] as const] : [])),
    );
    const settings = { mode: 'int8', calibration: 'min-max', kinds: apart } as const;
    return quantizePrepared(float, rowsFor(float, seed), settings).graph;
  };
  const jobsOf = (other: Kind) =>
    kinds.flatMap((kind) =>
      [0, 1, 2, 3].map((seed) => {
        const graph = mixed(kind, seed, other);
        return { kind, seed, graph, input: chanceInputs(graph, seededRandom(seed), 30) };
      }),
    );

  it('int8 models with int16 operators match the interpreter bit for bit', () => {
    const jobs = jobsOf('int16');
    const ran = runInPython<{ refused?: string }>('tflm', jobs);
    ran.forEach(({ output, report }, at) => {
      const { kind, seed, graph, input } = jobs[at]!;
      expect(report.refused, `${kind} ${seed}`).toBeUndefined();
      expect(
        Buffer.from(output).equals(Buffer.from(answersTo(graph, input as Int8Array))),
        `${kind} ${seed}`,
      ).toBe(true);
    });
  });

  it('int8 models with float32 operators stay within two steps of the interpreter', () => {
    const jobs = jobsOf('float32');
    const ran = runInPython<{ refused?: string }>('tflm', jobs);
    ran.forEach(({ output, report }, at) => {
      const { kind, seed, graph, input } = jobs[at]!;
      expect(report.refused, `${kind} ${seed}`).toBeUndefined();
      const want = answersTo(graph, input as Int8Array);
      const most = want.reduce((worst, value, i) => Math.max(worst, Math.abs(value - output[i]!)), 0);
      // Float kernels sum in a different order, so a value may be rounded to the other side.
      expect(most, `${kind} ${seed}`).toBeLessThanOrEqual(2);
    });
  });

  function answersTo(graph: Graph, input: Int8Array): Int8Array {
    const interpreter = createInterpreter(graph);
    const size = elementCount(interpreter.inputTensors[0]!.shape);
    const all: number[] = [];
    for (let at = 0; at < input.length; at += size)
      all.push(...interpreter.invoke(input.subarray(at, at + size)));
    return Int8Array.from(all);
  }
});
