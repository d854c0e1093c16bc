import type { ConsumerConfig, DeliverPolicy } from 'nats';
import type { StreamOptions } from '../options.js';

/** Where a consumer begins, as JetStream's settings. `lastSequence` = of the stream, now: what comes later is new. */
export function startOf(
  from: StreamOptions['from'],
  lastSequence: number,
): Pick<ConsumerConfig, 'deliver_policy' | 'opt_start_seq' | 'opt_start_time'> {
  if (from === 'beginning') return { deliver_policy: 'all' as DeliverPolicy };
  if (typeof from === 'object') {
    return {
      deliver_policy: 'by_start_time' as DeliverPolicy,
      opt_start_time: new Date(from.time).toISOString(),
    };
  }
  return atSequence(typeof from === 'number' ? from : lastSequence + 1);
}

/** The first sequence is 1. */
export function atSequence(sequence: number): Pick<ConsumerConfig, 'deliver_policy' | 'opt_start_seq'> {
  return { deliver_policy: 'by_start_sequence' as DeliverPolicy, opt_start_seq: Math.max(1, sequence) };
}
