import { execFile, execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Graph } from '../../src/lib/formats/tflite/graph.js';
import { writeTflite } from '../../src/lib/formats/tflite/write.js';
import { root } from './cli.js';
import { python } from './real.js';

interface Ran<Report> {
  output: Int8Array;
  report: Report;
}

type Environment = 'litert' | 'tflm';

interface Job {
  graph: Graph | Uint8Array;
  input: Int8Array | Int16Array | Int32Array | BigInt64Array | Uint8Array | Uint32Array | Float32Array;
  [option: string]: unknown;
}

/** Largest output of a Python process, bytes. */
const maxBuffer = 2 ** 26;

/**
 * Runs models in a third-party runtime, all in one Python process. `input` and the output contain any number of
 * consecutive runs, each with the values of all inputs or outputs in sequence.
 */
export function runInPython<Report>(environment: Environment, jobs: Job[]): Ran<Report>[] {
  const folder = mkdtempSync(join(tmpdir(), 'aiot-tflite-'));
  try {
    const { args, results } = processFor<Report>(environment, jobs, folder);
    return results(
      execFileSync(python(environment), args, {
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'pipe'],
        maxBuffer,
      }),
    );
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Like `runInPython`, but does not block Vitest, which expects reports from a long test at least once a minute. */
export async function runInPythonAsync<Report>(
  environment: Environment,
  jobs: Job[],
): Promise<Ran<Report>[]> {
  const folder = mkdtempSync(join(tmpdir(), 'aiot-tflite-'));
  try {
    const { args, results } = processFor<Report>(environment, jobs, folder);
    const { stdout } = await promisify(execFile)(python(environment), args, { maxBuffer });
    return results(stdout);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Writes the files of jobs to a folder. Returns the arguments of the jobs' Python process, and a function that reads its results. */
function processFor<Report>(environment: Environment, jobs: Job[], folder: string) {
  const list = jobs.map(({ graph, input, ...options }, index) => {
    const paths = Object.fromEntries(
      ['model', 'input', 'output'].map((kind) => [kind, join(folder, `${index}.${kind}`)]),
    ) as Record<'model' | 'input' | 'output', string>;
    writeFileSync(paths.model, graph instanceof Uint8Array ? graph : writeTflite(graph));
    writeFileSync(paths.input, new Uint8Array(input.buffer, input.byteOffset, input.byteLength));
    const counts =
      graph instanceof Uint8Array ? {} : { inputs: graph.inputs.length, outputs: graph.outputs.length };
    return { ...paths, ...counts, ...options };
  });
  const listFile = join(folder, 'jobs.json');
  writeFileSync(listFile, JSON.stringify(list));
  const results = (stdout: string): Ran<Report>[] => {
    const reports = JSON.parse(stdout) as Report[];
    return list.map(({ output }, index) => ({
      output: new Int8Array(readFileSync(output)),
      report: reports[index]!,
    }));
  };
  return { args: [join(root, 'test', 'support', 'python', `${environment}_run.py`), listFile], results };
}
