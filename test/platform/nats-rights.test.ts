import { describe, expect, it } from 'vitest';
import {
  type Identity,
  mayPublish,
  maySubscribe,
  mayUseFilterOutside,
} from '../../src/lib/platform/broker/identity.js';
import { topicOfSubject } from '../../src/lib/platform/broker/ingest-engines.js';
import { type NatsRights, natsRights, subjectsOf } from '../../src/lib/platform/broker/nats-callout.js';
import { fc, runs } from '../support/property.js';

describe('subjects of MQTT topics and filters', () => {
  // The examples of NATS's documentation, "MQTT Topics and NATS Subjects", and of its server's tests.
  it.each([
    ['foo', ['foo']],
    ['foo/bar', ['foo.bar']],
    ['/', ['/./']],
    ['/foo', ['/.foo']],
    ['foo/', ['foo./']],
    ['foo//bar', ['foo./.bar']],
    ['foo.bar', ['foo//bar']],
    ['aiot/v1/press.2/command', ['aiot.v1.press//2.command']],
    ['+', ['*']],
    ['foo/+/bar', ['foo.*.bar']],
    ['#', ['>']],
    ['foo/#', ['foo', 'foo.>']],
    // Their subjects would mean something else at NATS, or end the line of its protocol.
    ['foo/*', []],
    ['foo/>', []],
    ['foo bar', []],
    ['foo\r\nPUB x', []],
    ['', []],
  ])('%j is %j', (filter, subjects) => {
    expect(subjectsOf(filter)).toEqual(subjects);
  });

  it('lead back to the topic', () => {
    const level = fc.stringMatching(/^[A-Za-z0-9._-]{1,8}$/);
    fc.assert(
      fc.property(fc.array(level, { minLength: 1, maxLength: 5 }), (levels) => {
        const topic = levels.join('/');
        expect(subjectsOf(topic).map(topicOfSubject)).toEqual([topic]);
      }),
    );
  });
});

const user = (role: 'viewer' | 'ci' | 'operator', scopes: string[] | null = null): Identity => ({
  ...{ kind: 'user', name: 'x', token: 'tok_1', role, scopes, reach: null },
});

/** Names of the devices in reach of the limited users. */
const reachable = ['dev', 'press.2'];
const limited = (role: 'viewer' | 'ci' | 'operator', scopes: string[] | null = null): Identity => ({
  ...{ kind: 'user', name: 'x', token: 'tok_1', role, scopes },
  reach: {
    ...{ selectors: ['site=hall'], text: 'site=hall', matches: () => false },
    has: (name) => reachable.includes(name),
  },
});

const limitedIdentities: [string, Identity][] = [
  ['an operator of some devices', limited('operator')],
  ['ci of some devices', limited('ci')],
  ['a viewer of some devices', limited('viewer')],
  ['an operator of some devices and topics', limited('operator', ['stream:aiot/v1/+/command', 'stream:+/#'])],
  [
    'a viewer of some devices and topics',
    limited('viewer', ['stream:aiot/+/dev/telemetry/#', 'stream:lab/#']),
  ],
  ['a viewer of some devices and one other', limited('viewer', ['stream:aiot/v1/dev2/log', 'devices:read'])],
  ['a viewer of all topics of some devices', limited('viewer', ['stream:aiot/v1/dev/#', 'stream:aiot/v1'])],
];

const identities: [string, Identity][] = [
  ...limitedIdentities,
  ['a device', { kind: 'device', name: 'dev' }],
  ['a device with a dot in its name', { kind: 'device', name: 'press.2' }],
  ['an operator', user('operator')],
  ['ci', user('ci')],
  ['a viewer', user('viewer')],
  ['an operator limited to topics', user('operator', ['stream:lab/#', 'stream:aiot/v1/dev/command'])],
  ['ci limited to topics', user('ci', ['stream:lab/+', 'stream:aiot/v1/#'])],
  ['a viewer limited to topics', user('viewer', ['stream:lab/1', 'devices:read'])],
  ['an operator limited to no topic', user('operator', ['models:push'])],
  ['an operator limited to a topic that NATS lacks', user('operator', ['stream:lab/*'])],
];

const levels = [
  'aiot',
  'v1',
  'dev',
  'dev2',
  'press.2',
  'telemetry',
  'command',
  'desired',
  'log',
  's',
  'lab',
  '1',
];
const topics = [
  ...['$SYS/x', '$MQTT/msgs/aiot/v1/dev/log', '$JS/API/INFO', 'lab', 'lab/1', 'lab/1/2', 'labs', 'aiot/v1'],
  ...['dev', 'dev2', 'press.2', 'press'].flatMap((device) =>
    [
      'telemetry',
      'telemetry/s',
      'telemetry/s/t',
      'inference',
      'reported',
      'presence',
      'reply',
      'log',
      'crash',
    ]
      .concat(['desired', 'command', 'settings', 'other'])
      .map((channel) => `aiot/v1/${device}/${channel}`),
  ),
];
const anyTopic = fc.oneof(
  fc.constantFrom(...topics),
  fc.array(fc.constantFrom(...levels), { minLength: 1, maxLength: 5 }).map((parts) => parts.join('/')),
);

