import { systemClock, untilAborted } from '../../../core/index.js';
import type { TopicState } from '../../admin.js';
import { createTally } from '../../tally.js';
import type { NatsClient } from '../connect.js';
import { natsError } from '../errors.js';
import { managerOf } from '../stream.js';
import { matches } from '../subject.js';
import { streamsOf } from './streams.js';

interface Wish {
  subject: string;
  stream: string | undefined;
  listenMs: number;
  signal?: AbortSignal;
}

/** Subjects of the streams with what they hold, and all that is heard meanwhile with its rate. */
export async function listSubjects(client: NatsClient, wish: Wish, endpoint: string): Promise<TopicState[]> {
  const heard = wish.listenMs > 0 ? listen(client, wish, endpoint) : Promise.resolve(new Map());
  // Both at once: what is heard belongs to what is kept.
  const [kept, rates] = await Promise.all([keptSubjects(client, wish, endpoint), heard]);
  const rows = new Map<string, TopicState>(kept.map((row) => [row.topic, row]));
  for (const [topic, rate] of rates) {
    if (wish.stream !== undefined && !rows.has(topic)) continue;
    rows.set(topic, { ...rate, ...rows.get(topic), topic });
  }
  return [...rows.values()].sort((a, b) => a.topic.localeCompare(b.topic));
}

async function keptSubjects(client: NatsClient, wish: Wish, endpoint: string): Promise<TopicState[]> {
  const manager = await managerOf(client, endpoint);
  const rows: TopicState[] = [];
  for (const { config } of await streamsOf(client, wish.stream, endpoint)) {
    const { state } = await manager.streams
      .info(config.name, { subjects_filter: wish.subject })
      .catch((error: unknown) => {
        throw natsError(error, endpoint, `stream ${config.name}`);
      });
    const subjects = Object.entries(state.subjects ?? {});
    for (const [topic, messages] of subjects) rows.push({ topic, stream: config.name, messages });
    // Of one subject alone the figures of its stream are its own.
    const only = subjects.length === 1 && state.messages === subjects[0]?.[1] ? rows.at(-1) : undefined;
    if (only) Object.assign(only, { bytes: state.bytes, last: Date.parse(state.last_ts) });
    const silent = (config.subjects ?? []).filter(
      (filter) =>
        !subjects.some(([topic]) => matches(filter, topic)) &&
        (wish.subject === '>' || matches(wish.subject, filter)),
    );
    for (const topic of silent) rows.push({ topic, stream: config.name, messages: 0 });
  }
  return rows;
}

/** The server's own subjects and answers to requests are left out, unless they are asked for. */
async function listen(
  client: NatsClient,
  { subject, listenMs, signal }: Wish,
  endpoint: string,
): Promise<Map<string, TopicState>> {
  const tally = createTally(systemClock);
  let refused: unknown;
  const subscription = client.nc.subscribe(subject, {
    callback(error, { subject: topic, data }) {
      if (error) refused = error;
      else if (subject !== '>' || !/^(\$|_INBOX\.)/.test(topic)) tally.count(topic, data.length);
    },
  });
  await untilAborted(systemClock.sleep(listenMs), signal);
  if (refused) throw natsError(refused, endpoint);
  subscription.unsubscribe();
  return tally.states();
}
