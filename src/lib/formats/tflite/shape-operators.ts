import type { OptionField } from './option-fields.js';
import { flag, integer, optionalType } from './option-fields.js';

/** Operators that exist in files to compute shapes for an open batch. They are folded away while reading. */
export type ShapeOperatorName = 'SHAPE' | 'PACK' | 'GATHER' | 'REDUCE_PROD';

export interface ShapeOperator {
  op: ShapeOperatorName;
  inputs: number[];
  outputs: number[];
  options: Record<string, unknown>;
}

/** The part of an operator's row that reading takes. */
export interface ReadRow {
  code: number;
  optionsType: number;
  fields: OptionField[];
  inputs: [least: number, most: number];
  outputs?: (options: never) => number;
}

export const shapeRows: Readonly<Record<ShapeOperatorName, ReadRow>> = {
  SHAPE: { code: 77, optionsType: 55, fields: [optionalType(0, 'outType')], inputs: [1, 1] },
  PACK: {
    code: 83,
    optionsType: 59,
    fields: [integer(0, 'valuesCount'), integer(1, 'axis')],
    inputs: [1, 64],
  },
  GATHER: {
    code: 36,
    optionsType: 23,
    fields: [integer(0, 'axis'), integer(1, 'batchDims')],
    inputs: [2, 2],
  },
  REDUCE_PROD: { code: 81, optionsType: 27, fields: [flag(0, 'keepDims')], inputs: [2, 2] },
};

const byCode = new Map((Object.keys(shapeRows) as ShapeOperatorName[]).map((op) => [shapeRows[op].code, op]));

/** The shape operator with this builtin code, or undefined. */
export function shapeOperatorOf(code: number): ShapeOperatorName | undefined {
  return byCode.get(code);
}
