import { stripVTControlCharacters } from 'node:util';
import { Config } from '@oclif/core';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import AiotHelp from '../../src/lib/cli/help.js';
import { storedTable, streamsTable } from '../../src/lib/cli/render/datasets.js';
import { devicesTable } from '../../src/lib/cli/render/fleet.js';
import {
  eventText,
  jobsTable,
  tokensTable,
  usersTable,
  webhooksTable,
} from '../../src/lib/cli/render/platform.js';
import { rolloutsTable } from '../../src/lib/cli/render/rollout.js';
import { facts, table, wrappedLines } from '../../src/lib/cli/render/text.js';
import { root } from '../support/cli.js';

const at = Date.UTC(2026, 10, 21, 8, 30);
const long = 'press-sensor-node-12';
const digest = `sha256:${'ab'.repeat(32)}`;

const device = {
  ...{ name: long, id: 'dev_1', type: 'esp32-c3-with-accelerometer', state: 'active', online: false },
  ...{ lastSeen: at - 3_600_000, firmware: '1.12.3-rc.4+build', updateState: 'DOWNLOADING' },
  model: { name: 'vibration-of-press', version: 12, sequence: 31 },
};
const job = {
  ...{ id: 'job_01kaf3m0q8zj2x', kind: 'dataset.export', state: 'running', step: 'recording 120 of motion' },
  ...{ done: 120, total: 4000, who: 'operator somebody@example.com', created: at, started: at, ended: null },
  ...{ request: {}, result: null, error: null, cancelled: false },
};
const token = {
  ...{ id: 'tok_01kaf3m0q8zj2x', name: 'pipeline of the plant', owner: 'somebody', role: 'operator' },
  ...{
    scopes: ['models:write', 'devices:read', 'rollouts:write'],
    state: 'valid',
    expires: at,
    lastUsed: at,
  },
};
const webhook = {
  ...{ id: 'wh_01kaf3m0q8zj2x', url: 'https://hooks.example.com/services/T000/B000/XXXXXXXX', created: at },
  ...{ types: ['device.*', 'rollout.end'], enabled: true, failures: 3, behind: 12_345, failingSince: at },
  ...{ error: 'the target answered 503 Service Unavailable', retryAt: at, position: 1, allowPrivate: false },
};
const recording = {
  ...{ device: long, id: 'walking-in-the-corridor-12', label: 'walking', rateHz: 100, messages: 100 },
  ...{ samples: 127_500, bytes: 1, duplicates: 12, startedAt: at, endedAt: at, missing: 12, outOfOrder: 3 },
  ...{ late: 4, future: 1, firstAt: at, lastAt: at },
};
const stream = {
  ...{
    name: 'vibration',
    recordings: 1234,
    messages: 1_234_567,
    samples: 123_456_789,
    bytes: 12_345_678_901,
  },
  ...{ duplicates: 0, labels: { walking: 120, 'standing-still': 130, running: 99, 'climbing-stairs': 12 } },
};
const user = {
  name: 'somebody.of.the.plant@example.com',
  role: 'operator',
  created: at,
  disabled: at,
  tokens: 12,
};
const event = {
  ...{ id: 123_456, at, type: 'device.provision', subject: 'press-7', who: 'operator somebody' },
  data: { fingerprint: digest, more: 'x'.repeat(200) },
};
const rollout = {
  ...{ id: 'ro_01kaf3m0q8zj2x4v6b8d0f2h4j', state: 'paused', created: at },
  releases: [{ kind: 'model', name: 'vibration-of-press', version: 12, sequence: 31 }],
  waves: [{ committed: 1200, devices: 12_345 }],
  reason: {
    code: 'AIOT_ROLLOUT_FAILURES',
    message: '12 of 1234 devices of wave 1 failed; no failures are allowed in a wave of this size',
  },
};

type Any = never;
const lists: [name: string, text: () => string, whole: string][] = [
  ['device list', () => devicesTable([device as Any], at), long],
  ['job list', () => jobsTable([job as Any]), job.id],
  ['token list', () => tokensTable([token as Any]), token.id],
  ['webhook list', () => webhooksTable([webhook as Any]), webhook.id],
  ['data list', () => storedTable([recording as Any]), long],
  ['data streams', () => streamsTable([stream as Any]), 'vibration'],
  ['user list', () => usersTable([user as Any]), user.name],
  ['rollout list', () => rolloutsTable([rollout as Any]), rollout.id],
  ['events tail', () => eventText(event as Any), 'press-7'],
];

