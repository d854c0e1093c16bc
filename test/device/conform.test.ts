import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { addContext } from '../../src/lib/core/contexts.js';
import type { Bench } from '../../src/lib/device/conform/bench.js';
import {
  activeChecks,
  type Conformity,
  conformitySchema,
  conformWith,
  passiveChecks,
} from '../../src/lib/device/conform/conform.js';
import type { Seen } from '../../src/lib/device/conform/listen.js';
import { createVirtualDevice } from '../../src/lib/device/virtual/device.js';
import type { VirtualDevice } from '../../src/lib/device/virtual/types.js';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { root, runCli } from '../support/cli.js';
import { type Fault, faultyLink, type Outgoing } from '../support/conform.js';
import { motionSamples } from '../support/motion-bundle.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';
import { push } from '../support/push.js';
import { oneWave, rolloutEnd } from '../support/rollout.js';

let own: TestPlatform;
const running: VirtualDevice[] = [];

beforeAll(async () => {
  own = await testPlatform();
  vi.stubEnv('AIOT_CONFIG_DIR', join(own.folder, 'config'));
  const { urls, ca } = own.platform;
  const context = { url: urls.http, mqtt: urls.mqtts, ca, token: own.token };
  await addContext('own', context, { use: true });
  await push(own, 1);
  await push(own, 2);
  await push(own, 3, ['esp32']);
  await push(own, 4);
});
afterAll(async () => {
  vi.unstubAllEnvs();
  await Promise.all(running.map((device) => device.stop()));
  await own.stop();
});

/** Starts a device with this name on the platform, with a fault on its connection. */
async function start(name: string, fault: Fault = {}) {
  const out = join(own.folder, name);
  await mkdir(out, { recursive: true });
  await provisionDevice({ client: own.client, name, type: 'virtual', out });
  const device = await createVirtualDevice({ identityDir: out, openLink: faultyLink(fault) });
  running.push(device);
  await device.connect();
  return device;
}

async function rollOut(version: number, ...names: string[]) {
  const { sequence } = await own.client.models.get('motion', version);
  const selector = names.map((name) => `name=${name}`).join(' or ');
  const request = oneWave({ name: 'motion', version, sequence, selector, deadlineMs: 60_000 });
  const { id } = await own.client.rollouts.start(request);
  expect((await rolloutEnd(own.client, id)).state).toBe('done');
}

const failedOf = ({ checks }: Conformity) => checks.filter(({ state }) => state === 'failed');

