import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pino from 'pino';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { deferred } from '../../src/lib/core/tasks.js';
import type { Devices } from '../../src/lib/platform/devices/devices.js';
import { Alarms } from '../../src/lib/platform/events/alarms.js';
import { eventsIn } from '../../src/lib/platform/events/events.js';
import type { Telemetry } from '../../src/lib/platform/journal/telemetry.js';
import { openStore, type Store } from '../../src/lib/platform/store/database.js';

let folder: string;
let real: Store;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'aiot-alarms-'));
  real = await openStore(join(folder, 'state.db'));
});
afterEach(async () => {
  await real.destroy();
  await rm(folder, { recursive: true, force: true });
});

const at = 1_700_000_000_000;
const hot = { name: 'hot', where: 'x > 80' };

/**
 * Evaluates one message on which the alarm `hot` holds. `meanwhile` runs in another process after the evaluation, and before its results are stored.
 * Then, `between` runs in this process before another such message.
 */
async function evaluateWhile(
  meanwhile: (alarms: Alarms) => Promise<unknown>,
  between?: (alarms: Alarms) => Promise<unknown>,
) {
  let before: (() => Promise<unknown>) | undefined;
  const store = new Proxy(real, {
    get: (target, key) => {
      const value: unknown = Reflect.get(target, key);
      if (key !== 'transaction') return typeof value === 'function' ? value.bind(target) : value;
      return () => ({
        execute: async (task: Parameters<ReturnType<Store['transaction']>['execute']>[0]) => {
          const first = before;
          before = undefined;
          await first?.();
          return target.transaction().execute(task);
        },
      });
    },
  });
  const stored = deferred();
  const entry = { at: at + 1, device: 'd', channel: 'telemetry' as const, stream: 's', payload: { x: 90 } };
  const reader = {
    end: async () => '0',
    async *from(_: string, signal: AbortSignal) {
      yield [{ entry, position: '1' }];
      if (between) {
        await between(alarms);
        yield [{ entry: { ...entry, at: at + 2 }, position: '2' }];
      }
      stored.resolve();
      await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
    },
  };
  const events = eventsIn(store, () => at);
  const devices = { find: (name: string) => ({ name }) } as unknown as Devices;
  const others = eventsIn(real, () => at);
  const attention = { unwell: async () => [] };
  const parts = { telemetry: { reader } as unknown as Telemetry, devices, attention, now: () => at };
  const log = pino({ level: 'silent' });
  const alarms: Alarms = new Alarms({ ...parts, store, events, log });
  const otherProcess = new Alarms({ ...parts, store: real, events: others, log });
  await alarms.create(hot, 'me');
  await alarms.create({ name: 'calm', where: 'x > 1000' }, 'me');
  before = () => meanwhile(otherProcess);
  const ended = new AbortController();
  const running = alarms.worker().run(ended.signal);
  await stored.promise;
  ended.abort();
  await running;
  events.feed.close();
  others.feed.close();
  const types = await real.selectFrom('events').select('type').orderBy('id').execute();
  return {
    incidents: await real.selectFrom('incidents').select(['alarm', 'device', 'cleared']).execute(),
    states: await real.selectFrom('alarmStates').select(['alarm', 'device']).execute(),
    events: types.map(({ type }) => type).filter((type) => type.startsWith('alarm.')),
  };
}

describe('a change of alarms during an evaluation', () => {
  it('does not affect the results of an alarm that stays', async () => {
    expect(await evaluateWhile((alarms) => alarms.remove('calm', 'me'))).toEqual({
      incidents: [{ alarm: 'hot', device: 'd', cleared: null }],
      states: [{ alarm: 'hot', device: 'd' }],
      events: ['alarm.create', 'alarm.create', 'alarm.remove', 'alarm.raise'],
    });
  });

  it('leaves no incident of an alarm that was removed', async () => {
    expect(await evaluateWhile((alarms) => alarms.remove('hot', 'me'))).toEqual({
      incidents: [],
      states: [],
      events: ['alarm.create', 'alarm.create', 'alarm.remove'],
    });
  });

  it('leaves no incident of an alarm that was changed', async () => {
    const changed = { project: 'oven', alarms: [{ ...hot, where: 'x > 95' }] };
    expect(await evaluateWhile((alarms) => alarms.apply(changed, 'me'))).toEqual({
      incidents: [],
      states: [],
      events: ['alarm.create', 'alarm.create', 'alarm.update'],
    });
  });

  it('leaves no incident of an alarm that a user changed', async () => {
    const changed = { ...hot, where: 'x > 95' };
    expect(await evaluateWhile((alarms) => alarms.replace('hot', changed, 'me'))).toEqual({
      incidents: [],
      states: [],
      events: ['alarm.create', 'alarm.create', 'alarm.update'],
    });
  });

  const there = { ...hot, where: 'x > 95' };
  const thereAndBack = async (alarms: Alarms) => {
    for (const request of [there, hot]) await alarms.replace('hot', request, 'you');
  };

  it('leaves no incident of an alarm that another process changed there and back', async () => {
    expect(await evaluateWhile(thereAndBack)).toEqual({
      incidents: [],
      states: [],
      events: ['alarm.create', 'alarm.create', 'alarm.update', 'alarm.update'],
    });
  });

  it('raises a new incident after a firing alarm was changed there and back', async () => {
    let by: unknown;
    const change = async (alarms: Alarms) => {
      await thereAndBack(alarms);
      by = (await alarms.get('hot')).alarm.by;
    };
    const { incidents, events } = await evaluateWhile(async () => {}, change);
    expect(incidents.map(({ cleared }) => cleared).sort()).toEqual([at, null]);
    const changed = ['alarm.clear', 'alarm.update', 'alarm.update', 'alarm.raise'];
    expect(events).toEqual(['alarm.create', 'alarm.create', 'alarm.raise', ...changed]);
    expect(by).toBe('you');
  });

  it('suggests --replace for a name in use, and the opposite for a name that is not', async () => {
    const next: unknown[] = [];
    await evaluateWhile(async (alarms) => {
      await alarms.create(hot, 'me').catch((error) => next.push(error.next));
      await alarms.replace('cold', { ...hot, name: 'cold' }, 'me').catch((error) => next.push(error.next));
    });
    expect(next).toEqual([
      'To change it, run `aiot alarm create` with --replace. Otherwise, choose another name.',
      'To create it, run `aiot alarm create` without --replace.',
    ]);
  });

  it('keeps the incident if the new definition is the same, or is rejected', async () => {
    const refused: unknown[] = [];
    const change = async (alarms: Alarms) => {
      await alarms.replace('hot', hot, 'me');
      for (const [name, request] of [
        ['hot', { ...hot, name: 'cold' }],
        ['hot', { ...hot, where: 'x >' }],
        ['cold', { ...hot, name: 'cold' }],
      ] as const)
        await alarms.replace(name, request, 'me').catch(({ code }) => refused.push(code));
    };
    expect(await evaluateWhile(change)).toEqual({
      incidents: [{ alarm: 'hot', device: 'd', cleared: null }],
      states: [{ alarm: 'hot', device: 'd' }],
      events: ['alarm.create', 'alarm.create', 'alarm.raise'],
    });
    expect(refused).toEqual(['AIOT_REQUEST_INVALID', 'AIOT_STREAM_EXPRESSION', 'AIOT_NOT_FOUND']);
  });
});
