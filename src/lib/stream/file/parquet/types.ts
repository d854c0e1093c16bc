import type { BasicType } from 'hyparquet-writer';
import { AiotError } from '../../../core/index.js';
import type { Cell } from '../rows.js';

/** How a column is stored, as `?fields=count:int64` says it. */
export const columnTypes = {
  boolean: 'BOOLEAN',
  double: 'DOUBLE',
  float: 'FLOAT',
  int32: 'INT32',
  int64: 'INT64',
  string: 'STRING',
  timestamp: 'TIMESTAMP',
} as const satisfies Record<string, BasicType>;
export type ColumnType = keyof typeof columnTypes;

export interface Column {
  name: string;
  type: ColumnType;
}

/** `name` or `name:type`. @throws AIOT_STREAM_URL */
export function chosenColumn(field: string, where: string): { name: string; type?: ColumnType } {
  const colon = field.lastIndexOf(':');
  if (colon < 0) return { name: field };
  const type = field.slice(colon + 1);
  if (Object.hasOwn(columnTypes, type)) return { name: field.slice(0, colon), type: type as ColumnType };
  throw new AiotError(
    'AIOT_STREAM_URL',
    `${where}: fields: expected one of ${Object.keys(columnTypes).join(', ')} after the colon, got "${type}"`,
  );
}

/**
 * The type for all values of a column that was not given one. Numbers are doubles even where all are whole: the next file of
 * the same readings must not have another type.
 */
export function typeOf(kinds: ReadonlySet<string>): ColumnType {
  if (kinds.size !== 1) return 'string';
  return kinds.has('number') ? 'double' : kinds.has('boolean') ? 'boolean' : 'string';
}

/** What the library takes for a cell of this type; null = nothing, also where the value cannot be of the type. */
export function stored(cell: Cell, type: ColumnType): unknown {
  if (cell === undefined) return null;
  switch (type) {
    case 'string':
      return String(cell);
    case 'boolean':
      return typeof cell === 'boolean' ? cell : null;
    case 'timestamp': {
      const time = typeof cell === 'number' ? cell : Date.parse(String(cell));
      return Number.isFinite(time) ? new Date(time) : null;
    }
    case 'int64':
      return Number.isSafeInteger(Number(cell)) && cell !== '' ? BigInt(Number(cell)) : null;
    case 'int32':
      return (Number(cell) | 0) === Number(cell) ? Number(cell) : null;
    default: {
      const value = typeof cell === 'boolean' ? Number.NaN : Number(cell);
      return Number.isNaN(value) ? null : value;
    }
  }
}
