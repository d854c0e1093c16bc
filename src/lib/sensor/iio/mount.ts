import { AiotError } from '../../core/index.js';
import { channelAttribute, kindOf } from './channels.js';

/** Turns the three axes of one kind in a record: row by row of the matrix. */
export interface Turn {
  /** Where x, y and z lie in a record. */
  axes: readonly [number, number, number];
  matrix: readonly number[];
}

const identity = [1, 0, 0, 0, 1, 0, 0, 0, 1];

/**
 * Reads `in_mount_matrix`: `1, 0, 0; 0, 1, 0; 0, 0, 1`, from the chip's axes to the machine's (Linux,
 * Documentation/ABI/testing/sysfs-bus-iio).
 * @throws AIOT_SENSOR_FAILED
 */
export function parseMountMatrix(text: string): number[] {
  const rows = text.split(';').map((row) => row.split(',').map((cell) => cell.trim()));
  const cells = rows.flat().map(Number);
  const whole = rows.length === 3 && rows.every((row) => row.length === 3 && !row.includes(''));
  if (whole && cells.every(Number.isFinite)) return cells;
  throw new AiotError('AIOT_SENSOR_FAILED', `expected a mount matrix of three rows of three, got ${text}`);
}

/** How the records of these channels are to be turned: for each kind with all of x, y and z, unless it stands straight. */
export async function mountTurns(folder: string, names: readonly string[]): Promise<Turn[]> {
  const turns: Turn[] = [];
  for (const kind of new Set(names.map(kindOf))) {
    const axes = ['x', 'y', 'z'].map((axis) => names.indexOf(`${kind}_${axis}`)) as [number, number, number];
    if (axes.includes(-1)) continue;
    const found = await channelAttribute(folder, kind, 'mount_matrix');
    if (!found) continue;
    const matrix = parseMountMatrix(found.text);
    if (matrix.some((cell, at) => cell !== identity[at])) turns.push({ axes, matrix });
  }
  return turns;
}

/** Turns the record that begins at `from`, in place. */
export function turn(values: Float64Array, from: number, { axes, matrix }: Turn): void {
  const [x, y, z] = axes.map((axis) => values[from + axis]!) as [number, number, number];
  for (const [row, axis] of axes.entries()) {
    values[from + axis] = matrix[row * 3]! * x + matrix[row * 3 + 1]! * y + matrix[row * 3 + 2]! * z;
  }
}
