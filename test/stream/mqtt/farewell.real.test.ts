import { expect, it } from 'vitest';
import { openSink, openSource } from '../../../src/lib/stream/open.js';
import { startMosquitto } from '../../support/mosquitto.js';
import { describeReal } from '../../support/real.js';

describeReal('mosquitto', 'disconnecting from a Mosquitto that is still sending', () => {
  it('keeps acknowledgments: acked messages are not redelivered', async () => {
    const broker = await startMosquitto();
    const url = `mqtt://127.0.0.1:${broker.port}/t`;
    const session = `${url}?qos=1&clientId=leaves&clean=false`;
    await (await openSource(session)).close();
    const sink = await openSink(url);
    const total = 20_000;
    const payload = (n: number) => Buffer.from(String(n).padEnd(500));
    await sink.write(Array.from({ length: total }, (_, n) => ({ topic: 't', payload: payload(n) })));
    await sink.close();

    const acked = new Set<number>();
    let again = 0;
    // Each visit disconnects while the broker is still sending.
    for (let visit = 0; acked.size < total; visit++) {
      const source = await openSource(session, { overflow: 'wait' });
      for await (const batch of source) {
        for (const delivery of batch) {
          const n = Number(delivery.message.payload.toString());
          if (acked.has(n)) again++;
          acked.add(n);
          delivery.ack();
        }
        if (visit < 5 || acked.size === total) break;
      }
      await source.close();
    }
    expect(again).toBe(0);
    await broker.stop();
  }, 60_000);
});
