import { open } from 'node:fs/promises';
import { AiotError, nearest, requireFile, systemCode } from '../../core/index.js';
import { type Column, type ColumnUse, createColumnsReader, type TextColumn } from '../../formats/index.js';
import { listIds } from '../check/text.js';
import { isEpoch, rolesOf, secondsPerUnit } from '../loose/columns.js';
import type { Rows, RowsOptions, RowTimes } from './types.js';

const pieceBytes = 1 << 20;
const predictionNames = ['prediction', 'predicted', 'inference'];

interface Roles {
  label: string | null;
  prediction: string | null;
  time: string | null;
  /** What rows belong to: a take or, without one, a device. */
  take: string | null;
  ignored: string[];
}

/**
 * A CSV file of any length as columns, read piece by piece: eight bytes a number stay.
 * @throws AIOT_FILE_NOT_FOUND, AIOT_FILE_NOT_READABLE, AIOT_CSV_COLUMNS (a column that was asked for, or no feature at all), AIOT_CSV_EMPTY,
 *   AIOT_CSV_MALFORMED
 */
export async function readCsvRows(file: string, options: RowsOptions = {}): Promise<Rows> {
  let roles: Roles | undefined;
  const useOf = (name: string, header: string[]): ColumnUse | null => {
    roles ??= rolesIn(header, file, options);
    if (name === roles.label || name === roles.take) return 'text';
    if (name === roles.time) return 'time';
    return roles.ignored.includes(name) ? 'skip' : null;
  };
  const { columns, rows } = await readColumns(file, useOf);
  const { label, prediction, time, take, ignored } = roles!;
  const find = (name: string | null) => columns.find((column) => column.name === name) ?? null;
  const special = [label, prediction, time, take];
  const features = columns.filter(({ name }) => !special.includes(name));
  if (features.length === 0 && prediction === null && label === null) {
    const got = listIds(columns.map(({ name }) => name).concat(ignored));
    throw new AiotError('AIOT_CSV_COLUMNS', `${file}:1:1: expected a column of values, got ${got} alone`);
  }
  return {
    name: file,
    from: 'csv',
    rows,
    features,
    label: find(label) as TextColumn | null,
    prediction: find(prediction),
    take: find(take) as TextColumn | null,
    time: timesOf(find(time)),
    rateHz: null,
    ignored,
  };
}

function rolesIn(header: string[], file: string, options: RowsOptions): Roles {
  const asked = (name: string | undefined) => {
    if (name === undefined || header.includes(name)) return name;
    const near = nearest(name, header);
    throw new AiotError(
      'AIOT_CSV_COLUMNS',
      `${file}:1:1: expected a column "${name}", got ${listIds(header)}`,
      {
        next: near === undefined ? 'Name a column of the first line.' : `Did you mean ${near}?`,
      },
    );
  };
  const own = rolesOf(header, asked(options.label));
  const prediction =
    asked(options.prediction) ?? header.find((name) => predictionNames.includes(name.toLowerCase())) ?? null;
  const time = asked(options.time) ?? own.time;
  const take = own.take ?? own.device;
  const roles = [own.label, prediction, time, take];
  const { columns } = options;
  const ignored = header.filter((name) => {
    if (roles.includes(name)) return false;
    // With a take, the device says no more.
    return (
      own.counter.includes(name) ||
      name === own.device ||
      name === own.time ||
      (columns ? !columns.includes(name) : false)
    );
  });
  return { label: own.label, prediction, time, take, ignored };
}

function timesOf(column: Column | null): RowTimes | null {
  if (column?.kind !== 'number' || !column.values.some(Number.isFinite)) return null;
  const seconds = column.values;
  const unit = secondsPerUnit(column.name, seconds);
  if (unit !== 1) for (let i = 0; i < seconds.length; i++) seconds[i] = seconds[i]! * unit;
  return { name: column.name, seconds, sinceEpoch: isEpoch(seconds[0]!) };
}

async function readColumns(
  file: string,
  useOf: (name: string, header: string[]) => ColumnUse | null,
): Promise<{ columns: Column[]; rows: number }> {
  await requireFile(file);
  const handle = await open(file).catch((error: unknown) => {
    throw new AiotError('AIOT_FILE_NOT_READABLE', `cannot read ${file} (${systemCode(error)})`, {
      cause: error,
    });
  });
  try {
    const { size } = await handle.stat();
    const reader = createColumnsReader(file, { useOf, bytes: size });
    // A file without a last line end gets one: one byte of room for it.
    let buffer = Buffer.allocUnsafe(Math.min(pieceBytes, size + 1));
    let kept = 0;
    for (;;) {
      if (kept === buffer.length) buffer = Buffer.concat([buffer], buffer.length * 2);
      const { bytesRead } = await handle.read(buffer, kept, buffer.length - kept, null);
      const filled = kept + bytesRead;
      if (bytesRead === 0) {
        if (filled > 0) reader.lines(Buffer.concat([buffer.subarray(0, filled), Buffer.from('\n')]));
        return reader.end();
      }
      const whole = buffer.lastIndexOf(10, filled - 1) + 1;
      if (whole > 0) reader.lines(buffer.subarray(0, whole));
      buffer.copyWithin(0, whole, filled);
      kept = filled - whole;
    }
  } finally {
    await handle.close();
  }
}
