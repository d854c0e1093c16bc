import { afterEach, describe, expect, it } from 'vitest';
import { connect } from '../support/mqtt.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';
import { hello, publish, rawMqtt } from '../support/raw-mqtt.js';

let own: TestPlatform;
afterEach(() => own.stop());

const url = () => own.platform.urls.mqtt ?? '';
const start = async () => {
  own = await testPlatform({ plain: { port: 0 } });
};
const comeIn = async (more: object = {}) => {
  const raw = await rawMqtt(url());
  const who = { username: 'u', password: Buffer.from(own.token), clientId: 'reader', clean: false };
  raw.say(hello({ ...who, ...more }));
  const answer = await raw.hear('connack');
  return { raw, present: answer?.sessionPresent };
};
const writer = () => connect(url(), { username: 'u', password: own.token });

describe('a session at packet level', () => {
  it('resumes QoS 2 after a restart: received messages are released and not sent again', async () => {
    await start();
    const { raw } = await comeIn();
    raw.say({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'q', qos: 2 }] });
    await raw.hear('suback');
    const made = await writer();
    for (const payload of ['one', 'two']) await made.publishAsync('q', payload, { qos: 2 });
    await made.endAsync();
    const [one, two] = [await raw.hear('publish'), await raw.hear('publish')];
    raw.say({ cmd: 'pubrec', messageId: one?.messageId ?? 0 });
    expect(await raw.hear('pubrel')).toMatchObject({ messageId: one?.messageId });
    // A client's acknowledgments are written with a short delay.
    await new Promise((resolve) => setTimeout(resolve, 300));
    raw.socket.destroy();
    await own.restart();
    const { raw: again, present } = await comeIn();
    expect(present).toBe(true);
    expect(await again.hear('publish')).toMatchObject({ messageId: two?.messageId, dup: true, qos: 2 });
    expect(again.packets.filter(({ cmd }) => cmd === 'pubrel')).toMatchObject([
      { messageId: one?.messageId },
    ]);
    again.say(
      { cmd: 'pubcomp', messageId: one?.messageId ?? 0 },
      { cmd: 'pubrec', messageId: two?.messageId ?? 0 },
    );
    expect(await again.hear('pubrel')).toMatchObject({ messageId: two?.messageId });
    again.say({ cmd: 'pubcomp', messageId: two?.messageId ?? 0 }, { cmd: 'pingreq' });
    await again.hear('pingresp');
    again.socket.destroy();
    const { raw: last } = await comeIn();
    last.say({ cmd: 'pingreq' });
    await last.hear('pingresp');
    expect(last.packets.map(({ cmd }) => cmd)).toEqual(['connack', 'pingresp']);
    last.socket.destroy();
  });

  it('is taken over by the same client ID: the old connection closes, its will is sent, nothing is lost', async () => {
    await start();
    const { raw: watcher } = await comeIn({ clientId: 'watcher', clean: true });
    watcher.say({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'gone', qos: 0 }] });
    await watcher.hear('suback');
    const will = { topic: 'gone', payload: Buffer.from('x'), qos: 0, retain: false };
    const { raw: before } = await comeIn({ will });
    before.say({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'q', qos: 1 }] });
    await before.hear('suback');
    const made = await writer();
    await made.publishAsync('q', 'not acknowledged', { qos: 1 });
    await before.hear('publish');
    // Several clients connect at once: they take over the session one after another, and the last one keeps it.
    const all = await Promise.all([1, 2, 3].map(() => comeIn()));
    // A client that was disconnected before its turn has received nothing.
    expect(all.map(({ present }) => present)).toContain(true);
    expect(all.map(({ present }) => present)).not.toContain(false);
    expect(await before.closed).toBe(true);
    expect(await watcher.hear('publish')).toMatchObject({ topic: 'gone' });
    await made.publishAsync('q', 'behind', { qos: 1 });
    await expect.poll(() => all.filter(({ raw }) => !raw.socket.destroyed).length).toBe(1);
    const left = all.find(({ raw }) => !raw.socket.destroyed)!.raw;
    const heard = [await left.hear('publish'), await left.hear('publish')];
    expect(heard.map((each) => `${each?.payload} ${each?.dup}`)).toEqual([
      'not acknowledged true',
      'behind false',
    ]);
    for (const each of [left, watcher]) each.socket.destroy();
    await made.endAsync(true);
  });

  it.each([23, 64])('survives a restart with MQTT 3.1 and a client ID of %i characters', async (length) => {
    await start();
    const old = { protocolId: 'MQIsdp', protocolVersion: 3, clientId: 'b'.repeat(length) };
    const { raw } = await comeIn(old);
    raw.say({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'q', qos: 1 }] });
    await raw.hear('suback');
    raw.say({ cmd: 'disconnect' });
    await raw.closed;
    const { raw: said } = await comeIn({ clientId: 'writer', clean: true });
    said.say(publish({ topic: 'q', qos: 1, messageId: 1 }));
    await said.hear('puback');
    said.socket.destroy();
    await own.restart();
    const { raw: again, present } = await comeIn(old);
    // MQTT 3.1 has no such flag: the byte is reserved.
    expect(present).toBe(false);
    expect(await again.hear('publish')).toMatchObject({ topic: 'q', qos: 1 });
    again.socket.destroy();
  });
});
