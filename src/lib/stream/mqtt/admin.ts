import { onAbort } from '../../core/index.js';
import type { StreamAdmin, TopicState } from '../admin.js';
import type { StreamOptions } from '../options.js';
import type { StreamUrl } from '../url.js';
import { checkBroker } from './check.js';
import { openMqttSource } from './source.js';

/**
 * What can be asked of an MQTT broker. It has no list of topics, so theirs are heard: retained messages come at once, the others
 * when somebody publishes. Nothing is opened before it is asked for, so that `check` can tell what fails.
 */
export async function openMqttAdmin(url: StreamUrl, options: StreamOptions): Promise<StreamAdmin> {
  const { endpoint } = url;
  return {
    endpoint,
    topics: ({ listenMs, signal }) => heard(url, { ...options, signal }, listenMs),
    check: ({ signal }) => checkBroker(url, { ...options, signal }),
    async close() {},
  };
}

/** Topics with what came while listening. @throws what opening the source throws */
async function heard(url: StreamUrl, options: StreamOptions, listenMs: number): Promise<TopicState[]> {
  const source = await openMqttSource(url, { ...options, qos: 0, queue: 50_000 });
  const topics = new Map<string, { live: number; bytes: number; last: number }>();
  const end = () => void source.close();
  const timer = setTimeout(end, listenMs);
  const leave = onAbort(options.signal, end);
  try {
    for await (const batch of source) {
      for (const { message } of batch) {
        const state = topics.get(message.topic) ?? { live: 0, bytes: 0, last: message.time };
        // A retained message was published before.
        if (!message.retain) {
          state.live++;
          state.bytes += message.payload.length;
          state.last = message.time;
        }
        topics.set(message.topic, state);
      }
    }
  } finally {
    clearTimeout(timer);
    leave();
    await source.close();
  }
  const seconds = listenMs / 1000;
  return [...topics]
    .map(([topic, { live, bytes, last }]) => ({
      topic,
      rate: live / seconds,
      byteRate: bytes / seconds,
      ...(live > 0 ? { last } : {}),
    }))
    .sort((a, b) => (a.topic < b.topic ? -1 : 1));
}
