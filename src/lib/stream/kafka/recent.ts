import type { Message } from '../message.js';
import { openKafkaReader } from './reader.js';
import type { KafkaSettings } from './settings.js';

/** What topics have from a time on (ms since 1970), up to their end as it is now. @throws as openKafkaReader */
export async function* recentMessages(
  topics: readonly string[],
  settings: KafkaSettings,
  since: number,
  endpoint: string,
): AsyncGenerator<readonly Message[]> {
  const from = { time: Math.max(0, since) };
  const reader = await openKafkaReader(
    topics,
    { ...settings, from, until: 'end', group: undefined, create: true },
    endpoint,
  );
  try {
    for await (const batch of reader) yield batch.map(({ message }) => message);
  } finally {
    await reader.close();
  }
}
