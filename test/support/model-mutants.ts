import type { Random } from '../../src/lib/core/numbers.js';
import { operatorRows } from '../../src/lib/formats/tflite/operators.js';

/** A number in a .tflite file that affects the file's meaning, with its offset in the file. */
export interface Field {
  /** The name, such as `tensor 3 shape 1`. */
  name: string;
  at: number;
  kind: 'byte' | 'int32' | 'int64' | 'float32';
}

export interface Mutant {
  /** A description of the changes, such as `tensor 3 shape 1: 4 → 5`. */
  what: string;
  file: Uint8Array;
}

interface TableAt {
  at: number;
  /** The position of each present field, by slot. */
  fields: Map<number, number>;
}

/**
 * The numbers in a file that a device reads: versions, indices, types, shapes, scales, options, lengths, and int32
 * constants. Names, signatures and weights are omitted. Works only for files from our own writer, which are known to
 * be valid.
 */
export function fieldsOf(file: Uint8Array): Field[] {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const fields: Field[] = [];
  const follow = (at: number) => at + view.getUint32(at, true);
  const tableAt = (at: number): TableAt => {
    const vtable = at - view.getInt32(at, true);
    const slots = (view.getUint16(vtable, true) - 4) / 2;
    const found = new Map<number, number>();
    for (let slot = 0; slot < slots; slot++) {
      const distance = view.getUint16(vtable + 4 + 2 * slot, true);
      if (distance !== 0) found.set(slot, at + distance);
    }
    return { at, fields: found };
  };
  const add = (table: TableAt, slot: number, kind: Field['kind'], name: string) => {
    const at = table.fields.get(slot);
    if (at !== undefined) fields.push({ name, at, kind });
  };
  const bytesOf = { byte: 1, int32: 4, int64: 8, float32: 4 };
  const list = (table: TableAt, slot: number, kind: Field['kind'], name: string) => {
    const at = table.fields.get(slot);
    if (at === undefined) return;
    const vector = follow(at);
    fields.push({ name: `${name} count`, at: vector, kind: 'int32' });
    for (let i = 0; i < view.getUint32(vector, true); i++)
      fields.push({ name: `${name} ${i}`, at: vector + 4 + i * bytesOf[kind], kind });
  };
  const tables = (table: TableAt, slot: number): TableAt[] => {
    const at = table.fields.get(slot);
    if (at === undefined) return [];
    const vector = follow(at);
    return Array.from({ length: view.getUint32(vector, true) }, (_, i) =>
      tableAt(follow(vector + 4 + 4 * i)),
    );
  };
  const model = tableAt(follow(0));
  add(model, 0, 'int32', 'schema version');
  const codes = tables(model, 1);
  codes.forEach((code, i) => {
    add(code, 0, 'byte', `code ${i} old`);
    add(code, 3, 'int32', `code ${i} builtin`);
  });
  const [graph] = tables(model, 2);
  const tensors = tables(graph!, 0);
  const ofInt32 = new Set<number>();
  tensors.forEach((tensor, i) => {
    list(tensor, 0, 'int32', `tensor ${i} shape`);
    add(tensor, 1, 'byte', `tensor ${i} type`);
    add(tensor, 2, 'int32', `tensor ${i} buffer`);
    add(tensor, 5, 'byte', `tensor ${i} variable`);
    const buffer = tensor.fields.get(2);
    const type = tensor.fields.get(1);
    if (buffer !== undefined && type !== undefined && view.getInt8(type) === 2)
      ofInt32.add(view.getUint32(buffer, true));
    const quantization = tensor.fields.get(4);
    if (quantization === undefined) return;
    const own = tableAt(follow(quantization));
    list(own, 2, 'float32', `tensor ${i} scale`);
    list(own, 3, 'int64', `tensor ${i} zero point`);
    add(own, 6, 'int32', `tensor ${i} axis`);
  });
  list(graph!, 1, 'int32', 'inputs');
  list(graph!, 2, 'int32', 'outputs');
  tables(graph!, 3).forEach((operator, i) => {
    add(operator, 0, 'int32', `operator ${i} code`);
    list(operator, 1, 'int32', `operator ${i} inputs`);
    list(operator, 2, 'int32', `operator ${i} outputs`);
    add(operator, 3, 'byte', `operator ${i} options type`);
    const options = operator.fields.get(4);
    if (options === undefined) return;
    const own = tableAt(follow(options));
    for (const [slot, at] of own.fields) {
      // Four-byte fields are aligned to four bytes, but a one-byte field may happen to be aligned too.
      fields.push({ name: `operator ${i} option ${slot}`, at, kind: 'byte' });
      if (at % 4 === 0) fields.push({ name: `operator ${i} option ${slot}`, at, kind: 'int32' });
      if (at % 4 === 0) fields.push({ name: `operator ${i} option ${slot}`, at, kind: 'float32' });
    }
  });
  tables(model, 4).forEach((buffer, i) => {
    const at = buffer.fields.get(0);
    if (at === undefined) return;
    const vector = follow(at);
    fields.push({ name: `buffer ${i} length`, at: vector, kind: 'int32' });
    for (let k = 0; ofInt32.has(i) && k < Math.min(16, view.getUint32(vector, true) / 4); k++)
      fields.push({ name: `buffer ${i} number ${k}`, at: vector + 4 + 4 * k, kind: 'int32' });
  });
  return fields;
}

const codes = Object.values(operatorRows).map(({ code }) => code);
const wholeNumbers = [
  -1,
  0,
  1,
  2,
  3,
  4,
  5,
  6,
  7,
  8,
  9,
  16,
  127,
  128,
  255,
  65536,
  2 ** 24,
  2 ** 31 - 1,
  -(2 ** 31),
];
const realNumbers = [
  ...[0, 1, -1, 1e-9, 1e-30, 1e-38, 1e-42, 1e9, 1e30, Number.NaN, Number.POSITIVE_INFINITY],
  ...[1 / 256, 1 / 128, 16, 15.999, 1e-7, 4e-10],
];

/** Returns the file with one or two changed fields. The same random numbers yield the same mutants. */
export function mutantOf(file: Uint8Array, fields: readonly Field[], random: Random): Mutant {
  const changed = file.slice();
  const view = new DataView(changed.buffer);
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)]!;
  const what: string[] = [];
  for (let change = random() < 0.75 ? 1 : 2; change > 0; change--) {
    const { name, at, kind } = pick(fields);
    if (kind === 'byte') {
      const before = view.getInt8(at);
      const value = pick([...wholeNumbers, before + 1, before - 1, pick(codes)]) & 255;
      view.setUint8(at, value);
      what.push(`${name}: ${before} → ${value}`);
    } else if (kind === 'float32') {
      const before = view.getFloat32(at, true);
      const value = pick([...realNumbers, 2 * before, before / 2, -before, before * (1 + 2 ** -20)]);
      view.setFloat32(at, value, true);
      what.push(`${name}: ${before} → ${value}`);
    } else {
      const before = view.getInt32(at, true);
      const value = pick([...wholeNumbers, before + 1, before - 1, 2 * before, -before, before >> 1]) | 0;
      view.setInt32(at, value, true);
      what.push(`${name}: ${before} → ${value}`);
    }
  }
  return { what: what.join(', '), file: changed };
}
