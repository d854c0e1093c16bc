import { afterAll, beforeAll, it } from 'vitest';
import { Lab } from '../support/mqtt-lab.js';
import { type NatsServer, startNatsWithMqtt } from '../support/nats.js';
import { describeReal } from '../support/real.js';
import { conformSuite } from './conform-suite.js';
import { numbersOf } from './mqtt-statements/statement.js';
import { statements } from './mqtt-statements/statements.js';

/** Statements of MQTT 3.1.1 that nats-server 2.15 does not follow, as docs/how-to/external-broker.md describes. */
const deviations = new Set([
  // Malformed packets are answered with a CONNACK and a return code, or accepted.
  ...['1.5.3-1', '1.5.3-2', '3.1.2-11', '3.1.2-18', '3.1.2-20', '3.1.3-4', '3.1.3-9', '3.1.3-11', '3.1.4-1'],
  // A client that has just connected with the same id several times is made to wait.
  '3.1.4-3',
  // A ping that arrives late, but within 1.5 keep-alive intervals.
  '3.1.2-24',
  // Overlapping subscriptions: the first one's QoS counts. A filter that is repeated in a SUBSCRIBE is delivered to twice.
  ...['3.3.5-1', '3.8.4-4'],
  // Filters of any length are accepted.
  '3.8.4-5',
  // Topics with spaces end the connection; topics that start with $ are not delivered.
  ...['4.7.1-2', '4.7.1-3', '4.7.2-1', '4.7.3-4'],
  // Unacknowledged messages are resent after `ack_wait`, not on reconnection, and without their order.
  ...['3.3.1-1', '3.10.4-3', '4.3.2-1', '4.3.3-1', '4.4.0-1', '4.6.0-5', '4.6.0-6'],
]);

describeReal('nats-server', 'the MQTT listener of NATS', () => {
  let nats: NatsServer & { mqtt: string; ws: string };
  beforeAll(async () => {
    // No check ends the server, so it need not sync; 24 concurrent checks would wait for the disk.
    nats = await startNatsWithMqtt({ sync: false, config: 'authorization { user: lab, password: secret }' });
  });
  afterAll(() => nats.stop());

  const checked = statements.flatMap((statement): [string, (lab: Lab) => Promise<void>][] => {
    const numbers = numbersOf(statement, 4);
    if (numbers.length === 0 || !('check' in statement)) return [];
    return numbers.some((number) => deviations.has(number))
      ? []
      : [[`${numbers.join(', ')}: ${statement.says}`, statement.check]];
  });

  it.concurrent.each(checked)(
    'follows %s',
    async (_title, check) => {
      const lab = new Lab(4, {
        url: nats.mqtt,
        wss: `${nats.ws}/mqtt`,
        ca: '',
        username: 'lab',
        password: 'secret',
        patienceMs: 20_000,
      });
      try {
        await check(lab);
      } finally {
        lab.close();
      }
    },
    90_000,
  );
});

describeReal('nats-server', 'a virtual device that connects to NATS with TLS', () => {
  conformSuite(async (file) => {
    const { mqtt, broker, stop } = await startNatsWithMqtt({
      tls: { cert: file('server.crt'), key: file('server.key') },
    });
    return { mqtts: mqtt, broker, stop };
  });
});
