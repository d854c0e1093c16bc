import { z } from 'zod';

/** A table of one row, as pandas writes it with `orient="split"`. */
const frameSchema = z.object({
  columns: z.array(z.string()).min(1),
  data: z.array(z.array(z.number().nullable())).min(1),
});

/** What stands before the values, the same for a list of names each time. */
const heads = new WeakMap<readonly string[], string>();

/** The `feats` message: base64 of `{"columns":[…],"index":[0],"data":[[…]]}`. @param columns not changed from call to call */
export function encodeFrame(columns: readonly string[], row: ArrayLike<number>): Uint8Array {
  const head = heads.get(columns) ?? `{"columns":${JSON.stringify(columns)},"index":[0],"data":[[`;
  heads.set(columns, head);
  let values = '';
  // JSON has no NaN: pandas writes null, and reads it back as NaN.
  for (let i = 0; i < row.length; i++)
    values += `${i > 0 ? ',' : ''}${Number.isFinite(row[i]) ? row[i] : 'null'}`;
  return Buffer.from(Buffer.from(`${head}${values}]]}`, 'utf8').toString('base64'), 'latin1');
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
