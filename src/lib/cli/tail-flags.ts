import { Flags } from '@oclif/core';
import { decoderNames, positionFrom, printFormats } from '../stream/index.js';
import { duration } from './flags.js';

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
