// Float models of the templates: our compiled code compared with Google's LiteRT for Python, which runs native code. Both use one thread
// and the same file. The times are CPU times, so that other programs on the machine do not count. One epoch of training is enough, because
// the time depends only on the shapes.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { readTflite } from '../../src/lib/formats/tflite/read.js';
import { createInterpreter } from '../../src/lib/runtime/interpreter/interpreter.js';
import type { Bench } from '../harness/area.js';
import type { Figure } from '../harness/figure.js';
import { pythonVersions } from '../harness/parts.js';
import { aiot, root, timed } from '../harness/process.js';

/** Limit as a multiple of the native time. */
const goal = 2;

interface Template {
  /** Inferences in each round. */
  runs: number;
  /** Creates the training data in the project's folder. */
  prepare?: (dir: string) => void;
}

const pictures = (dir: string) => {
  timed(aiot('data', 'synthesize', '--pictures', '40', '--project', dir));
};

const templates: Record<string, Template> = {
  'iot-kit': { runs: 100_000, prepare: writeReadings },
  'motor-watch': { runs: 100_000 },
  'har-imu': { runs: 50_000 },
  'keyword-spotting': { runs: 3000 },
  'person-or-part': { runs: 5000, prepare: pictures },
  'count-parts': { runs: 1500, prepare: pictures },
};

export function floatTemplates(bench: Bench): Figure[] {
  const rounds = bench.quick ? 5 : 9;
  const folder = bench.folder();
  return Object.entries(templates).map(([template, { runs, prepare }]): Figure => {
    const dir = join(folder, template);
    timed(aiot('init', dir, '--template', template));
    prepare?.(dir);
    timed(aiot('model', 'train', '--project', dir, '--epochs', '1'));
    const file = join(dir, 'build', 'model.float.tflite');
    const interpreter = createInterpreter(readTflite(readFileSync(file)), { compiled: true });
    const size = interpreter.inputTensors.reduce(
      (sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1),
      0,
    );
    const input = Float32Array.from({ length: size }, (_, i) => Math.sin(i));
    const given = join(dir, 'input');
    writeFileSync(given, input);
    const native = (): number =>
      JSON.parse(
        timed([
          join(root, '.venv', 'litert', 'bin', 'python'),
          join(root, 'bench', 'models', 'peers', 'inference.py'),
          ...['litert', file, given, `${runs}`, '1', 'cpu'],
        ]).stdout,
      )[0];
    const compiled = (): number => {
      const started = process.cpuUsage();
      for (let i = 0; i < runs; i++) interpreter.invoke(input);
      const { user, system } = process.cpuUsage(started);
      return (user + system) / runs;
    };
    // V8 compiles the code during the first round, which is not counted.
    compiled();
    const pairs = Array.from({ length: rounds }, () => [compiled(), native()] as const);
    return {
      ...{ name: `float32, ${template}`, unit: 'µs', goal },
      ours: pairs.map(([ours]) => ours),
      peer: {
        name: 'LiteRT',
        version: pythonVersions('litert', 'ai-edge-litert'),
        rounds: pairs.map(([, theirs]) => theirs),
      },
    };
  });
}

/** Readings of 30 cycles through the three classes, in the form that the template's route writes. */
function writeReadings(dir: string): void {
  mkdirSync(join(dir, 'data'), { recursive: true });
  const rows = Array.from({ length: 90 }, (_, i) => {
    const level = i % 3;
    return `dht11,${20 + 10 * level + (i % 7) / 7},${60 - 10 * level + (i % 5) / 5},${['low', 'middle', 'high'][level]}`;
  });
  writeFileSync(join(dir, 'data', 'ml-data.csv'), `sensor,temp,hum,class\n${rows.join('\n')}\n`);
}