describe('rights at NATS', () => {
  it.each(identities)(
    'let %s publish and subscribe to the same topics as the built-in broker',
    (_who, identity) => {
      const rights = natsRights(identity, reachable);
      fc.assert(
        fc.property(anyTopic, (topic) => {
          const [subject = ''] = subjectsOf(topic);
          expect(allows(rights.pub, subject), `publish ${topic}`).toBe(mayPublish(identity, topic));
          // Topics that begin with `$` are the server's own, and its services use `_INBOX`.
          const may = maySubscribe(identity, topic) && !topic.startsWith('$');
          expect(allows(rights.sub, subject), `subscribe ${topic}`).toBe(may);
        }),
        { examples: topics.map((topic) => [topic]), numRuns: runs(2000) },
      );
    },
  );

  it.each(limitedIdentities)('let %s use no wildcard that matches other devices', (_who, identity) => {
    const { sub } = natsRights(identity, reachable);
    const filter = fc
      .array(fc.constantFrom('aiot', 'v1', '+', ...reachable, 'dev2', 'telemetry', 'log'), { maxLength: 5 })
      .chain((head) => fc.boolean().map((isOpen) => [...head, ...(isOpen || head.length === 0 ? ['#'] : [])]))
      .map((all) => all.join('/'));
    const examples = ['#', '+/#', 'aiot/#', 'aiot/v1/#', 'aiot/v1/+/log', 'aiot/v1/dev/#', 'aiot/+/dev/log'];
    fc.assert(
      fc.property(filter, (wanted) => {
        const may = subjectsOf(wanted).every((subject) => allows(sub, subject));
        expect(may, wanted).toBe(mayUseFilterOutside(identity, wanted));
      }),
      { examples: examples.map((text) => [text]), numRuns: runs(2000) },
    );
  });

  it('of a user without any device in reach are none', () => {
    const { pub, sub } = natsRights(limited('operator'), []);
    for (const subject of ['aiot.v1.dev.log', 'x']) {
      expect(allows(pub, subject)).toBe(false);
      expect(allows(sub, subject)).toBe(false);
    }
  });

  it.each(identities)('let %s use no service of the server', (_who, identity) => {
    const { pub, sub } = natsRights(identity, reachable);
    for (const subject of [
      ...['$SYS.REQ.USER.AUTH', '$SYS.REQ.SERVER.PING', '$JS.API.STREAM.PURGE.$MQTT_msgs', '$KV.x.y', '$O.x'],
      ...['$MQTT.msgs.aiot.v1.dev.log', '$MQTT.rmsgs.x', '$MQTT.sess.x', '_INBOX.abc', '_R_.x', '$SRV.PING'],
    ]) {
      expect(allows(pub, subject), `publish ${subject}`).toBe(false);
      expect(allows(sub, subject), `subscribe ${subject}`).toBe(false);
    }
    expect(allows(pub, '$MQTT.sub.x')).toBe(false);
  });

  it('of devices contain no wildcard but that of telemetry, so that no filter fits them', () => {
    const { pub, sub } = natsRights({ kind: 'device', name: 'dev' });
    const wild = [...(pub.allow ?? []), ...(sub.allow ?? [])].filter((subject) => /[*>]/.test(subject));
    expect(wild).toEqual(['aiot.v1.dev.telemetry.*']);
    expect(sub.allow).toEqual(['aiot.v1.dev.desired', 'aiot.v1.dev.command', 'aiot.v1.dev.settings']);
  });

  it('of a listener for boards are none', () => {
    const rights = natsRights({ kind: 'board', door: { publish: ['#'], subscribe: ['#'] } });
    expect(allows(rights.pub, 'lab')).toBe(false);
    expect(allows(rights.sub, 'lab')).toBe(false);
  });
});

/** NATS's rule: without a list of allowed subjects everything is allowed, and a denied one counts more (NATS docs, "Authorization"). */
function allows({ allow, deny }: NatsRights['pub'], subject: string): boolean {
  const matches = (pattern: string) => {
    const wanted = pattern.split('.');
    const tokens = subject.split('.');
    for (const [at, token] of wanted.entries()) {
      if (token === '>') return tokens.length > at;
      if (tokens[at] === undefined || (token !== '*' && token !== tokens[at])) return false;
    }
    return tokens.length === wanted.length;
  };
  const allowed = allow === undefined || allow.length === 0 || allow.some(matches);
  return allowed && !(deny ?? []).some(matches);
}
