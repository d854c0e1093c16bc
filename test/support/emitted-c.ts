import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { elementBytes, elementCount, type Graph } from '../../src/lib/formats/tflite/graph.js';
import { writeTflite } from '../../src/lib/formats/tflite/write.js';
import { emitted } from '../../src/lib/model/emit/emit.js';
import { cTypeOf } from '../../src/lib/model/emit/piece.js';

export interface Job {
  graph: Graph;
  /** Values of all inputs, for any number of consecutive runs. */
  input: Int8Array | Int16Array | Int32Array | Uint8Array | Uint32Array | Float32Array;
}

/** Exactly the flags with which the output of `--emit c` is documented to compile. */
export const promised = ['-std=c11', '-Wall', '-Wextra', '-Werror'];

/**
 * Returns the outputs of the C code emitted for models. All of the code is compiled with the promised flags and `flags`,
 * linked into one program, and run. The test runner can report progress meanwhile.
 */
export async function runEmittedC(jobs: Job[], flags: string[] = ['-O1']): Promise<Int8Array[]> {
  const folder = mkdtempSync(join(tmpdir(), 'aiot-emitted-'));
  try {
    /** Whether each model has variables. */
    const resets: boolean[] = [];
    const compilations = jobs.map(({ graph, input }, index) => {
      const out = join(folder, String(index));
      mkdirSync(out);
      for (const [path, text] of emittedC(graph, out)) writeFileSync(path, text);
      resets.push(readFileSync(join(out, 'model.h'), 'utf8').includes('model_reset('));
      writeFileSync(join(out, 'input'), new Uint8Array(input.buffer, input.byteOffset, input.byteLength));
      const object = join(folder, `${index}.o`);
      // The models in one program would have identical symbol names, so each model's symbols are renamed.
      const renamed = { run: 'run', reset: 'reset', class_names: 'names' };
      const names = Object.entries(renamed).map(([own, name]) => `-Dmodel_${own}=${name}${index}`);
      const args = [...promised, '-Wshadow', ...flags, '-c', join(out, 'model.c'), ...names, '-o', object];
      return { object, args };
    });
    // Two compilers at a time.
    const half = async (rest: number) => {
      for (let at = rest; at < compilations.length; at += 2) await compile(compilations[at]!.args);
    };
    await Promise.all([half(0), half(1)]);
    const objects = compilations.map(({ object }) => object);
    const main = join(folder, 'main.c');
    writeFileSync(main, mainText(jobs, folder, resets));
    const program = join(folder, 'main');
    await compile([...promised, ...flags, main, ...objects, '-lm', '-o', program]);
    await run(program);
    return jobs.map((_, index) => new Int8Array(readFileSync(join(folder, String(index), 'output'))));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Models in one file. More would need longer lists of arguments. */
const mostJoined = 10;

/**
 * Like `runEmittedC`, but compiles up to 10 consecutive models as one model with all their inputs and outputs, because a compiler needs
 * almost the same time for 1 model of one operator as for 10. Models are joined only if their ends have the same type.
 */
export async function runJoinedC(jobs: readonly Job[], flags: string[] = ['-O1']): Promise<Int8Array[]> {
  const groups: Job[][] = [];
  const kindOf = ({ graph }: Job) =>
    [...graph.inputs, ...graph.outputs].map((index) => graph.tensors[index]!.type).join();
  for (const job of jobs) {
    const last = groups.at(-1);
    const fits = last !== undefined && last.length < mostJoined && kindOf(last[0]!) === kindOf(job);
    if (fits && countOf(last[0]!) === countOf(job)) last.push(job);
    else groups.push([job]);
  }
  const outputs = await runEmittedC(groups.map(joinedJob), flags);
  return groups.flatMap((group, index) => {
    const rows = rowsOf(
      new Uint8Array(outputs[index]!.buffer),
      group.map(({ graph }) => bytesOf(graph, graph.outputs)),
    );
    return rows.map((parts) => new Int8Array(Buffer.concat(parts)));
  });
}

const bytesOf = ({ tensors }: Graph, indices: readonly number[]) =>
  indices.reduce(
    (sum, index) => sum + elementCount(tensors[index]!.shape) * elementBytes(tensors[index]!.type),
    0,
  );

const countOf = ({ graph, input }: Job) => input.byteLength / bytesOf(graph, graph.inputs);

/** For each of several models, its part of every run. @param sizes bytes of each model in a run */
function rowsOf(bytes: Uint8Array, sizes: readonly number[]): Uint8Array[][] {
  const rows = sizes.map((): Uint8Array[] => []);
  for (let at = 0; at < bytes.length; )
    sizes.forEach((size, index) => {
      rows[index]!.push(bytes.subarray(at, at + size));
      at += size;
    });
  return rows;
}

/** The models of several jobs as one, with the inputs of each run side by side. */
function joinedJob(jobs: readonly Job[]): Job {
  const graph: Graph = { ...jobs[0]!.graph, tensors: [], operators: [], inputs: [], outputs: [] };
  for (const { graph: own } of jobs) {
    const moved = (index: number) => (index === -1 ? -1 : index + graph.tensors.length);
    graph.operators.push(
      ...own.operators.map((operator) => ({
        ...operator,
        inputs: operator.inputs.map(moved),
        outputs: operator.outputs.map(moved),
      })),
    );
    graph.inputs.push(...own.inputs.map(moved));
    graph.outputs.push(...own.outputs.map(moved));
    graph.tensors.push(...own.tensors);
  }
  const parts: Uint8Array[] = [];
  for (let run = 0; run < countOf(jobs[0]!); run++)
    for (const { graph: own, input } of jobs) {
      const size = bytesOf(own, own.inputs);
      parts.push(new Uint8Array(input.buffer, input.byteOffset + run * size, size));
    }
  const whole = Buffer.concat(parts);
  return { graph, input: new Int8Array(whole.buffer, whole.byteOffset, whole.length) };
}

/** Returns the files emitted for a model, by path. */
export function emittedC(graph: Graph, out: string): Map<string, string> {
  return emitted('c', { out, graph, contents: writeTflite(graph), name: 'test', classes: ['a', 'b "c"'] });
}

const run = promisify(execFile);

async function compile(args: string[]): Promise<void> {
  try {
    await run('cc', args);
  } catch (error) {
    throw new Error(`cc ${args.join(' ')}: ${String((error as { stderr?: string }).stderr).slice(0, 4000)}`, {
      cause: error,
    });
  }
}

function mainText(jobs: Job[], folder: string, resets: readonly boolean[]): string {
  /** Positions of all inputs or outputs in one array, and their total size, in bytes. */
  const placesOf = ({ tensors }: Graph, indices: readonly number[]) => {
    let size = 0;
    const places = indices.map((index) => {
      const bytes = elementCount(tensors[index]!.shape) * elementBytes(tensors[index]!.type);
      size += bytes;
      return size - bytes;
    });
    return { places, size };
  };
  const calls = jobs.map(({ graph }, index) => {
    const [taken, given] = [placesOf(graph, graph.inputs), placesOf(graph, graph.outputs)];
    const typeOf = (tensor: number) => cTypeOf(graph.tensors[tensor]!);
    const [read, written] = [
      graph.inputs.map((tensor) => `const ${typeOf(tensor)} *`),
      graph.outputs.map((tensor) => `${typeOf(tensor)} *`),
    ];
    const parameters = [...read, ...written];
    const values = [
      ...taken.places.map((at, i) => `(${read[i]})(const void *)(from + ${at})`),
      ...given.places.map((at, i) => `(${written[i]})(void *)(to + ${at})`),
    ];
    return `void run${index}(${parameters.join(', ')});
void reset${index}(void);
static void call${index}(const int8_t *from, int8_t *to) { run${index}(${values.join(', ')}); }`;
  });
  const runs = jobs.map(({ graph }, index) => {
    const [taken, given] = [placesOf(graph, graph.inputs).size, placesOf(graph, graph.outputs).size];
    // After a reset, the variables of a first run are gone.
    const reset = resets[index] ? `  call${index}(input, output);\n  reset${index}();\n` : '';
    return `${reset}  run(call${index}, ${taken}, ${given}, "${join(folder, String(index))}");`;
  });
  return `#include <stdint.h>
#include <stdio.h>
${calls.join('\n')}
static _Alignas(8) int8_t input[1 << 20], output[1 << 20];
static void run(void (*model)(const int8_t *, int8_t *), size_t taken, size_t given, const char *folder) {
  char path[4096];
  snprintf(path, sizeof path, "%s/input", folder);
  FILE *from = fopen(path, "rb");
  snprintf(path, sizeof path, "%s/output", folder);
  FILE *to = fopen(path, "wb");
  while (fread(input, 1, taken, from) == taken) {
    model(input, output);
    fwrite(output, 1, given, to);
  }
  fclose(from);
  fclose(to);
}
int main(void) {
${runs.join('\n')}
  return 0;
}
`;
}
