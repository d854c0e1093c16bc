import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import { readTflite } from '../../src/lib/formats/tflite/read.js';
import { writeTflite } from '../../src/lib/formats/tflite/write.js';
import { readSource } from '../../src/lib/model/import/open.js';
import { simplifyGraph } from '../../src/lib/model/network/simplify.js';
import { createInterpreter } from '../../src/lib/runtime/interpreter/interpreter.js';
import { floatView, openLiteRt } from '../../src/lib/runtime/litert.js';
import { runCli } from './cli.js';

/** Compares imported ONNX files with results that a third party stored beside them. */

/** Inputs and results of one model, NAME.json beside NAME.onnx. */
export interface Answers {
  shape: number[];
  inputs: (number | null)[][];
  outputShape: number[];
  outputs: (number | null)[][];
  values: Record<string, number>;
  output?: string;
  /** The output that the onnx package carries for an operator test. */
  wheel?: (number | null)[];
  /** For a quantized output: each element's step, and its least and greatest value. */
  step?: number[];
  low?: number[];
  high?: number[];
}

/** The elements in the order that the imported model stores them in. */
export function stored<T>(values: T[], shape: readonly number[], axes: readonly number[] | undefined): T[] {
  if (axes === undefined) return values;
  const steps = shape.map((_, k) => shape.slice(k + 1).reduce((a, b) => a * b, 1));
  const out: T[] = [];
  const walk = (k: number, at: number): void => {
    if (k === axes.length) out.push(values[at]!);
    else for (let i = 0; i < shape[axes[k]!]!; i++) walk(k + 1, at + i * steps[axes[k]!]!);
  };
  walk(0, 0);
  return out;
}

/** Returns the largest difference from ONNX Runtime, relative to values above 1, for our interpreter and, if requested, for LiteRT. */
export async function difference(...given: Parameters<typeof differences>): Promise<number> {
  return (await differences(...given)).runtime;
}

/**
 * Returns the same difference, and that from the results in the onnx package. If the file's output is quantized, half a step is not a
 * difference, and values end where its integers end.
 */
export async function differences(path: string, name: string, { litert = false, shapes = {} } = {}) {
  const about = JSON.parse(readFileSync(join(path, `${name}.json`), 'utf8')) as Answers;
  const { graph, axes } = await readSource(join(path, `${name}.onnx`), {
    shapes: new Map(Object.entries(shapes)),
    values: new Map(Object.entries(about.values)),
    outputs: about.output === undefined ? undefined : [about.output],
  });
  const simple = simplifyGraph(graph);
  const interpreter = createInterpreter(floatView(simple));
  const other = litert ? await openLiteRt(writeTflite(simple)) : undefined;
  const ordered = <T>(list: T[]) =>
    list.length === 0 ? list : stored(list, about.outputShape, axes?.outputs[0]);
  const steps =
    about.step && ordered(about.step.map((step, i) => [step, about.low![i]!, about.high![i]!] as const));
  const values = interpreter.inputTensors[0]!.type === 'int32' ? Int32Array : Float32Array;
  const worst = { runtime: 0, wheel: 0 };
  about.inputs.forEach((input, row) => {
    const x = values.from(stored(input as number[], about.shape, axes?.inputs[0]));
    const results = [interpreter.invoke(x), ...(other ? [other.predict(x as Float32Array)] : [])];
    for (const judge of ['runtime', 'wheel'] as const) {
      const want = ordered(judge === 'runtime' ? about.outputs[row]! : (about.wheel ?? []));
      for (const got of results) {
        const isKnown = judge === 'runtime' || about.wheel !== undefined;
        if (isKnown && got.length !== want.length) worst[judge] = Number.POSITIVE_INFINITY;
        want.forEach((value, i) => {
          if (value === null) return;
          const [step, low, high] = steps?.[i] ?? [0, Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY];
          const apart = Math.abs(Math.min(high!, Math.max(low!, got[i]!)) - value) - step! / 2;
          const off = Math.max(0, apart) / Math.max(1, Math.abs(value));
          worst[judge] = off > worst[judge] || Number.isNaN(off) ? off : worst[judge];
        });
      }
    }
  });
  other?.close();
  return worst;
}

export interface Quantized {
  /** The int8 model. */
  file: Uint8Array;
  /** Inputs and wanted outputs, stored in the order of the model's axes. */
  rows: number[][];
  wanted: number[][];
}

/** Imports a model and quantizes it to int8 with our commands. @param folder for the files that this writes */
export async function quantizedBy(folder: string, origin: string, name: string): Promise<Quantized> {
  const [out, int8, csv] = ['float.tflite', 'int8.tflite', 'rows.csv'].map((file) =>
    join(folder, `${name}.${file}`),
  ) as [string, string, string];
  const source = join(origin, name);
  const about = JSON.parse(readFileSync(`${source}.json`, 'utf8')) as Answers;
  const imported = await runCli(['model', 'import', `${source}.onnx`, '--out', out, '--json']);
  expect(imported, name).toMatchObject({ code: 0, json: { format: 'onnx', file: out } });
  type Ends = { axes?: number[] }[];
  const { inputs, outputs } = imported.json as { inputs: Ends; outputs: Ends };
  const rows = about.inputs.map((input) => stored(input as number[], about.shape, inputs[0]!.axes));
  const header = rows[0]!.map((_, k) => `f${k}`).join(',');
  writeFileSync(csv, [header, ...rows.map((row) => row.join(','))].join('\n'));
  const ran = await runCli(['model', 'quantize', out, '--data', csv, '--out', int8, '--json']);
  expect(ran, name).toMatchObject({ code: 0, json: { mode: 'int8' } });
  const wanted = about.outputs.map((output) =>
    stored(output as number[], about.outputShape, outputs[0]!.axes),
  );
  return { file: new Uint8Array(readFileSync(int8)), rows, wanted };
}

/** The signal-to-noise ratio of an int8 model's outputs, in decibels. */
export function decibelsOf({ file, rows, wanted }: Quantized, name: string): number {
  const interpreter = createInterpreter(floatView(readTflite(file)));
  const [signal, noise] = [{ power: 0 }, { power: 0 }];
  rows.forEach((row, at) => {
    const got = interpreter.invoke(Float32Array.from(row));
    expect(got, name).toHaveLength(wanted[at]!.length);
    wanted[at]!.forEach((value, i) => {
      signal.power += value ** 2;
      noise.power += (value - got[i]!) ** 2;
    });
  });
  return 10 * Math.log10(signal.power / noise.power);
}

/** Loss limit of int8 networks: the ratio of the outputs to the differences from them. */
export const leastDecibels = 30;
