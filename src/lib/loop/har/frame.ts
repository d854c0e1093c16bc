import { z } from 'zod';

/** A table of one row, as pandas writes it with `orient="split"`. */
const frameSchema = z.object({
  columns: z.array(z.string()).min(1),
  data: z.array(z.array(z.number().nullable())).min(1),
});

/** The `feats` message: base64 of `{"columns":[…],"index":[0],"data":[[…]]}`. */
export function encodeFrame(columns: readonly string[], row: ArrayLike<number>): Uint8Array {
  // JSON has no NaN: pandas writes null, and reads it back as NaN.
  const values = Array.from(row, (value) => (Number.isFinite(value) ? value : null));
  const text = JSON.stringify({ columns, index: [0], data: [values] });
  return Buffer.from(Buffer.from(text, 'utf8').toString('base64'), 'latin1');
}

/** Its first row by name; undefined where it is no such message. */
export function decodeFrame(payload: Uint8Array): Map<string, number> | undefined {
  let given: unknown;
  try {
    given = JSON.parse(Buffer.from(Buffer.from(payload).toString('latin1'), 'base64').toString('utf8'));
  } catch {
    return undefined;
  }
  const found = frameSchema.safeParse(given);
  const row = found.data?.data[0];
  if (!found.success || row?.length !== found.data.columns.length) return undefined;
  return new Map(found.data.columns.map((name, i) => [name, row[i] ?? Number.NaN]));
}
