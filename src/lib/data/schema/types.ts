import { z } from 'zod';

export const schemaFieldSchema = z.strictObject({
  name: z.string(),
  type: z.enum(['int', 'float', 'text', 'time']),
  unit: z.string().nullable(),
  /** Least and largest value that was seen. */
  seen: z.tuple([z.number(), z.number()]).nullable(),
  /** What lies outside is a violation: what was seen, and a tenth of its span at either end; or the project's own range. */
  range: z.tuple([z.number(), z.number()]).nullable(),
  /** Share of rows without a value that was seen. */
  missing: z.number().min(0).max(1),
  /** Words that may come, of text with few of them; null = any. */
  categories: z.array(z.string()).nullable(),
});
export type SchemaField = z.output<typeof schemaFieldSchema>;

/** What rows are to be like: a file that is read, changed and committed. */
export const dataSchemaSchema = z.strictObject({
  spec: z.literal('aiot-schema/1'),
  name: z.string(),
  rows: z.int(),
  fields: z.array(schemaFieldSchema),
});
export type DataSchema = z.output<typeof dataSchemaSchema>;

export const violationSchema = z.object({
  kind: z.enum(['type', 'range', 'missing', 'category', 'infinite', 'no-column', 'new-column']),
  /** An `error` ends with exit code 6. */
  severity: z.enum(['error', 'warning']),
  column: z.string(),
  /** Which schema says so. */
  against: z.string(),
  /** Rows that break it. */
  count: z.int(),
  /** The first of them: from 1, below the header; of recordings, in the recording. */
  places: z.array(z.object({ row: z.int(), recording: z.string().nullable(), value: z.string() })),
  message: z.string(),
});
export type Violation = z.output<typeof violationSchema>;

export const schemaResultSchema = z.object({
  schema: dataSchemaSchema,
  /** What it was held against: a file, or stream.fields of a project. */
  against: z.array(z.string()),
  violations: z.array(violationSchema),
  /** No violation is an error. */
  ok: z.boolean(),
  /** The file written. */
  saved: z.string().nullable(),
});
export type SchemaResult = z.output<typeof schemaResultSchema>;
