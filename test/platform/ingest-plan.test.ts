import { describe, expect, it } from 'vitest';
import { planIngest, topicOfSubject } from '../../src/lib/platform/broker/ingest-engines.js';

describe('the plan for the ingest', () => {
  it('is empty with the embedded broker', () => {
    expect(planIngest({}, 'p')).toBeNull();
  });

  it('lets the leader read everything from an MQTT broker', () => {
    expect(planIngest({ broker: 'mqtts://u:p%40@host:8883/?keepalive=9' }, 'p')).toEqual({
      engine: 'mqtt',
      broker: {
        ...{ mqtt: 'mqtts://u:p%40@host:8883', ended: null },
        led: { filter: 'aiot/v1/#', clientId: 'aiot-platform-p' },
      },
      shared: null,
    });
  });

  it('shares the messages of a NATS server, except for the reports', () => {
    const plan = planIngest({ broker: 'nats://u:p%40@a:4222,b:4222?mqtt=1884&window=5' }, 'p');
    expect(plan).toMatchObject({
      engine: 'jetstream',
      broker: {
        ...{ mqtt: 'mqtt://u:p%40@a:1884', ended: 'aiot-platform-p' },
        led: { filter: 'aiot/v1/+/reported', clientId: 'aiot-reports-p' },
      },
    });
    expect(plan?.shared?.url).toBe(
      'nats://u:p%40@a:4222,b:4222/$MQTT.msgs.aiot.v1.>?window=5&stream=$MQTT_msgs&durable=aiot-ingest-p&ackWait=10s',
    );
  });

  it('shares a Kafka topic, with the embedded broker or an external one', () => {
    const ingest = 'kafka://u:p@k:9092/aiot';
    expect(planIngest({ ingest }, 'p')).toMatchObject({
      ...{ engine: 'kafka', broker: null },
      shared: { url: 'kafka://u:p@k:9092/aiot?create=false&group=aiot-ingest-p&from=beginning' },
    });
    expect(planIngest({ broker: 'mqtt://host', ingest }, 'p')?.broker).toEqual({
      ...{ mqtt: 'mqtt://host', ended: 'aiot-platform-p' },
      led: { filter: 'aiot/v1/+/reported', clientId: 'aiot-reports-p' },
    });
  });

  it.each([
    ['nats://host', 'mqtt://host:1883'],
    ['natss://host:4443', 'mqtts://host:8883'],
    ['nats://[::1]:4222', 'mqtt://[::1]:1883'],
    ['nats://host?mqtt=mqtts%3A%2F%2Fother%3A8884', 'mqtts://other:8884'],
  ])('finds the MQTT listener of %s', (broker, mqtt) => {
    expect(planIngest({ broker }, 'p')?.broker?.mqtt).toBe(mqtt);
  });

  it.each([
    [{ broker: 'mqtt://h', ingest: 'jetstream' }, 'AIOT_USAGE', /expected --broker nats:/],
    [{ broker: 'nats://h', ingest: 'mqtt' }, 'AIOT_USAGE', /expected --broker mqtt\(s\):/],
    [{ ingest: 'jetstream' }, 'AIOT_USAGE', /expected --broker nats:.*got no --broker/],
    [
      { broker: 'mqtt://h', ingest: 'amqp://u:secret@h' },
      'AIOT_USAGE',
      /^--ingest amqp: expected mqtt, jetstream or/,
    ],
    [{ ingest: 'kafka://h:9092' }, 'AIOT_STREAM_URL', /expected one topic/],
    [{ ingest: 'kafka://h/a,b' }, 'AIOT_STREAM_URL', /expected one topic/],
    [
      { ingest: 'kafka://u:secret@h/a?group=g' },
      'AIOT_STREAM_URL',
      /^--ingest kafka:..h.a: expected no setting "group"/,
    ],
    [{ broker: 'nats://h?mqtt=x' }, 'AIOT_STREAM_URL', /mqtt: expected a port/],
  ])('rejects %o', (engines, code, message) => {
    expect(() => planIngest(engines, 'p')).toThrow(
      expect.objectContaining({ code, message: expect.stringMatching(message) }),
    );
  });
});

// NATS docs, "MQTT Topics and NATS Subjects", and the subjects that nats-server 2.15 uses.
it.each([
  ['$MQTT.msgs.aiot.v1.dev.telemetry.s', 'aiot/v1/dev/telemetry/s'],
  ['$MQTT.msgs.aiot.v1.press//2.telemetry.room//a', 'aiot/v1/press.2/telemetry/room.a'],
  ['$MQTT.msgs./.foo', '/foo'],
  ['$MQTT.msgs.foo./', 'foo/'],
  ['$MQTT.msgs.foo./.bar', 'foo//bar'],
])('reads the topic of %s', (subject, topic) => {
  expect(topicOfSubject(subject)).toBe(topic);
});
