import { AiotError } from '../../core/index.js';
import { networkFigures } from '../evaluate/figures-of-network.js';
import { judge, type Verdict } from '../evaluate/judge.js';
import { argMaxRows } from '../evaluate/metrics.js';
import type { OutputKind } from '../evaluate/output-kind.js';
import { pairedDifference } from '../evaluate/paired.js';
import { openNetwork, predictRows, type RunningNetwork, type Runtime } from '../evaluate/predict.js';
import type { Comparison } from './result.js';
import { rowsOfProject, rowsOfTable, type SharedRows } from './rows.js';
import { type GetVersion, type Opened, openSide, sideOf } from './side.js';

export interface CompareOptions {
  /** Files (.tflite, .aiot), folders of projects whose builds they are, or versions (`har@3`), where `getVersion` is given. */
  a: string;
  b: string;
  /** A CSV file; absent = the test part of the project that one of them is, or nothing. */
  data?: string;
  getVersion?: GetVersion;
  label?: string;
  output?: OutputKind;
  classes?: readonly string[];
  runtime?: Runtime;
  signal?: AbortSignal;
}

const mostExamples = 20;

/**
 * Compares two models: what their files say, and what they answer to the same rows.
 * @throws AIOT_FILE_NOT_FOUND, AIOT_TFLITE_*, AIOT_BUNDLE_MALFORMED, AIOT_MODEL_NOT_BUILT, AIOT_MODEL_UNFIT (they answer with
 *   different things), and what reading the rows throws
 */
export async function compareModels(options: CompareOptions): Promise<Comparison> {
  const { runtime = 'litert' } = options;
  const sides: [Opened, Opened] = [
    await openSide(options.a, options.getVersion),
    await openSide(options.b, options.getVersion),
  ];
  const [a, b] = sides.map(sideOf);
  const nothing = { ...emptyHanded, runtime, a: { ...a!, figures: null }, b: { ...b!, figures: null } };
  const project = sides.find((side) => side.project !== null)?.project ?? null;
  if (options.data === undefined && project === null)
    return { ...nothing, notes: ['without --data only the files were compared'] };
  const networks: RunningNetwork[] = [];
  try {
    for (const { model } of sides) networks.push(await openNetwork(model.network, runtime));
    const [first, second] = networks as [RunningNetwork, RunningNetwork];
    if (first.outputs !== second.outputs)
      throw new AiotError(
        'AIOT_MODEL_UNFIT',
        `expected two models with as many outputs, got ${first.outputs} and ${second.outputs}`,
        { next: 'Compare models that answer the same question.' },
      );
    const rows =
      options.data === undefined
        ? await rowsOfProject(sides, project!)
        : await rowsOfTable(sides, [first.inputs, second.inputs], first.outputs, {
            ...options,
            data: options.data,
          });
    const outputs = [first, second].map((network, i) =>
      predictRows(network, rows.inputs[i]!, options.signal),
    );
    return { ...nothing, ...answersCompared(rows, outputs[0]!, outputs[1]!, first.outputs, nothing) };
  } finally {
    for (const network of networks) network.close();
  }
}

const emptyHanded = {
  data: null,
  output: null,
  n: 0,
  paired: null,
  disagreement: null,
  largestDifference: null,
  notes: [] as string[],
};

function answersCompared(
  rows: SharedRows,
  a: Float32Array,
  b: Float32Array,
  width: number,
  sides: Pick<Comparison, 'a' | 'b'>,
): Partial<Comparison> & Pick<Comparison, 'a' | 'b'> {
  const n = a.length / width;
  const [first, second] = [a, b].map((outputs, i) => verdictOf(rows, outputs, rows.inputs[i]!, width));
  const named = [
    first!.predicted ?? namedBy(rows, a, width),
    second!.predicted ?? namedBy(rows, b, width),
  ] as const;
  const { truth } = rows;
  const labelled = truth !== null || rows.values !== null;
  const figures = (verdict: Verdict) => (labelled ? networkFigures(verdict) : null);
  return {
    a: { ...sides.a, figures: figures(first!) },
    b: { ...sides.b, figures: figures(second!) },
    data: rows.data,
    output: rows.kind,
    n,
    paired:
      truth && named[0] && named[1]
        ? pairedDifference(
            n,
            (row) => named[0]![row] === truth[row],
            (row) => named[1]![row] === truth[row],
          )
        : null,
    disagreement: named[0] && named[1] ? disagreementOf(rows, named[0], named[1]) : null,
    largestDifference: a.reduce((most, value, i) => Math.max(most, Math.abs(value - b[i]!)), 0),
    notes: rows.notes,
  };
}

function verdictOf(rows: SharedRows, outputs: Float32Array, inputs: Float32Array, width: number): Verdict {
  const truth = rows.truth ?? new Int32Array(outputs.length / width);
  const values = rows.values ?? outputs;
  return judge({ ...rows, outputs, width, inputs, truth, values, resample: false });
}

/** Classes of rows without labels. */
function namedBy({ kind, threshold }: SharedRows, outputs: Float32Array, width: number): Int32Array | null {
  if (kind === 'classes') return argMaxRows(outputs, width);
  return kind === 'probability' ? Int32Array.from(outputs, (p) => Number(p >= (threshold ?? 0.5))) : null;
}

function disagreementOf(
  { truth, classes }: SharedRows,
  a: Int32Array,
  b: Int32Array,
): Comparison['disagreement'] {
  const differing = Array.from(a, (_, row) => row).filter((row) => a[row] !== b[row]);
  const said = (row: number) => ({
    truth: truth ? classes[truth[row]!]! : null,
    a: classes[a[row]!]!,
    b: classes[b[row]!]!,
  });
  const counts = new Map<string, { truth: string | null; a: string; b: string; rows: number }>();
  for (const row of differing) {
    const one = said(row);
    const key = JSON.stringify(one);
    const known = counts.get(key) ?? { ...one, rows: 0 };
    known.rows += 1;
    counts.set(key, known);
  }
  return {
    rows: differing.length,
    share: differing.length / Math.max(1, a.length),
    table: [...counts.values()].sort((x, y) => y.rows - x.rows),
    examples: differing.slice(0, mostExamples).map((row) => ({ row: row + 1, ...said(row) })),
  };
}
