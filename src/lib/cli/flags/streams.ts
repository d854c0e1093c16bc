import { Flags } from '@oclif/core';
import { AiotError } from '../../core/errors.js';
import { decoderNames } from '../../stream/decode/values.js';
import { positionFrom } from '../../stream/message.js';
import type { BridgeOptions } from '../../stream/route/bridge.js';
import { printFormats } from '../../stream/tail/print.js';
import { duration } from './shared.js';

/** Names in a row: `a,b.c`. */
const list = Flags.custom<string[]>({
  parse: async (text) => text.split(',').map((name) => name.trim()),
  helpValue: 'A,B',
});

const expression = { helpValue: 'EXPR', helpGroup: 'CHOOSING' };

/** Which messages, and what of them: of `tail` and `record`. */
export const selectFlags = {
  where: Flags.string({
    summary: "Only messages for which this JSONata is true, such as 'temperature > 80'.",
    env: 'AIOT_WHERE',
    ...expression,
  }),
  decode: Flags.option({ options: decoderNames })({
    summary: 'What the payload is [default: JSON, else text, else bytes].',
    env: 'AIOT_DECODE',
    helpGroup: 'CHOOSING',
  }),
  schema: Flags.string({
    summary: 'Schema for --decode: a .proto or an .avsc.',
    env: 'AIOT_SCHEMA',
    helpValue: 'FILE',
    helpGroup: 'CHOOSING',
  }),
  'message-type': Flags.string({
    summary: 'Message type in the .proto, where there are several.',
    env: 'AIOT_MESSAGE_TYPE',
    helpValue: 'NAME',
    helpGroup: 'CHOOSING',
  }),
};

/** Where to begin, and as whom: of everything that reads a stream. */
export const readFlags = {
  from: Flags.custom<ReturnType<typeof positionFrom>>({
    summary: 'Begin at beginning, latest, an offset or a time.',
    env: 'AIOT_FROM',
    helpValue: 'PLACE',
    helpGroup: 'READING',
    parse: async (text) => positionFrom(text),
  })(),
  since: duration({
    summary: 'Begin so long ago, such as 10m.',
    env: 'AIOT_SINCE',
    helpGroup: 'READING',
    exclusive: ['from'],
  }),
  qos: Flags.option({ options: ['0', '1', '2'] as const })({
    summary: 'MQTT: quality of service [default: 1].',
    env: 'AIOT_QOS',
    helpGroup: 'READING',
  }),
  group: Flags.string({
    summary: 'Consumer group (Kafka), queue group (NATS), shared subscription (MQTT).',
    env: 'AIOT_GROUP',
    helpValue: 'NAME',
    helpGroup: 'READING',
  }),
  jetstream: Flags.string({
    summary: 'NATS: the JetStream stream to read.',
    env: 'AIOT_JETSTREAM',
    helpValue: 'STREAM',
    helpGroup: 'READING',
  }),
  durable: Flags.string({
    summary: 'NATS: a JetStream consumer that remembers where it stood.',
    env: 'AIOT_DURABLE',
    helpValue: 'NAME',
    helpGroup: 'READING',
  }),
  'no-drop': Flags.boolean({
    summary: 'Hold the sender up rather than drop what comes too fast.',
    env: 'AIOT_NO_DROP',
    helpGroup: 'READING',
  }),
};

