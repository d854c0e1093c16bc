import type { Graph } from '../../formats/index.js';
import type { SignalSpec } from '../../signal/index.js';

/** What the inputs of a network are. */
export interface Layout {
  /** Inputs that are shuffled together: a field over the whole window, or one feature. */
  groups: { name: string; inputs: number[] }[];
  /** Of windows: how inputs lie, [sample][field]. Null where inputs are features. */
  window: { fields: string[]; samples: number; rateHz: number | null } | null;
}

/** Of a project: raw windows by field and time, or features by name. */
export function layoutOfSignal(signal: SignalSpec, names: readonly string[]): Layout {
  const { fields, windowSamples, resampleHz } = signal;
  if (signal.features !== 'raw' || windowSamples === 1) return layoutOfColumns(names);
  return layoutOfWindow([...fields], windowSamples, resampleHz);
}

/** Of a file: an input of rank 3 or more is a window [.., time, field], one of rank 2 is features. */
export function layoutOfFile(graph: Graph, columns: readonly string[]): Layout {
  const { shape } = graph.tensors[graph.inputs[0]!]!;
  const fields = shape.at(-1) ?? 1;
  if (shape.length < 3 || columns.length === fields) return layoutOfColumns(columns);
  const names = Array.from({ length: fields }, (_, f) => `field ${f}`);
  return layoutOfWindow(names, columns.length / fields, null);
}

function layoutOfColumns(names: readonly string[]): Layout {
  return { groups: names.map((name, i) => ({ name, inputs: [i] })), window: null };
}

function layoutOfWindow(fields: string[], samples: number, rateHz: number | null): Layout {
  const groups = fields.map((name, f) => ({
    name,
    inputs: Array.from({ length: samples }, (_, sample) => sample * fields.length + f),
  }));
  return { groups, window: { fields, samples, rateHz } };
}
