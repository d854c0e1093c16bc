import { AiotError } from '../../core/errors.js';
import { type Graph, hasForest } from '../../formats/tflite/graph.js';
import { type Outline, outlineTflite } from '../../formats/tflite/outline.js';
import { importTflite } from '../../formats/tflite/read.js';
import { arenaBytes, planArena } from '../../runtime/arena.js';
import { checkGolden } from '../bundle/golden.js';
import { macsOf, type Precision, parameterCount, precisionOf, refusalOfMicro } from './costs.js';
import type { Inspection } from './inspection.js';
import { readModelFile } from './model-file.js';

/**
 * The contents of a .tflite or .aiot file and the cost of running its network, even with unknown operators. Validates a bundle, and runs
 * its golden vectors.
 * @throws AIOT_FILE_NOT_FOUND, AIOT_TFLITE_MALFORMED with the byte offset, AIOT_BUNDLE_MALFORMED
 */
export async function inspectModel(file: string): Promise<Inspection> {
  const model = await readModelFile(file);
  const { kind, bytes, digest, network, bundle } = model;
  const golden = bundle && checkGolden(bundle);
  return {
    file,
    kind,
    bytes,
    networkBytes: network.length,
    digest,
    ...inspectNetwork(network),
    bundle:
      bundle && golden
        ? { info: bundle.info, golden: { vectors: golden.vectors, passed: golden.passed } }
        : null,
  };
}

type Network = Omit<Inspection, 'file' | 'kind' | 'bytes' | 'networkBytes' | 'digest' | 'bundle'>;

/**
 * The tensors, operators and costs of a .tflite file. Fields that require known operators (arena, options) are omitted if some operators
 * are unknown, as explained in `notes`.
 * @throws AIOT_TFLITE_MALFORMED with the byte offset
 */
export function inspectNetwork(bytes: Uint8Array): Network {
  const outline = outlineTflite(bytes);
  const { graph, notes } = graphOf(bytes, outline);
  const operators = operatorsOf(outline, graph);
  const tensors = outline.tensors.map(({ signature: _, variable: __, ...tensor }, index) => ({
    index,
    ...tensor,
  }));
  const end = (index: number) => {
    const { bytes: _, constant: __, ...rest } = tensors[index]!;
    return rest;
  };
  const refusal = graph && refusalOfMicro(graph);
  if (refusal) notes.push(refusal);
  const counted = operators.map(({ macs }) => macs);
  if (counted.includes(null)) notes.push('the multiply-adds of some operators are unknown');
  return {
    description: outline.description,
    precision: graph ? precisionOf(graph) : precisionOfOutline(outline),
    parameters: parameterCount(outline.operators, outline.tensors),
    macs: counted.includes(null) ? null : counted.reduce<number>((sum, macs) => sum + (macs ?? 0), 0),
    ...arenaOf(graph, refusal === null),
    inputs: outline.inputs.map(end),
    outputs: outline.outputs.map(end),
    tensors,
    operators,
    subgraphs: outline.subgraphs,
    signatures: outline.signatures,
    metadata: outline.metadata,
    notes,
  };
}

/** The graph, or null and a note if the file uses unsupported features. */
function graphOf(bytes: Uint8Array, outline: Outline): { graph: Graph | null; notes: string[] } {
  try {
    const { graph, notes } = importTflite(bytes);
    return { graph, notes: [...notes] };
  } catch (error) {
    if (!(error instanceof AiotError)) throw error;
    if (error.code === 'AIOT_TFLITE_UNSUPPORTED')
      return {
        graph: null,
        notes: [`aiot cannot run this model, so its arena is unknown: ${error.message}`],
      };
    // A contradiction between several tables has no single offset, so the first operator's table is named.
    const at = outline.operators[0]?.at ?? 0;
    const place = error.message.startsWith('byte') ? '' : `from byte ${at}, `;
    throw error.reworded(place + error.message, { cause: error });
  }
}

/** The outline's operators, with options from the graph. Omits options if reading the graph changed the number of operators by folding. */
function operatorsOf({ operators, tensors }: Outline, graph: Graph | null): Network['operators'] {
  const same = graph?.operators.length === operators.length ? graph.operators : [];
  return operators.map(({ op, version, known, inputs, outputs }, index) => ({
    index,
    op,
    version,
    known,
    inputs,
    outputs,
    options: { ...same[index]?.options },
    macs: macsOf(
      op,
      inputs.map((i) => tensors[i]?.shape),
      tensors[outputs[0] ?? -1]?.shape,
    ),
  }));
}

function arenaOf(graph: Graph | null, runs: boolean): Pick<Network, 'arena' | 'arenaBytes'> {
  if (graph === null || !runs) return { arena: null, arenaBytes: null };
  if (hasForest(graph)) return { arena: null, arenaBytes: 0 };
  const { head, tail, smallest, pieces } = planArena(graph);
  return {
    arenaBytes: arenaBytes(graph),
    arena: {
      head,
      tail,
      smallest,
      pieces: pieces.map(({ tensor = null, operator = null, ...piece }) => ({ tensor, operator, ...piece })),
    },
  };
}

/** For a file with unknown operators: the type of the larger constants. */
function precisionOfOutline({ tensors }: Outline): Precision | null {
  const bytes = new Map<string, number>();
  for (const { type, constant, bytes: size } of tensors)
    if (constant && type !== 'int32' && type !== 'int64')
      bytes.set(type, (bytes.get(type) ?? 0) + (size ?? 0));
  const [most] = [...bytes].sort((a, b) => b[1] - a[1]);
  if (most?.[0] === 'float32' || most?.[0] === 'float16') return most[0];
  return null;
}