describe('text on a terminal', () => {
  let before: string | undefined;
  beforeEach(() => {
    before = process.env.COLUMNS;
  });
  afterEach(() => {
    if (before === undefined) delete process.env.COLUMNS;
    else process.env.COLUMNS = before;
  });
  const widest = (text: string) =>
    Math.max(
      ...stripVTControlCharacters(text)
        .split('\n')
        .map((line) => line.length),
    );

  it.each(lists)('fits in 80 columns and shows each row’s name in full: %s', (_, text, whole) => {
    process.env.COLUMNS = '80';
    expect(widest(text())).toBeLessThanOrEqual(80);
    expect(stripVTControlCharacters(text())).toContain(whole);
  });

  it.each([
    ['job list', () => jobsTable([job as Any]), /^id +kind +state +progress +user +created \(UTC\)/],
    ['data list', () => storedTable([recording as Any]), / started \(UTC\) /],
    ['rollout list', () => rolloutsTable([rollout as Any]), / started \(UTC\)/],
  ])('says that times are in UTC: %s', (_, text, heading) => {
    process.env.COLUMNS = '200';
    expect(stripVTControlCharacters(text())).toMatch(heading);
  });

  it.each(lists)('is not wrapped if the width is unknown, as in a file: %s', (_, text) => {
    delete process.env.COLUMNS;
    const whole = text();
    expect(widest(whole)).toBeGreaterThan(80);
    process.env.COLUMNS = '200';
    expect(widest(text())).toBeLessThanOrEqual(200);
  });

  // Each event is one line, as in a log.
  it.each(lists.filter(([name]) => name !== 'events tail'))('has no truncated values: %s', (_, text) => {
    process.env.COLUMNS = '80';
    const ends = () => text().split('…').length;
    const narrow = ends();
    process.env.COLUMNS = '400';
    expect(narrow).toBe(ends());
  });

  /** The words, and the parts of long ones (URLs, lists) that may be on separate lines. */
  const words = (text: string) => stripVTControlCharacters(text).split(/[\s|,/:;&?=]+/);

  it.each(lists.filter(([name]) => name !== 'events tail'))('has no broken words: %s', (_, text) => {
    process.env.COLUMNS = '400';
    const whole = words(text());
    for (const columns of ['80', '60', '40']) {
      process.env.COLUMNS = columns;
      expect(words(text()).filter((word) => !whole.includes(word))).toEqual([]);
    }
  });

  it('is wrapped between words in facts and sentences, while commands stay whole', () => {
    process.env.COLUMNS = '80';
    const long = 'word '.repeat(30).trim();
    expect(widest(facts([['why', long]]))).toBeLessThanOrEqual(80);
    expect(widest(wrappedLines(`! ${long}`))).toBeLessThanOrEqual(80);
    expect(new Set(words(facts([['why', long]])))).toEqual(new Set(['why', 'word']));
    expect(new Set(words(wrappedLines(`! ${long}`)))).toEqual(new Set(['!', 'word']));
    const command = `Next: aiot stream tail ${'x '.repeat(60)}`;
    expect(wrappedLines(command)).toBe(command);
  });

  it('keeps links whole even if they are longer than the line', () => {
    process.env.COLUMNS = '80';
    const link = `https://127.0.0.1:18443/#/login/${'Aus9F-gHhkncXP8H9fG-0WRjbdGT0HnZxSqVzzb4cf0'.repeat(2)}`;
    expect(facts([['dashboard', link]])).toContain(link);
    expect(wrappedLines(`Open ${link} in a browser on this machine within fifteen minutes.`)).toContain(link);
    expect(wrappedLines(link)).toBe(link);
    const path = `/srv/${'platforms/'.repeat(12)}ca.crt`;
    expect(widest(facts([['CA', path]]))).toBeLessThanOrEqual(80);
  });

  it('shows a row as a block if its words are wider than the line', () => {
    process.env.COLUMNS = '40';
    const text = table(
      ['id', 'one', 'two', 'three'],
      [['a'.repeat(20), 'b'.repeat(15), null, 'c'.repeat(15)]],
    );
    expect(text).toBe(`${'a'.repeat(20)}\n  one    ${'b'.repeat(15)}\n  three  ${'c'.repeat(15)}`);
  });
});

describe('help on a terminal', () => {
  it.each([40, 50, 79, 80, 120])('fits in %i columns: the front page', async (columns) => {
    const text: string[] = [];
    const Shown = class extends AiotHelp {
      protected override log(...lines: string[]): void {
        text.push(...lines);
      }
    };
    const config = await Config.load(root);
    await new Shown(config, { maxWidth: columns, stripAnsi: true }).showHelp([]);
    const lines = text.join('\n').split('\n');
    expect(lines.filter((line) => line.length > columns)).toEqual([]);
    for (const word of ['rollout', 'status, dashboard, down', 'Update a fleet in waves'])
      expect(text.join('\n')).toContain(word);
  });

  it.each([
    ['examples'],
    ['rollout show'],
    ['firmware merge'],
    ['device simulate'],
    ['deploy check'],
    ['flash'],
  ])('fits in 80 columns, except for examples, and has no broken words: aiot %s --help', async (command) => {
    const help = async (columns: number) => {
      const text: string[] = [];
      const config = await Config.load(root);
      const Shown = class extends AiotHelp {
        protected override log(...lines: string[]): void {
          text.push(...lines);
        }
      };
      await new Shown(config, { maxWidth: columns, stripAnsi: true }).showHelp([
        ...command.split(' '),
        '--help',
      ]);
      return text.join('\n');
    };
    const [narrow, wide] = [await help(80), await help(2000)];
    const lines = narrow.split('\n').filter((line) => /^ /.test(line) && !line.includes('$ aiot'));
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(80);
    const known = wide.split(/[\s|,/]+/);
    expect(narrow.split(/[\s|,/]+/).filter((word) => word !== '\\' && !known.includes(word))).toEqual([]);
  });
});
