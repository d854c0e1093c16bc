import { Flags } from '@oclif/core';
import type { BridgeOptions } from '../stream/index.js';
import { duration } from './flags.js';

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
