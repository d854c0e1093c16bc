import { Flags } from '@oclif/core';
import { AiotError } from '../../core/errors.js';
import { decoderNames } from '../../stream/decode/values.js';
import { positionFrom } from '../../stream/message.js';
import type { BridgeOptions } from '../../stream/route/bridge.js';
import { printFormats } from '../../stream/tail/print.js';
import { duration } from './shared.js';

/** A comma-separated list of names, such as `a,b.c`. */
const list = Flags.custom<string[]>({
  parse: async (text) => text.split(',').map((name) => name.trim()),
  helpValue: 'A,B',
});

const expression = { helpValue: 'EXPR', helpGroup: 'FILTER' };

/** Selection of messages and their parts, for `tail` and `record`. */
export const selectFlags = {
  where: Flags.string({
    summary: "Use only messages for which this JSONata expression is true, such as 'temperature > 80'.",
    env: 'AIOT_WHERE',
    ...expression,
  }),
  decode: Flags.option({ options: decoderNames })({
    summary: 'Payload format [default: JSON, else text, else bytes].',
    env: 'AIOT_DECODE',
    helpGroup: 'FILTER',
  }),
  schema: Flags.string({
    summary: 'Schema for --decode: a .proto or .avsc file.',
    env: 'AIOT_SCHEMA',
    helpValue: 'FILE',
    helpGroup: 'FILTER',
  }),
  'message-type': Flags.string({
    summary: 'Message type in the .proto, if it defines several.',
    env: 'AIOT_MESSAGE_TYPE',
    helpValue: 'NAME',
    helpGroup: 'FILTER',
  }),
};

/** Start position and credentials, for every command that reads a stream. */
export const readFlags = {
  from: Flags.custom<ReturnType<typeof positionFrom>>({
    summary: 'Where to start: beginning, latest, an offset or a time.',
    env: 'AIOT_FROM',
    helpValue: 'PLACE',
    helpGroup: 'POSITION',
    parse: async (text) => positionFrom(text),
  })(),
  since: duration({
    summary: 'Start with messages from this long ago, such as 10m.',
    env: 'AIOT_SINCE',
    helpGroup: 'POSITION',
    exclusive: ['from'],
  }),
  qos: Flags.option({ options: ['0', '1', '2'] as const })({
    summary: 'MQTT: quality of service [default: 1].',
    env: 'AIOT_QOS',
    helpGroup: 'POSITION',
  }),
  group: Flags.string({
    summary: 'Consumer group (Kafka), queue group (NATS) or shared subscription (MQTT).',
    env: 'AIOT_GROUP',
    helpValue: 'NAME',
    helpGroup: 'POSITION',
  }),
  jetstream: Flags.string({
    summary: 'NATS: the JetStream stream to read.',
    env: 'AIOT_JETSTREAM',
    helpValue: 'STREAM',
    helpGroup: 'POSITION',
  }),
  durable: Flags.string({
    summary: 'NATS: a durable JetStream consumer that remembers its position.',
    env: 'AIOT_DURABLE',
    helpValue: 'NAME',
    helpGroup: 'POSITION',
  }),
  'no-drop': Flags.boolean({
    summary: 'Slow down the sender instead of dropping messages that arrive too fast.',
    env: 'AIOT_NO_DROP',
    helpGroup: 'POSITION',
  }),
};

/** Display and checks of `tail`. */
export const viewFlags = {
  map: Flags.string({
    summary: 'Show the result of this JSONata expression instead, such as \'{"t": temperature}\'.',
    env: 'AIOT_MAP',
    ...expression,
  }),
  fields: list({ summary: 'Show only these fields.', env: 'AIOT_FIELDS', helpGroup: 'FILTER' }),
  format: Flags.option({ options: printFormats })({
    summary: 'Output format; raw prints only the payload [default: pretty].',
    env: 'AIOT_FORMAT',
  }),
  template: Flags.string({
    char: 't',
    summary: "For --format template: text with expressions, such as '{{$topic}}: {{temperature}}'.",
    env: 'AIOT_TEMPLATE',
    helpValue: 'TEXT',
  }),
  rate: Flags.boolean({ summary: 'Print only the message rate, once per second.', env: 'AIOT_RATE' }),
  plot: list({ summary: 'Plot these fields instead.', env: 'AIOT_PLOT' }),
  stats: Flags.boolean({
    summary: 'Show counts, sizes and statistics at the end instead.',
    env: 'AIOT_STATS',
  }),
  expect: Flags.string({
    summary:
      'Exit with 0 at the first message for which this is true; with 124 if --within passes first, or 6 if the stream ends.',
    env: 'AIOT_EXPECT',
    helpValue: 'EXPR',
    helpGroup: 'CHECK',
  }),
  within: duration({
    summary: 'Time limit for --expect, such as 5s.',
    env: 'AIOT_WITHIN',
    helpGroup: 'CHECK',
  }),
  never: Flags.string({
    summary: 'Exit with 6 at the first message for which this is true.',
    env: 'AIOT_NEVER',
    helpValue: 'EXPR',
    helpGroup: 'CHECK',
  }),
};

