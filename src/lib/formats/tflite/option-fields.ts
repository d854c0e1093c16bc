import type { Builder } from 'flatbuffers';
import { builder as mapBuilder, toReference } from 'flatbuffers/js/flexbuffers.js';
import { malformed, unsupported } from './errors.js';
import { tensorTypeCode, tensorTypeOf } from './graph.js';
import { activations, mirrorModes, paddings, type Table } from './schema.js';

/** A field of an operator's options table: its position, and how to read and write it. */
export interface OptionField {
  slot: number;
  /** Key in the operator's options; null = the field has no key and must have its default value. */
  name: string | null;
  read: (table: Table, where: string) => unknown;
  /** Writes vectors and other data that must be written before the table. */
  prepare?: (builder: Builder, value: unknown) => number;
  write: (builder: Builder, value: unknown, prepared: number) => void;
}

function enumeration(slot: number, name: string, names: readonly string[]): OptionField {
  return {
    slot,
    name,
    read: (table, where) => {
      const code = table.int8(slot, 0);
      const value = names[code];
      if (value === undefined)
        throw unsupported(where, `unknown ${name} ${code} (known: ${names.join(', ')})`);
      return value;
    },
    write: (builder, value) => builder.addFieldInt8(slot, names.indexOf(value as string), 0),
  };
}

export const padding = (slot: number) => enumeration(slot, 'padding', paddings);
export const mirrorMode = (slot: number) => enumeration(slot, 'mode', mirrorModes);
export const activation = (slot: number) => enumeration(slot, 'activation', activations);

/** An i32 that must be at least 1: strides, dilations, filter sizes. */
export function positive(slot: number, name: string, absent = 0): OptionField {
  return {
    slot,
    name,
    read: (table, where) => {
      const value = table.int32(slot, absent);
      if (value < 1) throw malformed(where, `expected ${name} of at least 1, got ${value}`);
      return value;
    },
    write: (builder, value) => builder.addFieldInt32(slot, value as number, absent),
  };
}

export function float(slot: number, name: string): OptionField {
  return {
    slot,
    name,
    read: (table) => table.float32(slot, 0),
    write: (builder, value) => builder.addFieldFloat32(slot, value as number, 0),
  };
}

export function flag(slot: number, name: string): OptionField {
  return {
    slot,
    name,
    read: (table) => table.uint8(slot, 0) !== 0,
    write: (builder, value) => builder.addFieldInt8(slot, Number(value), 0),
  };
}

/** A bool that only some files contain. False is omitted from the options. */
export function optionalFlag(slot: number, name: string): OptionField {
  return { ...flag(slot, name), read: (table) => (table.uint8(slot, 0) !== 0 ? true : undefined) };
}

/** A bool that is true unless a file contains false. True is omitted from the options. */
export function unlessFalse(slot: number, name: string): OptionField {
  return {
    slot,
    name,
    read: (table) => (table.uint8(slot, 1) !== 0 ? undefined : false),
    write: (builder, value) => builder.addFieldInt8(slot, value === false ? 0 : 1, 1),
  };
}

/** An i32 of any value: axes, masks. */
export function integer(slot: number, name: string): OptionField {
  return {
    slot,
    name,
    read: (table) => table.int32(slot, 0),
    write: (builder, value) => builder.addFieldInt32(slot, value as number, 0),
  };
}

/** A string. An absent string is omitted from the options. */
export function text(slot: number, name: string): OptionField {
  return {
    slot,
    name,
    read: (table) => table.cString(slot),
    prepare: (builder, value) => (value === undefined ? 0 : builder.createString(value as string)),
    write: (builder, _value, prepared) => builder.addFieldOffset(slot, prepared, 0),
  };
}

export function integers(slot: number, name: string): OptionField {
  return {
    slot,
    name,
    read: (table) => table.int32s(slot),
    prepare: (builder, value) => int32Vector(builder, value as number[]),
    write: (builder, _value, prepared) => builder.addFieldOffset(slot, prepared, 0),
  };
}

