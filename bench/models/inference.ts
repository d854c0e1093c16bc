// Inference on this machine. The bit-exact device interpreter is compared with TFLite Micro's. LiteRT in WebAssembly, with which
// aiot measures accuracy, is compared with Google's build for Python. All use one thread and the same int8 files.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { writeTflite } from '../../src/lib/formats/tflite/write.js';
import { createInterpreter } from '../../src/lib/runtime/interpreter/interpreter.js';
import { openLiteRt } from '../../src/lib/runtime/litert.js';
import { networks, overTime } from '../firmware/networks.js';
import type { Bench } from '../harness/area.js';
import { type Figure, growth, median } from '../harness/figure.js';
import { pythonVersions } from '../harness/parts.js';
import { root, timed } from '../harness/process.js';

/** Limits, as multiples of the peer's time. */
const goals = { interpreter: 2, litert: 6 };

export async function inference(bench: Bench): Promise<Figure[]> {
  const rounds = bench.quick ? 5 : 15;
  const folder = bench.folder();
  const figures: Figure[] = [];
  for (const [name, { make, runs }] of Object.entries(networks)) {
    const bytes = writeTflite(make());
    const interpreter = createInterpreter(make());
    const input = Int8Array.from(
      { length: interpreter.inputTensors[0]!.shape.reduce((a, b) => a * b, 1) },
      (_, i) => (i * 37) % 200,
    );
    const [model, given] = [join(folder, `${name}.tflite`), join(folder, `${name}.input`)];
    writeFileSync(model, bytes);
    writeFileSync(given, input);
    const python = (environment: 'litert' | 'tflm'): number[] =>
      JSON.parse(
        timed([
          join(root, '.venv', environment, 'bin', 'python'),
          join(root, 'bench', 'models', 'peers', 'inference.py'),
          ...[environment, model, given, `${runs}`, `${rounds}`],
        ]).stdout,
      );
    figures.push({
      ...{ name: `device interpreter, ${name}`, unit: 'µs', goal: goals.interpreter },
      ours: means(() => interpreter.invoke(input), runs, rounds),
      peer: { name: 'tflite-micro', version: pythonVersions('tflm', 'tflite-micro'), rounds: python('tflm') },
    });
    const litert = await openLiteRt(bytes);
    const real = Float32Array.from({ length: litert.inputs }, (_, i) => Math.sin(i));
    figures.push({
      ...{ name: `LiteRT in WebAssembly, ${name}`, unit: 'µs', goal: goals.litert },
      ours: means(() => litert.predict(real), runs, rounds),
      peer: {
        name: 'ai-edge-litert',
        version: pythonVersions('litert', 'ai-edge-litert'),
        rounds: python('litert'),
      },
    });
    litert.close();
  }
  const points = [128, 1280, 12_800].slice(0, bench.quick ? 2 : 3).map((samples) => {
    const interpreter = createInterpreter(overTime(samples));
    const input = new Int8Array(3 * samples).fill(7);
    return { size: samples, cost: median(means(() => interpreter.invoke(input), 25_600 / samples, rounds)) };
  });
  return [...figures, growth('device interpreter, samples of a window', 1.1, points, 'µs')];
}

/** Mean time of a run in each round, µs. The rounds start after V8 has compiled the code. */
function means(run: () => unknown, runs: number, rounds: number): number[] {
  const until = performance.now() + 500;
  while (performance.now() < until) run();
  return Array.from({ length: rounds }, () => {
    const started = performance.now();
    for (let i = 0; i < runs; i++) run();
    return ((performance.now() - started) / runs) * 1000;
  });
}
