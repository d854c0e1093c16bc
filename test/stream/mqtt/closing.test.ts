import { expect, it } from 'vitest';
import { openSource } from '../../../src/lib/stream/index.js';
import { startBroker } from '../../support/broker.js';

it('a source that holds its broker up can be closed while the broker still sends', async () => {
  const broker = await startBroker();
  const source = await openSource(`mqtt://127.0.0.1:${broker.port}/t?qos=1`, { overflow: 'wait', queue: 1 });
  const [first] = (await Promise.all([
    source[Symbol.asyncIterator]().next(),
    ...Array.from({ length: 200 }, (_, n) => flood(broker, n)),
  ])) as [IteratorResult<readonly unknown[]>];
  expect(first.value).toHaveLength(1);
  // It used to turn in circles here, for a queue that has ended is never full and never takes anything.
  await source.close();
  await broker.close();
}, 15_000);

function flood({ aedes }: Awaited<ReturnType<typeof startBroker>>, n: number): Promise<void> {
  return new Promise((resolve) => {
    const packet = {
      cmd: 'publish' as const,
      topic: 't',
      payload: Buffer.alloc(500, n),
      qos: 1 as const,
      retain: false,
      dup: false,
    };
    aedes.publish(packet, () => resolve());
  });
}
