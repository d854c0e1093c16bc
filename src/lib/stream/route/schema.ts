import * as z from 'zod';
import { parseDuration } from '../../core/time.js';

/** A message in a route's test case. A string in `payload` is text, and any other value is JSON; bytes are given in `hex`. */
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

/** A message as input; `time` is in ms since 1970. */
const inputMessage = z.strictObject({ ...given, time: z.number().optional() });

const outputMessage = z.strictObject(given);

/** A schema for one item or a list of items. */
const oneOrMore = <T extends z.ZodType>(item: T) =>
  z.union([item.transform((one) => [one]), z.array(item).min(1)]);

const routeCaseSchema = z.strictObject({
  name: z.string().min(1),
  in: oneOrMore(inputMessage),
  /** Messages sent to the sinks, in order; empty = the message is filtered out. */
  out: z.array(outputMessage).default([]),
  /** For a case that must fail: text that the error must contain. */
  error: z.string().optional(),
});

export type RouteCase = z.output<typeof routeCaseSchema>;

const decodeSchema = z.union([
  z.string().transform((format) => ({ format, schema: undefined, type: undefined })),
  z.strictObject({
    format: z.string(),
    /** A .proto or .avsc file. */
    schema: z.string().optional(),
    /** Name of the message type in that file. */
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

const factors: Record<string, number> = {
  B: 1,
  kB: 1e3,
  MB: 1e6,
  GB: 1e9,
  KiB: 1024,
  MiB: 1024 ** 2,
  GiB: 1024 ** 3,
};

/** A size such as `1GB` or `64MiB`; the result is in bytes. */
export const byteSize = z.string().transform((text, context) => {
  const [, digits = '', unit = ''] = /^(\d+(?:\.\d+)?) ?([A-Za-z]+)$/.exec(text.trim()) ?? [];
  const bytes = Math.round(Number(digits) * (factors[unit] ?? Number.NaN));
  if (Number.isSafeInteger(bytes) && bytes > 0) return bytes;
  context.addIssue({ code: 'custom', message: 'expected a size such as 500kB, 64MiB or 1GB' });
  return z.NEVER;
});

const spoolSchema = z.strictObject({
  /** Folder of the spool, relative to the file of routes. */
  path: z.string().min(1),
  limit: byteSize.prefault('1GiB'),
  /** Action at the limit: `wait` makes the source wait, and `drop-oldest` drops and counts the oldest messages. */
  full: z.enum(['wait', 'drop-oldest']).default('wait'),
});

/** Names accepted by `preset:`. */
export const presetNames = ['openmqttgateway'] as const;

/** A JSONata expression. YAML numbers and booleans are accepted too. */
const expression = z
  .union([z.string(), z.number(), z.boolean()])
  .transform(String)
  .refine((text) => text.trim() !== '', 'expected an expression');

/** A duration such as `20ms` or `10m`; the result is in ms. */
export const duration = z.string().transform((text, context) => {
  try {
    return parseDuration(text);
  } catch {
    context.addIssue({ code: 'custom', message: 'expected a time such as 20ms, 30s or 10m' });
    return z.NEVER;
  }
});

/** Collects messages by key and time. Each window becomes one message, whose payload contains the messages' payloads. */
const windowSchema = z
  .strictObject({
    /** Length of each window. Windows begin at multiples of `every` since 1970 (UTC). */
    size: duration.optional(),
    /** Interval between the beginnings of windows; default: `size`, so that windows do not overlap. */
    every: duration.optional(),
    /** Instead of `size`: a window is a session that ends when no message of its key has arrived for this long. */
    gap: duration.optional(),
    /** Messages with the same key share a window; absent = all messages of the route. */
    key: expression.optional(),
    /** Event time: ms since 1970, or an ISO time; absent = the message's time. */
    time: expression.optional(),
    /** How long a window waits for messages that arrive out of order. */
    grace: duration.prefault('0s'),
    /** Time without messages after which the clock closes windows with event times; absent = only later messages close them. */
    idle: duration.optional(),
    /** Folder of the messages in open windows, relative to the file of routes. */
    path: z.string().min(1),
    /** Maximum number of messages in open windows. Beyond it, the window that ends first is closed early. */
    limit: z.int().min(1).max(10_000_000).default(100_000),
  })
  .superRefine(({ size, every, gap }, context) => {
    const problem = (at: string, message: string) =>
      context.addIssue({ code: 'custom', path: [at], message });
    if ((size === undefined) === (gap === undefined))
      problem('size', 'expected size for windows of equal length, or gap for sessions');
    if (size === 0) problem('size', 'expected a time above 0');
    if (gap === 0) problem('gap', 'expected a time above 0');
    if (every === undefined) return;
    if (size === undefined) problem('every', 'expected size in the same window');
    else if (every === 0 || every > size) problem('every', 'expected a time above 0, and at most size');
    else if (size / every > mostOverlapping)
      problem(
        'every',
        `expected at most ${mostOverlapping} windows at a time: every ${size / mostOverlapping} ms or more`,
      );
  });

/** Largest number of windows that may contain the same message. */
const mostOverlapping = 1000;

/** One route in the form of its file. */
export const routeSchema = z.strictObject({
  /** Preset with defaults for a well-known topic layout. */
  preset: z.enum(presetNames).optional(),
  from: oneOrMore(z.string().min(1)),
  decode: decodeSchema.prefault('auto'),
  /** Filter for the messages that are passed on. */
  where: expression.optional(),
  /**
   * Built-in processor, which converts a message to any number of messages. Later steps receive the resulting messages.
   */
  through: throughSchema.optional(),
  window: windowSchema.optional(),
  /** The new payload; absent = unchanged, byte for byte. A string becomes text, and any other value becomes JSON. */
  map: expression.optional(),
  /** Whether a list returned by `map` becomes several messages. */
  each: z.boolean().default(false),
  topic: expression.optional(),
  key: expression.optional(),
  headers: z.record(z.string().min(1), expression).default({}),
  to: oneOrMore(z.string().min(1)),
  onError: onErrorSchema.prefault('retry'),
  batch: z
    .strictObject({
      /** Maximum number of messages per write. */
      messages: z.int().min(1).max(100_000).default(1000),
      /** How long a write waits for more messages. */
      time: duration.optional(),
    })
    .prefault({}),
  dedupe: z
    .strictObject({
      key: expression,
      window: duration.prefault('10m'),
      /** Whether to look up the messages that the sink (Kafka) already has, at the start and after a failed write. */
      exactlyOnce: z.boolean().default(false),
    })
    .optional(),
  spool: spoolSchema.optional(),
  tests: z.array(routeCaseSchema).default([]),
});

export type RouteConfig = z.output<typeof routeSchema>;

const name = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, 'expected letters, digits, dots, dashes and underscores');

/** A file with routes. */
export const routeFileSchema = z.strictObject({
  routes: z
    .record(name, routeSchema)
    .refine((routes) => Object.keys(routes).length > 0, 'expected at least one'),
});

export type PresetName = (typeof presetNames)[number];

interface Preset {
  /** Topic filter for a source without a topic in its address. */
  filter: string;
  /** Defaults for fields of the route. */
  fields: Readonly<Record<string, unknown>>;
}

/**
 * OpenMQTTGateway publishes messages received by its radios as JSON on
 * `BASE/GATEWAY/{BT,433,RTL_433,IR,LORA,Pilight,RF,SRFB,…}toMQTT[/DEVICE]`, besides `SYStoMQTT` (about itself), `LWT` (text) and
 * `commands/#` (see docs.openmqttgateway.com, "MQTT topics"). Bluetooth messages contain the sender in the topic's last level, without
 * colons, and in `id`. The output adds `gateway` and `radio` to the message's fields, and has the sending device as its key.
 */
const openMqttGateway: Preset = {
  filter: 'home/+/+/#',
  fields: {
    where:
      "$contains($topic, /to(MQTT)(\\/|$)/) and $not($contains($topic, '/SYStoMQTT')) and $type($) = 'object'",
    map: `$merge([{"gateway": $split($topic, '/')[1], "radio": $substringBefore($split($topic, '/')[2], 'toMQTT')}, $])`,
    key: "$exists(id) ? $string(id) : $string($split($topic, '/')[3] ? $split($topic, '/')[3] : model ? model : $split($topic, '/')[1])",
  },
};

const presets: Record<PresetName, Preset> = { openmqttgateway: openMqttGateway };

/**
 * Fills in a route's fields from its preset. Anything that is not a route is returned unchanged, so that the schema
 * rejects it.
 */
export function withPreset(route: unknown): unknown {
  if (route === null || typeof route !== 'object' || Array.isArray(route)) return route;
  const { preset: named, from } = route as { preset?: unknown; from?: unknown };
  const preset = presetNames.find((name) => name === named);
  if (preset === undefined) return route;
  const { filter, fields } = presets[preset];
  const withFilter = (url: unknown) => (typeof url === 'string' ? addFilter(url, filter) : url);
  return { ...fields, ...route, from: Array.isArray(from) ? from.map(withFilter) : withFilter(from) };
}

/** Adds the filter to an address without a topic: `mqtt://host[/][?…]` becomes `mqtt://host/FILTER[?…]`. */
function addFilter(url: string, filter: string): string {
  const [, start, query = ''] = /^(\w+:\/\/[^/?]*)\/?(\?.*)?$/.exec(url) ?? [];
  return start === undefined ? url : `${start}/${filter}${query}`;
}