describe('a conforming device', () => {
  it('passes every check that can run, and is left unchanged; the other checks are reported as skipped', async () => {
    const device = await start('whole-1');
    await rollOut(2, 'whole-1');
    const { signal, stop } = stopper();
    const rows = motionSamples(20_000, 3);
    const recording = {
      ...{ id: 'walk', label: null, device: null, rateHz: 100, startedAt: 1_700_000_000_000 },
      fields: ['x', 'y', 'z'],
      columns: [0, 1, 2].map((f) => Float64Array.from(rows, (row) => row[f] as number)),
    };
    const sent = device.replay(recording, {
      stream: 'walks',
      speed: 20,
      predict: true,
      telemetry: true,
      signal,
    });
    const before = await own.client.devices.state('whole-1');
    const { stdout, code, json } = await runCli([
      'device',
      'conform',
      '--selector',
      'whole-1',
      '--for',
      '1s',
      '--json',
    ]);
    stop();
    await sent.catch(() => {});
    const result = conformitySchema.parse(json);
    expect(failedOf(result)).toEqual([]);
    expect({ code, lines: stdout.trimEnd().split('\n').length }).toEqual({ code: 0, lines: 1 });
    expect(result.checks.filter(({ state }) => state === 'skipped').map(({ id }) => id)).toEqual([
      'update-committed',
      'update-states',
    ]);
    const { desired, reported } = await own.client.devices.state('whole-1');
    expect(desired).toEqual(before.desired);
    const { state, rollout, model, error } = reported as Record<string, unknown>;
    const was = before.reported as Record<string, unknown>;
    expect({ state, rollout, model, error }).toEqual({
      ...{ state: was.state, rollout: was.rollout, model: was.model, error: null },
    });
  }, 60_000);

  it('installs a model on request, and the result is printed as a table', async () => {
    await start('whole-2');
    const words = ['device', 'conform', '--selector', 'whole-2', '--model', 'motion@2', '--for', '1ms'];
    const { stdout, code } = await runCli(words);
    expect({ code, stdout }).toEqual({
      code: 0,
      stdout: expect.stringMatching(/✓ +update-states +#update /),
    });
    expect(stdout).toMatch(/whole-2 conforms to protocol v1: \d+ passed, 0 failed, \d+ skipped in \d/);
    expect(await own.client.devices.get('whole-2')).toMatchObject({ model: { name: 'motion', version: 2 } });
  }, 60_000);

  it.each(activeChecks.concat(passiveChecks))(
    'is checked by $id, which the protocol page documents',
    async ({ section, rule }) => {
      const page = await readFile(join(root, 'docs', 'reference', 'protocol.md'), 'utf8');
      const anchors = [...page.matchAll(/^#+ (.+)$/gm)].map(([, title = '']) =>
        title
          .toLowerCase()
          .replace(/[^\w\s-]/g, '')
          .replaceAll(' ', '-'),
      );
      expect(anchors).toContain(section);
      expect(rule).not.toBe('');
    },
  );
});

describe('a device that cannot be checked', () => {
  it('is rejected if it is unknown, offline, or in a rollout', async () => {
    await expect(runCli(['device', 'conform', '--selector', 'nobody'])).resolves.toMatchObject({ code: 4 });
    const device = await start('away-1');
    await device.stop();
    await expect.poll(async () => (await own.client.devices.get('away-1')).online).toBe(false);
    const away = await runCli(['device', 'conform', '--selector', 'away-1', '--json']);
    expect({ code: away.code, said: away.stdout + away.stderr }).toEqual({
      code: 1,
      said: expect.stringContaining('AIOT_DEVICE_OFFLINE'),
    });
    await start('busy-1', { hears: (channel, payload) => (channel === 'desired' ? [] : [payload]) });
    const { sequence } = await own.client.models.get('motion', 1);
    const request = oneWave({
      ...{ name: 'motion', version: 1, sequence, selector: 'name=busy-1', deadlineMs: 60_000 },
    });
    const { id } = await own.client.rollouts.start(request);
    const busy = await runCli(['device', 'conform', '--selector', 'busy-1', '--json']);
    expect(busy.stdout + busy.stderr).toContain('AIOT_DEVICE_UPDATING');
    expect(busy.stdout + busy.stderr).toContain(id);
  });
});

const told = (out: Outgoing) => JSON.stringify(out.message);
/** Replaces the error code in its reports, if the message matches. */
const miscoded =
  (code: string, words = /./): Fault['says'] =>
  (out) => {
    const error = out.message.error as { code?: string; message?: string } | null | undefined;
    if (out.channel !== 'reported' || error?.code !== code || !words.test(error.message ?? '')) return [out];
    return [{ ...out, message: { ...out.message, error: { ...error, code: 'AIOT_UPDATE_SIZE' } } }];
  };
/** Reports the nth rollout that fails because of a wrong signature with another code. */
const nthUnsigned = (n: number): Fault['says'] => {
  const rollouts = new Set<unknown>();
  const wrong = miscoded('AIOT_SIGNATURE_INVALID') ?? ((out: Outgoing) => [out]);
  return (out) => {
    if (out.channel !== 'reported' || !told(out).includes('AIOT_SIGNATURE_INVALID')) return [out];
    rollouts.add(out.message.rollout);
    return [...rollouts].indexOf(out.message.rollout) === n ? wrong(out) : [out];
  };
};
const begunAgain = (out: Outgoing): Outgoing => ({
  ...out,
  message: { ...out.message, state: 'DOWNLOADING', error: null },
});
const reply = (id: unknown, message: object): Outgoing => ({
  ...{ channel: 'reply', qos: 1, retain: false },
  message: { id, t: 1, ...message },
});
const silent =
  (channel: string): Fault['says'] =>
  (out) =>
    out.channel === 'log' && told(out).includes(`/${channel}: `) ? [] : [out];
const on =
  (channel: string, change: (out: Outgoing) => Outgoing[]): Fault['says'] =>
  (out) =>
    out.channel === channel ? change(out) : [out];

/** One fault per check. A device with the fault fails that check and no other. */
const faults: Record<string, () => Fault> = {
  'presence-retained': () => ({ says: on('presence', (out) => [{ ...out, retain: false }]) }),
  'reported-retained': () => ({ says: on('reported', (out) => [{ ...out, retain: false }]) }),
  'command-ping': () => ({
    says: on('reply', (out) =>
      told(out).includes('"state"') || !out.message.ok ? [out] : [reply(out.message.id, { ok: true })],
    ),
  }),
  'command-status': () => ({
    says: on('reply', (out) => {
      const result = out.message.result as { id?: string } | undefined;
      return [
        result?.id ? { ...out, message: { ...out.message, result: { ...result, id: 'another' } } } : out,
      ];
    }),
  }),
  'command-unknown': () => ({
    says: on('reply', (out) => [out.message.ok ? out : reply(out.message.id, { ok: true, result: {} })]),
  }),
  'command-expired': () => ({
    hears: (channel, payload) => {
      if (channel !== 'command' || !payload.includes('"expires"')) return [payload];
      const { expires: _, ...command } = JSON.parse(payload.toString());
      return [Buffer.from(JSON.stringify(command))];
    },
  }),
  'command-repeated': () => ({ says: on('reply', (out) => [out, out]) }),
  'command-unknown-members': () => ({
    hears: (channel, payload, say) => {
      if (channel !== 'command' || !payload.includes('x-conform')) return [payload];
      const error = { code: 'AIOT_COMMAND_FAILED', message: 'x-conform' };
      say(reply(JSON.parse(payload.toString()).id, { ok: false, error }));
      return [];
    },
  }),
  'command-malformed': () => ({ says: silent('command') }),
  'desired-malformed': () => ({ says: silent('desired') }),
  'desired-kind': () => ({
    hears: (channel, payload) =>
      channel === 'desired' ? [Buffer.from(payload.toString().replace('"firmware"', '"model"'))] : [payload],
  }),
  'desired-unknown-members': () => ({
    hears: (_channel, payload) =>
      payload.includes('"kind"') && payload.includes('x-conform') ? [] : [payload],
  }),
  'desired-repeated': () => {
    const ended = new Set<unknown>();
    return {
      says: on('reported', (out) => {
        const { rollout, error } = out.message;
        if (!error || ended.has(rollout)) return ended.has(rollout) ? [begunAgain(out), out] : [out];
        ended.add(rollout);
        return [out];
      }),
    };
  },
  'desired-withdrawn': () => ({
    hears: (_channel, payload, say) => {
      const message = { t: 1, level: 'warn', message: 'empty', code: 'AIOT_MESSAGE_MALFORMED' };
      if (payload.length === 0) say({ channel: 'log', message, qos: 1, retain: false });
      return [payload];
    },
  }),
  'desired-running': () => ({
    says: on('reported', (out) => {
      const own = String(out.message.rollout).startsWith('conform-') && out.message.state === 'COMMITTED';
      return own ? [begunAgain(out), out] : [out];
    }),
  }),
  'manifest-missing': () => ({ says: miscoded('AIOT_UPDATE_DOWNLOAD') }),
  'manifest-garbage': () => ({ says: miscoded('AIOT_MANIFEST_MALFORMED', /JSON|signatures/) }),
  'manifest-oversized': () => ({ says: miscoded('AIOT_MANIFEST_MALFORMED', /6553|64/) }),
  'manifest-unknown-key': () => ({ says: nthUnsigned(0) }),
  'manifest-wrong-signature': () => ({ says: nthUnsigned(1) }),
  'manifest-mismatch': () => ({ says: miscoded('AIOT_UPDATE_MISMATCH') }),
  'manifest-other-type': () => ({ says: miscoded('AIOT_UPDATE_DEVICE_TYPE') }),
  'manifest-older': () => ({ says: miscoded('AIOT_UPDATE_SEQUENCE') }),
  'update-states': () => ({ says: on('reported', (out) => (out.message.state === 'TRIAL' ? [] : [out])) }),
  'update-committed': () => ({
    says: on('reported', (out) => {
      const error = { code: 'AIOT_UPDATE_TRIAL', message: 'never again' };
      const first =
        out.message.state === 'COMMITTED' && (out.message.model as { version?: number })?.version === 4;
      return [first ? { ...out, message: { ...out.message, state: 'ROLLED_BACK', error } } : out];
    }),
  }),
  'command-reboot': () => ({
    hears: (channel, payload, say) => {
      if (channel !== 'command' || !payload.includes('"reboot"')) return [payload];
      say(reply(JSON.parse(payload.toString()).id, { ok: true, result: {} }));
      return [];
    },
  }),
  'presence-goodbye': () => {
    let last: Outgoing | undefined;
    return {
      says: on('reported', (out) => {
        last = out;
        return [out];
      }),
      hears: (channel, payload, say) => {
        if (channel !== 'command' || !payload.includes('"reboot"')) return [payload];
        say(reply(JSON.parse(payload.toString()).id, { ok: true, result: {} }));
        say({ channel: 'presence', message: { online: true, t: 1 }, qos: 1, retain: true });
        if (last) say(last);
        return [];
      },
    };
  },
  'presence-first': () => {
    let last: Outgoing | undefined;
    return {
      says: (out) => {
        if (out.channel === 'reported') last = out;
        return out.channel === 'presence' && out.message.online && last ? [last, out] : [out];
      },
    };
  },
  qos: () => ({ says: on('log', (out) => [{ ...out, qos: 0 }]) }),
};

describe('a device with one fault', () => {
  const found: Record<string, Conformity> = {};
  const nameOf = (id: string) => `without-${id}`;

  beforeAll(async () => {
    const ids = Object.keys(faults);
    await Promise.all(ids.map((id) => start(nameOf(id), faults[id]?.())));
    await rollOut(2, ...ids.map(nameOf));
    const looking = ids.map(async (id) => {
      const { urls } = own.platform;
      const device = nameOf(id);
      const model = id.startsWith('update-') ? { name: 'motion', version: 4 } : null;
      found[id] = await conformWith(
        own.client,
        { url: urls.mqtts, ca: own.ca, username: 'operator', password: own.token, device, signal: undefined },
        { device, model, forMs: 0, patienceMs: 10_000 },
      );
    });
    await Promise.all(looking);
  }, 300_000);

  it.each(Object.keys(faults))('fails %s and nothing else', (id) => {
    expect(failedOf(found[id]!).map((check) => `${check.id}: ${check.reason}`)).toEqual([
      expect.stringMatching(`^${id}: `),
    ]);
  });

  it('exists for each active check', () => {
    expect([...Object.keys(faults)].sort()).toEqual([...activeChecks.map(({ id }) => id), 'qos'].sort());
  });
});

describe('a passive check', () => {
  const message = (channel: string, value: object | null, more: object = {}): Seen =>
    ({
      ...{ at: 1, channel, stream: undefined, qos: 1, retained: false, value, wrong: null },
      ...{ topic: `aiot/v1/d/${channel}${channel === 'telemetry' ? '/s' : ''}`, ...more },
    }) as Seen;
  const batch = (more: object = {}) => message('telemetry', { seq: 0, t: 1, rate: 2, x: [1, 2], ...more });

  it.each([
    [
      'payload-telemetry',
      [message('telemetry', null, { wrong: 'seq: expected number' })],
      'seq: expected number',
    ],
    ['payload-reply', [message('reply', null, { wrong: 'id: missing' })], 'id: missing'],
    ['telemetry-columns', [batch({ y: [1] })], 'expected columns of equal length, got x: 2, y: 1'],
    ['telemetry-columns', [batch({ y: 1 })], 'expected columns of equal length, got x: 2, y: one value'],
    ['telemetry-columns', [message('telemetry', { x: [1] })], 'expected a batch to include its rate'],
    ['telemetry-columns', [message('telemetry', { seq: 1 })], 'expected at least one field'],
    ['telemetry-columns', [batch({ x: ['1', 2] })], 'x: expected numbers, got "1"'],
    ['telemetry-seq', [batch({ seq: 3 }), batch({ seq: 5 })], 'expected seq 4 after 3, got 5'],
    [
      'telemetry-seq',
      [batch({ seq: 3 }), batch({ seq: 3, x: [9, 9] })],
      'expected seq 4 after 3, got 3 with another payload',
    ],
    [
      'inference-seq',
      [message('inference', { seq: 0 }), message('inference', { seq: 2 })],
      'expected seq 1 after 0',
    ],
  ])('%s rejects %j with a reason', async (id, seen, reason) => {
    const run = passiveChecks.find((check) => check.id === id)?.run;
    await expect(run?.({ listener: { seen } } as unknown as Bench)).rejects.toThrow(reason);
  });

  it.each([
    ['telemetry-seq', [batch({ seq: 3 }), batch({ seq: 3 }), batch({ seq: 4 }), batch({ seq: 0 })]],
    [
      'telemetry-seq',
      [
        batch({ seq: 3, recording: 'a' }),
        batch({ seq: 0, recording: 'b' }),
        batch({ seq: 4, recording: 'a' }),
      ],
    ],
    ['telemetry-columns', [message('telemetry', { x: 1, y: null })]],
  ])('%s accepts %j', async (id, seen) => {
    const run = passiveChecks.find((check) => check.id === id)?.run;
    await expect(run?.({ listener: { seen } } as unknown as Bench)).resolves.toBeUndefined();
  });
});

function stopper() {
  const controller = new AbortController();
  return { signal: controller.signal, stop: () => controller.abort() };
}
