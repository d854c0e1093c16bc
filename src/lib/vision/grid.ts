import type { Region } from './picture.js';

/** Pixels of a picture that one cell of the output grid covers, across and down. */
export const cellSide = 8;

/** Number of rows and columns of the grid over a picture; cells at the right and lower edge may extend beyond it. */
export function gridOf({
  width,
  height,
}: {
  width: number;
  height: number;
}): [rows: number, columns: number] {
  return [Math.ceil(height / cellSide), Math.ceil(width / cellSide)];
}

/** Index of the cell that contains a point, row by row; points beyond an edge belong to the cell at the edge. */
export function cellAt(x: number, y: number, [rows, columns]: readonly [number, number]): number {
  const within = (value: number, count: number) =>
    Math.min(count - 1, Math.max(0, Math.floor(value / cellSide)));
  return within(y, rows) * columns + within(x, columns);
}

/** The center of a box. */
export function centerOf({ x, y, width, height }: Region): { x: number; y: number } {
  return { x: x + width / 2, y: y + height / 2 };
}

/** Whether two cells are the same, or neighbors in any of eight directions. */
export function touches(a: number, b: number, [, columns]: readonly [number, number]): boolean {
  const rows = Math.abs(Math.floor(a / columns) - Math.floor(b / columns));
  return rows <= 1 && Math.abs((a % columns) - (b % columns)) <= 1;
}
