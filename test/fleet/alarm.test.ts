import { describe, expect, it } from 'vitest';
import { newAlarmSchema } from '../../src/lib/api/contract/alarms.js';
import {
  type AlarmState,
  absencesIn,
  addArrival,
  alarmMessage,
  alarmStep,
  isAbsent,
  isMaintained,
  quiet,
} from '../../src/lib/fleet/alarm.js';

const hot = newAlarmSchema.parse({
  name: 'hot',
  where: 'x > 80',
  forMs: 10_000,
  clear: 'x < 75',
  clearForMs: 5000,
});

/** Feeds one value per second, and returns the times at which an incident began or ended. */
function run(values: readonly number[], definition = hot, from: AlarmState = quiet) {
  let state = from;
  const news: string[] = [];
  values.forEach((x, second) => {
    const result = { holds: x > 80, clears: x < 75 };
    const step = alarmStep(definition, state, { t: second * 1000, values: { x } }, result);
    state = step.change === 'raised' ? { ...step.state, incident: 'inc' } : step.state;
    if (step.change !== null) news.push(`${step.change} at ${second}`);
  });
  return { news, state };
}

const repeat = (x: number, count: number) => Array.from({ length: count }, () => x);

describe('an alarm on one device', () => {
  it('fires once after the condition held for long enough', () => {
    expect(run(repeat(90, 10)).news).toEqual([]);
    expect(run(repeat(90, 60)).news).toEqual(['raised at 10']);
  });

  it('starts to count again after one sample without the condition', () => {
    expect(run([...repeat(90, 9), 70, ...repeat(90, 12)]).news).toEqual(['raised at 20']);
  });

  it('ends only after the second condition held for long enough, so that values between the limits do not end it', () => {
    const values = [...repeat(90, 11), ...repeat(78, 20), ...repeat(70, 3), 78, ...repeat(70, 6)];
    expect(run(values).news).toEqual(['raised at 10', 'cleared at 40']);
  });

  it('gives the same incidents if it continues from a stored state', () => {
    const values = [...repeat(90, 15), ...repeat(70, 8)];
    for (let cut = 0; cut < values.length; cut++) {
      let state = quiet;
      const news: string[] = [];
      values.forEach((x, second) => {
        if (second === cut) state = JSON.parse(JSON.stringify(state)) as AlarmState;
        const step = alarmStep(
          hot,
          state,
          { t: second * 1000, values: { x } },
          { holds: x > 80, clears: x < 75 },
        );
        state = step.change === 'raised' ? { ...step.state, incident: 'inc' } : step.state;
        if (step.change !== null) news.push(`${step.change} at ${second}`);
      });
      expect(news).toEqual(['raised at 10', 'cleared at 20']);
    }
  });

  it('ignores samples that arrive late', () => {
    const { state } = run(repeat(90, 5));
    const late = alarmStep(hot, state, { t: 1000, values: { x: 1 } }, { holds: false, clears: true });
    expect(late).toEqual({ state, change: null });
  });

  it('keeps the last 20 samples, and names the last values', () => {
    const { state } = run(
      repeat(90, 40),
      newAlarmSchema.parse({ name: 'hot', where: 'x > 80', forMs: 60_000 }),
    );
    expect(state.samples).toHaveLength(20);
    expect(alarmMessage(hot, state)).toBe('x > 80 for 10s: x=90');
  });

  it('finds past absences, counted from the last start of the platform', () => {
    const mute = newAlarmSchema.parse({ name: 'mute', absentMs: 60_000 });
    const spans: [number, number][] = [];
    for (const second of [0, 30, 80, 300, 10, 305]) addArrival(spans, second * 1000, 60_000);
    expect(spans).toEqual([
      [0, 80_000],
      [300_000, 300_000],
      [10_000, 10_000],
      [305_000, 305_000],
    ]);
    const found = (starts: number[], now: number) => absencesIn(mute, spans, starts, now);
    expect(found([], 310_000)).toEqual([{ last: 80_000, raised: 140_000, cleared: 300_000 }]);
    expect(found([200_000], 310_000)).toEqual([{ last: 80_000, raised: 260_000, cleared: 300_000 }]);
    expect(found([250_000], 310_000)).toEqual([]);
    expect(found([250_000], 400_000)).toEqual([{ last: 305_000, raised: 365_000, cleared: null }]);
    expect(absencesIn(mute, [], [], 400_000)).toEqual([]);
  });

  it('fires on absence, counted from the start of the watch', () => {
    const mute = newAlarmSchema.parse({ name: 'mute', absentMs: 60_000 });
    const state = { ...quiet, last: 1000 };
    expect(isAbsent(mute, state, 0, 60_999)).toBe(false);
    expect(isAbsent(mute, state, 0, 61_000)).toBe(true);
    expect(isAbsent(mute, state, 30_000, 61_000)).toBe(false);
    expect(isAbsent(mute, { ...state, incident: 'inc' }, 0, 99_000)).toBe(false);
  });
});

describe('a maintenance window', () => {
  // 23 May 2026 is a Saturday.
  it.each([
    ['sat,sun 02:00-04:00', '2026-05-23T01:59:59Z', false],
    ['sat,sun 02:00-04:00', '2026-05-23T02:00:00Z', true],
    ['sat,sun 02:00-04:00', '2026-05-24T03:59:59Z', true],
    ['sat,sun 02:00-04:00', '2026-05-24T04:00:00Z', false],
    ['sat,sun 02:00-04:00', '2026-05-25T03:00:00Z', false],
    ['sat 22:00-02:00', '2026-05-23T21:59:59Z', false],
    ['sat 22:00-02:00', '2026-05-24T01:59:59Z', true],
    ['sat 22:00-02:00', '2026-05-23T01:00:00Z', false],
    ['daily 22:00-02:00', '2026-05-26T01:00:00Z', true],
    ['daily 00:00-00:00', '2026-05-26T12:00:00Z', true],
    ['sat 12:00-12:00', '2026-05-24T11:59:00Z', true],
    ['sat 12:00-12:00', '2026-05-23T11:59:00Z', false],
    // Berlin is two hours ahead in summer, and one in winter.
    ['sat,sun 02:00-04:00 Europe/Berlin', '2026-05-23T00:00:00Z', true],
    ['sat,sun 02:00-04:00 Europe/Berlin', '2026-05-23T02:00:00Z', false],
    ['sat,sun 02:00-04:00 Europe/Berlin', '2026-01-24T01:00:00Z', true],
    ['sat,sun 02:00-04:00 Europe/Berlin', '2026-01-24T00:59:00Z', false],
    ['sun 22:00-02:00 America/New_York', '2026-05-25T05:59:00Z', true],
    ['sun 22:00-02:00 America/New_York', '2026-05-25T06:00:00Z', false],
  ])('%s at %s: %s', (window, time, expected) => {
    expect(isMaintained([window], Date.parse(time))).toBe(expected);
    expect(isMaintained(['mon 00:00-00:01', window], Date.parse(time))).toBe(expected);
    expect(isMaintained([], Date.parse(time))).toBe(false);
  });
});