/** A tensor type that only some files contain. The default, float32, is omitted from the options. */
export function optionalType(slot: number, name: string): OptionField {
  return {
    slot,
    name,
    read: (table, where) => {
      const code = table.int8(slot, 0);
      const type = tensorTypeOf(code);
      if (type === undefined) throw unsupported(where, `unknown ${name} ${code}`);
      return type === 'float32' ? undefined : type;
    },
    write: (builder, value) =>
      builder.addFieldInt8(slot, value === undefined ? 0 : tensorTypeCode(value as never), 0),
  };
}

/** A byte or i32 that must be 0. */
export function zero(slot: number, what: string, bytes: 1 | 4 = 1): OptionField {
  return {
    slot,
    name: null,
    read: (table, where) => {
      const value = bytes === 1 ? table.int8(slot, 0) : table.int32(slot, 0);
      if (value !== 0) throw unsupported(where, `${what} ${value} is not supported`);
      return undefined;
    },
    write: () => {},
  };
}

/** An option byte with a single supported value, which is also written. */
export function only(slot: number, what: string, supported: number): OptionField {
  return {
    slot,
    name: null,
    read: (table, where) => {
      const value = table.int8(slot, 0);
      if (value !== supported)
        throw unsupported(where, `${what} ${value} is not supported (expected ${supported})`);
      return undefined;
    },
    write: (builder) => builder.addFieldInt8(slot, supported, 0),
  };
}

/** An entry in the FlexBuffers map that contains a custom operator's options: an integer, or a bool if `most` is absent. */
export interface MapField {
  key: string;
  /** Key in the operator's options. */
  name: string;
  least: number;
  most?: number;
}

/** An integer from `least` to `most`. */
export function entry(key: string, least: number, most: number): MapField {
  return { key, name: camelCase(key), least, most };
}

/** A bool. */
export function flagEntry(key: string): MapField {
  return { key, name: camelCase(key), least: 0 };
}

function camelCase(key: string): string {
  return key.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase());
}

/**
 * Reads the options of a custom operator. TFLite Micro reads the values by position, so the map must contain exactly these keys.
 * @param bytes a FlexBuffers map (flatbuffers.dev/flexbuffers)
 * @throws AIOT_TFLITE_MALFORMED, AIOT_TFLITE_UNSUPPORTED for a value out of range
 */
export function readOptionMap(
  bytes: Uint8Array,
  fields: readonly MapField[],
  where: string,
): Record<string, number | boolean> {
  const values = mapValues(bytes, fields);
  if (values === undefined)
    throw malformed(
      where,
      `expected a map of ${fields.map(({ key }) => key).join(', ')} as options, got ${bytes.length} other bytes`,
    );
  const options: Record<string, number | boolean> = {};
  fields.forEach(({ key, name, least, most = 1 }, at) => {
    const value = values[at]!;
    const range = least === most ? `${least}` : `${least} to ${most}`;
    if (!(value >= least && value <= most))
      throw unsupported(where, `${key} ${value} is not supported (expected ${range})`);
    options[name] = fields[at]!.most === undefined ? value !== 0 : value;
  });
  return options;
}

/** The integers of these fields; undefined if the bytes are anything but a map of them. The library checks all offsets. */
function mapValues(bytes: Uint8Array, fields: readonly MapField[]): number[] | undefined {
  try {
    const map = toReference(new Uint8Array(bytes).buffer);
    if (!map.isMap() || map.length() !== fields.length) return undefined;
    const values = fields.map(({ key }) => {
      // The library's type definitions lack the keys of maps.
      const value = map.get(key as never);
      return value.isBool() ? Number(value.boolValue()) : Number(value.intValue() ?? Number.NaN);
    });
    return values.every(Number.isSafeInteger) ? values : undefined;
  } catch {
    return undefined;
  }
}

/** Options as a FlexBuffers map. */
export function writeOptionMap(
  fields: readonly MapField[],
  options: Readonly<Record<string, unknown>>,
): Uint8Array {
  const map = mapBuilder();
  map.startMap();
  for (const { key, name } of fields) {
    map.addKey(key);
    const value = options[name];
    if (typeof value === 'boolean') map.add(value);
    else map.addInt(value as number);
  }
  map.end();
  return map.finish();
}

/** A vector of i32. */
export function int32Vector(builder: Builder, values: readonly number[]): number {
  builder.startVector(4, values.length, 4);
  for (let i = values.length - 1; i >= 0; i--) builder.addInt32(values[i]!);
  return builder.endVector();
}
