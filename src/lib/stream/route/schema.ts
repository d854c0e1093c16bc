import { z } from 'zod';
import { byteSize, duration, expression, name, oneOrMore } from './fields.js';
import { presetNames } from './presets.js';

/** What a route's case says of a message. `payload`: a string is text, anything else JSON; bytes are written in `hex`. */
const given = {
  topic: z.string().optional(),
  payload: z.unknown().optional(),
  hex: z
    .string()
    .regex(/^([0-9a-fA-F]{2})*$/, 'expected pairs of hex digits')
    .optional(),
  key: z.union([z.string(), z.number()]).transform(String).optional(),
  headers: z.record(z.string(), z.union([z.string(), z.number()]).transform(String)).optional(),
};
/** `time`: ms since 1970. */
const inputMessage = z.strictObject({ ...given, time: z.number().optional() });
const outputMessage = z.strictObject(given);

export const routeCaseSchema = z.strictObject({
  name: z.string().min(1),
  in: oneOrMore(inputMessage),
  /** What goes to the sinks, in its order; nothing = it is filtered out. */
  out: z.array(outputMessage).default([]),
  /** Text that must stand in the error, where the case is one that fails. */
  error: z.string().optional(),
});
export type RouteCase = z.output<typeof routeCaseSchema>;

const decodeSchema = z.union([
  z.string().transform((format) => ({ format, schema: undefined, type: undefined })),
  z.strictObject({
    format: z.string(),
    /** A .proto or .avsc file. */
    schema: z.string().optional(),
    /** Message type in it. */
    type: z.string().optional(),
  }),
]);

const throughSchema = z.union([
  z.string().transform((processor) => ({ processor, settings: {} as Record<string, unknown> })),
  z
    .record(z.string(), z.record(z.string(), z.unknown()))
    .refine((value) => Object.keys(value).length === 1, 'expected one processor, such as {faces: {…}}')
    .transform((value) => {
      const [[processor, settings]] = Object.entries(value) as [[string, Record<string, unknown>]];
      return { processor, settings };
    }),
]);

const onErrorSchema = z.union([
  z.enum(['retry', 'skip']).transform((policy) => ({ policy, deadLetter: undefined })),
  z
    .strictObject({ 'dead-letter': z.string().min(1) })
    .transform((value) => ({ policy: 'dead-letter' as const, deadLetter: value['dead-letter'] })),
]);

const spoolSchema = z.strictObject({
  /** Folder; relative to the file. */
  path: z.string().min(1),
  limit: byteSize.prefault('1GiB'),
  /** At the limit: hold the source up, or throw the oldest away and count them. */
  full: z.enum(['wait', 'drop-oldest']).default('wait'),
});

/** One route as its file has it. */
export const routeSchema = z.strictObject({
  /** Values for what is not written, for topics that are known. */
  preset: z.enum(presetNames).optional(),
  from: oneOrMore(z.string().min(1)),
  decode: decodeSchema.prefault('auto'),
  /** Which messages go on. */
  where: expression.optional(),
  /** Built-in processor: one message in, any number out. What follows sees what it made. */
  through: throughSchema.optional(),
  /** The payload; absent = as it came, byte for byte. A string is text, anything else JSON. */
  map: expression.optional(),
  /** A list that `map` gives is several messages. */
  each: z.boolean().default(false),
  topic: expression.optional(),
  key: expression.optional(),
  headers: z.record(z.string().min(1), expression).default({}),
  to: oneOrMore(z.string().min(1)),
  onError: onErrorSchema.prefault('retry'),
  batch: z
    .strictObject({
      /** Most messages in one write. */
      messages: z.int().min(1).max(100_000).default(1000),
      /** How long one waits for others. */
      time: duration.optional(),
    })
    .prefault({}),
  dedupe: z
    .strictObject({
      key: expression,
      window: duration.prefault('10m'),
      /** Ask the sink at the start, and after a failed write, what it has already (Kafka). */
      exactlyOnce: z.boolean().default(false),
    })
    .optional(),
  spool: spoolSchema.optional(),
  tests: z.array(routeCaseSchema).default([]),
});
export type RouteConfig = z.output<typeof routeSchema>;

/** A file of routes. */
export const routeFileSchema = z.strictObject({
  routes: z
    .record(name, routeSchema)
    .refine((routes) => Object.keys(routes).length > 0, 'expected at least one'),
});