interface ReadFlags {
  from?: ReturnType<typeof positionFrom>;
  since?: number;
  qos?: '0' | '1' | '2';
  group?: string;
  jetstream?: string;
  durable?: string;
  'no-drop'?: boolean;
}

/** Converts these flags to stream options. */
export function readOptions(flags: ReadFlags) {
  const { from, since, qos, group, jetstream: stream, durable } = flags;
  const begin = since === undefined ? from : { time: Date.now() - since };
  const given = {
    from: begin,
    group,
    stream,
    durable,
    qos: qos === undefined ? undefined : (Number(qos) as 0 | 1 | 2),
  };
  const kept = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
  return {
    ...(kept as Partial<Pick<typeof given, keyof typeof given>>),
    overflow: flags['no-drop'] ? ('wait' as const) : ('drop' as const),
  };
}

/** A header as a flag: `NAME=VALUE`. */
export const header = Flags.custom<readonly [string, string]>({
  parse: async (text) => {
    const equals = text.indexOf('=');
    if (equals > 0) return [text.slice(0, equals), text.slice(equals + 1)];
    throw new AiotError('AIOT_USAGE', `--header: expected NAME=VALUE, got "${text}"`);
  },
  helpValue: 'NAME=VALUE',
});

/** Playback speed of a recording: `original`, `max`, or a factor. */
export const replaySpeed = Flags.custom<number>({
  parse: async (text) => {
    if (text === 'original') return 1;
    if (text === 'max') return Number.POSITIVE_INFINITY;
    const times = /^(\d+(?:\.\d+)?)x?$/.exec(text)?.[1];
    if (Number(times) > 0) return Number(times);
    throw new AiotError(
      'AIOT_USAGE',
      `--speed: expected original, max, or a number such as 2, got "${text}"`,
    );
  },
  helpValue: 'SPEED',
});

/** Status and progress flags for continuous work, shared by `stream bridge` and `stream route run`. */
export const watchFlags = {
  status: Flags.string({
    summary: 'Publish route states on a port of 127.0.0.1 (JSON, and /metrics for Prometheus) or to a file.',
    env: 'AIOT_STATUS',
    helpValue: 'PORT|FILE',
  }),
  every: duration({ summary: 'Interval between progress lines.', default: 10_000, env: 'AIOT_EVERY' }),
  drain: duration({
    summary: 'Time limit, when stopping, for writing messages that were already read.',
    default: 10_000,
    env: 'AIOT_DRAIN',
  }),
};