/** How it is shown, and what it is checked for: of `tail`. */
export const viewFlags = {
  map: Flags.string({
    summary: 'Show this JSONata of each instead, such as \'{"t": temperature}\'.',
    env: 'AIOT_MAP',
    ...expression,
  }),
  fields: list({ summary: 'Show these fields alone.', env: 'AIOT_FIELDS', helpGroup: 'CHOOSING' }),
  format: Flags.option({ options: printFormats })({
    summary: 'How a message is printed; raw is the payload alone [default: pretty].',
    env: 'AIOT_FORMAT',
  }),
  template: Flags.string({
    char: 't',
    summary: "With --format template: a text with expressions, such as '{{$topic}}: {{temperature}}'.",
    env: 'AIOT_TEMPLATE',
    helpValue: 'TEXT',
  }),
  rate: Flags.boolean({ summary: 'Show messages a second instead, once a second.', env: 'AIOT_RATE' }),
  plot: list({ summary: 'Plot these fields instead.', env: 'AIOT_PLOT' }),
  stats: Flags.boolean({ summary: 'Show counts, sizes and numbers at the end instead.', env: 'AIOT_STATS' }),
  expect: Flags.string({
    summary: 'End well with the first message for which this is true; exit 124 or 6 without one.',
    env: 'AIOT_EXPECT',
    helpValue: 'EXPR',
    helpGroup: 'CHECKING',
  }),
  within: duration({ summary: 'Time for --expect.', env: 'AIOT_WITHIN', helpGroup: 'CHECKING' }),
  never: Flags.string({
    summary: 'End with exit 6 at the first message for which this is true.',
    env: 'AIOT_NEVER',
    helpValue: 'EXPR',
    helpGroup: 'CHECKING',
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

/** What they say, as options of a stream. */
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

/** `NAME=VALUE` as a header. */
export const header = Flags.custom<readonly [string, string]>({
  parse: async (text) => {
    const equals = text.indexOf('=');
    if (equals > 0) return [text.slice(0, equals), text.slice(equals + 1)];
    throw new AiotError('AIOT_USAGE', `--header: expected NAME=VALUE, got "${text}"`);
  },
  helpValue: 'NAME=VALUE',
});

/** How fast a recording goes: `original`, `max`, or a number of times. */
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

/** How work that goes on and on shows itself: the same for `stream bridge` and `stream route run`. */
export const watchFlags = {
  status: Flags.string({
    summary: 'Show states here: a port of 127.0.0.1 (JSON, and /metrics for Prometheus), or a file.',
    env: 'AIOT_STATUS',
    helpValue: 'PORT|FILE',
  }),
  every: duration({ summary: 'How often a line says how far it is.', default: 10_000, env: 'AIOT_EVERY' }),
  drain: duration({
    summary: 'Longest time at the end for what was read and is not written yet.',
    default: 10_000,
    env: 'AIOT_DRAIN',
  }),
};

/** The fields of a route, for a route of one line. */
export const bridgeFlags = {
  name: Flags.string({
    summary: "Its name: Kafka's group and the service are called so [default: from the addresses].",
    env: 'AIOT_NAME',
    helpValue: 'NAME',
  }),
  where: Flags.string({ summary: 'Which messages go on (JSONata).', env: 'AIOT_WHERE', helpValue: 'EXPR' }),
  map: Flags.string({
    summary: 'The payload (JSONata) [default: as it came].',
    env: 'AIOT_MAP',
    helpValue: 'EXPR',
  }),
  each: Flags.boolean({ summary: 'A list that --map gives is several messages.', env: 'AIOT_EACH' }),
  topic: Flags.string({
    summary: "The topic (JSONata) [default: the address's, else the message's own].",
    env: 'AIOT_TOPIC',
    helpValue: 'EXPR',
  }),
  'message-key': Flags.string({ summary: 'The key (JSONata).', env: 'AIOT_MESSAGE_KEY', helpValue: 'EXPR' }),
  header: Flags.string({
    summary: 'A header.',
    env: 'AIOT_HEADER',
    helpValue: 'NAME=EXPR',
    multiple: true,
  }),
  decode: Flags.string({
    summary: 'What payloads are [default: auto].',
    env: 'AIOT_DECODE',
    helpValue: 'FORMAT',
  }),
  'on-error': Flags.option({ options: ['retry', 'skip'] as const })({
    summary: 'What becomes of a message with an error of its own.',
    default: 'retry',
    env: 'AIOT_ON_ERROR',
  }),
  'dead-letter': Flags.string({
    summary: 'Such messages go here, with the reason as a header.',
    env: 'AIOT_DEAD_LETTER',
    helpValue: 'URL',
  }),
  batch: Flags.integer({
    summary: 'Most messages in one write [default: 1000].',
    env: 'AIOT_BATCH',
    min: 1,
  }),
  'batch-time': Flags.string({
    summary: 'How long one waits for others, such as 20ms.',
    env: 'AIOT_BATCH_TIME',
    helpValue: 'TIME',
  }),
  dedupe: Flags.string({
    summary: 'Send one of each such key (JSONata).',
    env: 'AIOT_DEDUPE',
    helpValue: 'EXPR',
  }),
  'dedupe-window': Flags.string({
    summary: 'For how long keys are remembered [default: 10m].',
    env: 'AIOT_DEDUPE_WINDOW',
    helpValue: 'TIME',
  }),
  'exactly-once': Flags.boolean({
    summary: 'Look at the sink for these keys, so that a restart writes nothing twice.',
    env: 'AIOT_EXACTLY_ONCE',
  }),
  spool: Flags.string({
    summary: 'Folder that keeps messages while the sink is not there.',
    env: 'AIOT_SPOOL',
    helpValue: 'DIR',
  }),
  'spool-limit': Flags.string({
    summary: 'Most that it keeps [default: 1GiB].',
    env: 'AIOT_SPOOL_LIMIT',
    helpValue: 'SIZE',
  }),
  'spool-full': Flags.option({ options: ['wait', 'drop-oldest'] as const })({
    summary: 'What it does at its limit [default: wait].',
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

/** The line of a bridge as lib wants it. */
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
