import { kafkaPeer, kcat } from '../../test/support/kafka.js';

let admin: ReturnType<ReturnType<typeof kafkaPeer>['admin']> | undefined;
let connectedTo = '';

/** The next offset of a topic of one partition. */
export async function endOf(address: string, topic: string): Promise<number> {
  if (!admin || connectedTo !== address) {
    await admin?.disconnect();
    admin = kafkaPeer(address).admin();
    connectedTo = address;
    await admin.connect();
  }
  const [offsets] = await admin.fetchTopicOffsets(topic);
  return Number(offsets?.high ?? 0);
}

/** Every message in a topic, as a third party (kcat) reads it. */
export async function contentOf(address: string, topic: string): Promise<string[]> {
  return kcat(address, topic, '%s\n').split('\n').slice(0, -1);
}

/** Before the broker goes away. */
export async function forgetLog(): Promise<void> {
  await admin?.disconnect();
  admin = undefined;
}