/** Flags for the fields of a route that is defined on the command line. */
export const bridgeFlags = {
  name: Flags.string({
    summary: 'Name of the bridge, its Kafka group and its service [default: from the addresses].',
    env: 'AIOT_NAME',
    helpValue: 'NAME',
  }),
  where: Flags.string({
    summary: 'Forward only messages for which this JSONata expression is true.',
    env: 'AIOT_WHERE',
    helpValue: 'EXPR',
  }),
  map: Flags.string({
    summary: 'Payload to send (JSONata) [default: unchanged].',
    env: 'AIOT_MAP',
    helpValue: 'EXPR',
  }),
  each: Flags.boolean({
    summary: 'Send each element of the list that --map returns as its own message.',
    env: 'AIOT_EACH',
  }),
  topic: Flags.string({
    summary: "Topic to send to (JSONata) [default: the address's, else the message's own].",
    env: 'AIOT_TOPIC',
    helpValue: 'EXPR',
  }),
  'message-key': Flags.string({
    summary: 'Message key (JSONata).',
    env: 'AIOT_MESSAGE_KEY',
    helpValue: 'EXPR',
  }),
  header: Flags.string({
    summary: 'Header to add; EXPR is JSONata. Repeatable.',
    env: 'AIOT_HEADER',
    helpValue: 'NAME=EXPR',
    multiple: true,
  }),
  decode: Flags.string({
    summary: 'Payload format: auto, json, text, bytes, cbor, msgpack or image [default: auto].',
    env: 'AIOT_DECODE',
    helpValue: 'FORMAT',
  }),
  'on-error': Flags.option({ options: ['retry', 'skip'] as const })({
    summary: 'Action for a message that cannot be processed.',
    default: 'retry',
    env: 'AIOT_ON_ERROR',
  }),
  'dead-letter': Flags.string({
    summary: 'Destination for messages that cannot be processed, with the reason in a header.',
    env: 'AIOT_DEAD_LETTER',
    helpValue: 'URL',
  }),
  batch: Flags.integer({
    summary: 'Maximum number of messages per write [default: 1000].',
    env: 'AIOT_BATCH',
    helpValue: 'N',
    min: 1,
  }),
  'batch-time': Flags.string({
    summary: 'Time to wait for a batch to fill, such as 20ms [default: no wait].',
    env: 'AIOT_BATCH_TIME',
    helpValue: 'TIME',
  }),
  dedupe: Flags.string({
    summary: 'Deduplication key (JSONata): only one message is sent for each key.',
    env: 'AIOT_DEDUPE',
    helpValue: 'EXPR',
  }),
  'dedupe-window': Flags.string({
    summary: 'How long keys are remembered [default: 10m].',
    env: 'AIOT_DEDUPE_WINDOW',
    helpValue: 'TIME',
  }),
  'exactly-once': Flags.boolean({
    summary: 'Kafka: look up the --dedupe keys at the destination, so that a restart writes nothing twice.',
    env: 'AIOT_EXACTLY_ONCE',
  }),
  spool: Flags.string({
    summary: 'Folder that stores messages while the destination is unreachable.',
    env: 'AIOT_SPOOL',
    helpValue: 'DIR',
  }),
  'spool-limit': Flags.string({
    summary: 'Maximum spool size [default: 1GiB].',
    env: 'AIOT_SPOOL_LIMIT',
    helpValue: 'SIZE',
  }),
  'spool-full': Flags.option({ options: ['wait', 'drop-oldest'] as const })({
    summary: 'Action when the spool is full [default: wait].',
    env: 'AIOT_SPOOL_FULL',
  }),
};

interface BridgeFlags
  extends Pick<
    BridgeOptions,
    'name' | 'where' | 'map' | 'each' | 'topic' | 'decode' | 'batch' | 'dedupe' | 'spool'
  > {
  'message-key'?: string;
  header?: string[];
  'on-error': 'retry' | 'skip';
  'dead-letter'?: string;
  'batch-time'?: string;
  'dedupe-window'?: string;
  'exactly-once'?: boolean;
  'spool-limit'?: string;
  'spool-full'?: 'wait' | 'drop-oldest';
}

/** Converts these flags to the route of a bridge. */
export function bridgeOptions(addresses: { from: string; to: string }, flags: BridgeFlags): BridgeOptions {
  const { name, where, map, each, topic, decode, batch, dedupe, spool } = flags;
  const all = {
    ...addresses,
    ...{ name, where, map, each, topic, decode, batch, dedupe, spool },
    messageKey: flags['message-key'],
    headers: flags.header,
    onError: flags['on-error'],
    deadLetter: flags['dead-letter'],
    batchTime: flags['batch-time'],
    dedupeWindow: flags['dedupe-window'],
    exactlyOnce: flags['exactly-once'],
    spoolLimit: flags['spool-limit'],
    spoolFull: flags['spool-full'],
  };
  const given = Object.entries(all).filter(([, value]) => value !== undefined);
  return Object.fromEntries(given) as unknown as BridgeOptions;
}

export function watchOptions(flags: { status?: string; every: number; drain: number }) {
  const { status, every: everyMs, drain: drainMs } = flags;
  return { everyMs, drainMs, ...(status === undefined ? {} : { status }) };
}
