import { describe, expect, it } from 'vitest';
import { type AxisMessage, createRows } from '../../../src/lib/loop/har/extract.js';
import { floatOf, pythonFloat } from '../../../src/lib/loop/har/layout.js';
import { cleaned, type LabelState, noLabels, voteLabel } from '../../../src/lib/loop/har/output.js';
import { motionServer } from '../../../src/lib/loop/har/stage.js';
import { createWindows, decodeFrame, encodeFrame } from '../../../src/lib/loop/har/windows.js';
import { fc } from '../../support/property.js';

describe('the row assembler for x, y, and z', () => {
  /**
   * Sequence numbers in a stream shared by a publisher of samples and others; the messages in `lost` never arrive.
   */
  const published = (
    samples: number,
    lost: ReadonlySet<string>,
    others: ReadonlySet<number>,
    named = false,
  ) => {
    const queues: AxisMessage[][] = [[], [], []];
    let sequence = 0;
    for (let sample = 0; sample < samples; sample++) {
      for (const axis of [0, 1, 2]) {
        if (others.has(3 * sample + axis)) sequence++;
        if (lost.has(`${sample}.${axis}`)) continue;
        const name = named ? { sample: `run-${sample}` } : {};
        queues[axis]!.push({ sequence: ++sequence, time: 10 * sample, value: sample + axis / 10, ...name });
      }
    }
    return queues;
  };
  const put = (queues: AxisMessage[][], order: readonly number[]) => {
    const rows = createRows();
    const found: number[][] = [];
    const orphans: number[] = [];
    const waiting = queues.map((queue) => [...queue]);
    const take = () => {
      for (let next = rows.next(); next; next = rows.next()) {
        if ('row' in next) found.push(next.row.map(({ value }) => value));
        else orphans.push(next.orphan.value);
      }
    };
    for (const axis of [...order, ...Array(200).fill(0), ...Array(200).fill(1), ...Array(200).fill(2)]) {
      const message = waiting[axis]!.shift();
      if (message) rows.push(axis, message);
      take();
    }
    return { found, orphans, lost: rows.lost };
  };

  const place = fc.tuple(fc.nat(39), fc.nat(2)).map(([sample, axis]) => `${sample}.${axis}`);
  const cases = {
    lost: fc.uniqueArray(place, { maxLength: 12 }),
    others: fc.uniqueArray(fc.nat(119), { maxLength: 12 }),
    order: fc.array(fc.nat(2), { maxLength: 200 }),
  };
  type Case = { lost: string[]; others: number[]; order: number[] };
  const holds = ({ lost, others, order }: Case, named: boolean) => {
    const gone = new Set(lost);
    const { found, orphans } = put(published(40, gone, new Set(others), named), order);
    for (const [x = 0, y = 0, z = 0] of found) {
      expect([y - x, z - x].map((step) => step.toFixed(6))).toEqual(['0.100000', '0.200000']);
    }
    // Every complete sample is found, except possibly the last one, which may not be recognized until a later sample arrives.
    const whole = [...Array(40).keys()].filter((s) => ![0, 1, 2].some((axis) => gone.has(`${s}.${axis}`)));
    const missing = whole.filter((sample) => !found.some(([x]) => x === sample));
    expect(missing.length).toBeLessThanOrEqual(1);
    expect(missing.every((sample) => sample === whole.at(-1))).toBe(true);
    expect(orphans.length).toBeLessThanOrEqual(2 * new Set(lost.map((text) => text.split('.')[0])).size);
  };

  it('never mixes samples, whatever is lost or interleaved, and however the axes arrive', () => {
    fc.assert(fc.property(fc.record(cases), (one) => holds(one, true)));
  });

  it('never mixes unnumbered samples either, unless three messages in a row are lost', () => {
    const threeInARow = (lost: string[]) => {
      const at = new Set(lost.map((text) => 3 * Number(text.split('.')[0]) + Number(text.split('.')[1])));
      return [...at].some((place) => at.has(place + 1) && at.has(place + 2));
    };
    const rare = fc.record({ ...cases, lost: cases.lost.filter((lost) => !threeInARow(lost)) });
    fc.assert(fc.property(rare, (one) => holds(one, false)));
  });

  it('counts a lost sample once, whichever of its axes are missing', () => {
    const lostOf = (...lost: string[]) => put(published(10, new Set(lost), new Set()), []).lost;
    expect(lostOf()).toBe(0);
    expect([lostOf('3.0'), lostOf('3.1'), lostOf('3.2')]).toEqual([1, 1, 1]);
    expect([lostOf('3.0', '3.1'), lostOf('3.0', '3.2'), lostOf('3.1', '3.2')]).toEqual([1, 1, 1]);
    expect(lostOf('3.1', '5.0', '8.2')).toBe(3);
  });

  it('stops waiting for an axis that never arrives', () => {
    const rows = createRows();
    for (let i = 0; i < 1500; i++) rows.push(0, { sequence: i + 1, time: i, value: 1 });
    let given = 0;
    while (rows.next()) given++;
    expect(given).toBe(500);
  });

  it('ignores a repeated message', () => {
    const rows = createRows();
    const message = { sequence: 4, time: 1, value: 1 };
    expect([rows.push(0, message), rows.push(0, message)]).toEqual([true, false]);
  });
});

describe('a float on x, y, or z', () => {
  it('round-trips exactly, and invalid text is not accepted as one', () => {
    fc.assert(
      fc.property(fc.double({ noNaN: true, noDefaultInfinity: true }), (value) => {
        expect(Object.is(floatOf(Buffer.from(pythonFloat(value))), value)).toBe(true);
      }),
    );
    for (const text of ['', ' ', 'nan', 'inf', '0x10', '1,5', '1_0', '--1', 'e5', '1e', 'null']) {
      expect(floatOf(Buffer.from(text)), text).toBeNaN();
    }
    expect(['1', ' -0.5\n', '1.', '.5', '+2E-3'].map((text) => floatOf(Buffer.from(text)))).toEqual([
      1, -0.5, 1, 0.5, 0.002,
    ]);
  });
});

describe('a table on feats', () => {
  it('is base64 of columns, index, and data, and is read back by column name', () => {
    const text = Buffer.from(
      Buffer.from(encodeFrame(['a', 'b'], [1.5, Number.NaN])).toString(),
      'base64',
    ).toString();
    expect(text).toBe('{"columns":["a","b"],"index":[0],"data":[[1.5,null]]}');
    expect([...(decodeFrame(encodeFrame(['a', 'b'], [1.5, Number.NaN])) ?? [])]).toEqual([
      ['a', 1.5],
      ['b', Number.NaN],
    ]);
  });

  it('is rejected if it is malformed', () => {
    const of = (value: unknown) => Buffer.from(Buffer.from(JSON.stringify(value)).toString('base64'));
    const bad = [
      Buffer.from('walking'),
      Buffer.from([0xff, 0xfe]),
      Buffer.alloc(0),
      of(null),
      of({ columns: ['a'], data: [] }),
      of({ columns: ['a'], data: [[1, 2]] }),
      of({ columns: ['a'], data: [['1']] }),
      of({ columns: [], data: [[]] }),
    ];
    expect(bad.map(decodeFrame)).toEqual(bad.map(() => undefined));
  });
});

describe('windows', () => {
  it('do not overlap, and do not span a pause longer than the message lifetime', () => {
    const windows = createWindows(500);
    const sample = (i: number) => [Math.sin(i), Math.cos(i), 1] as const;
    let full = 0;
    for (let i = 0; i < 1250; i++) if (windows.push(sample(i), 10 * i)) full++;
    expect([full, windows.filled]).toEqual([2, 250]);
    expect([windows.continues(12_490 + 30_000), windows.continues(12_490 + 30_001)]).toEqual([true, false]);
    windows.reset();
    expect(windows.continues(1e12)).toBe(true);
  });

  it('are low-pass filtered on request, without a transient at window boundaries', () => {
    const [plain, smooth] = [createWindows(500), createWindows(500, 12)];
    const rows: number[][] = [];
    for (let i = 0; i < 1000; i++) {
      const sample = [Math.sin(i * 2.5), 0.1 * Math.sin(i / 40), 1] as const;
      const one = plain.push(sample, 10 * i);
      const other = smooth.push(sample, 10 * i);
      if (one && other) rows.push([one, other].map((row) => row[plain.names.indexOf('acc_x_wf')]!));
    }
    // The 40 Hz signal is removed, and the second window does not start with a ramp.
    for (const [before = 0, after = 0] of rows) expect(after).toBeLessThan(0.05 * before);
  });
});

describe('the majority vote of the output service', () => {
  const run = (labels: string[], from: LabelState = noLabels) => {
    let state = from;
    return labels.map((label) => {
      const voted = voteLabel(state, label);
      state = voted.state;
      return voted.winner;
    });
  };

  it('picks the most frequent of the last four labels, and leaves ties undecided', () => {
    expect(run(['a', 'a', 'a', 'a', 'b', 'b', 'b', 'b'])).toEqual(['a', 'a', 'a', 'a', 'a', null, 'b', 'b']);
    expect(run(['a', 'b', 'c', 'd', 'd'])).toEqual(['a', null, null, null, 'd']);
    expect(run(['a', 'b', 'a', 'c', 'b'])).toEqual(['a', null, 'a', 'a', 'b']);
  });

  it('reports a new winner once', () => {
    const first = voteLabel(noLabels, 'a');
    expect(first).toMatchObject({ winner: 'a', changed: true });
    expect(voteLabel(first.state, 'a')).toMatchObject({ winner: 'a', changed: false });
  });

  it('shifts its labels as the original does, even on a tie', () => {
    const { state } = voteLabel({ first: 'b', second: 'a', third: 'a', previous: 'a' }, 'b');
    expect(state).toEqual({ first: 'b', second: 'b', third: 'a', previous: 'a' });
  });

  it("ignores the original's placeholders", () => {
    expect(cleaned({ first: 'walking', second: 'placeholder', third: '', previous: 'placeholder' })).toEqual({
      first: 'walking',
      second: null,
      third: null,
      previous: null,
    });
  });
});

describe('the server address of the motion system', () => {
  const of = (env: Record<string, string>, urls: string[] = [], credentials = {}) =>
    motionServer({ stage: 'sense', env, urls, credentials });

  it("comes from the original's variable, and includes the name in its certificate if there is a CA", () => {
    const bare = of({ NATS_ADDRESS: 'pi.local', NATS_TOKEN: 's' });
    expect([bare.urlOf('x'), bare.endpoint, bare.options.token]).toEqual([
      'nats://pi.local/x',
      'nats://pi.local',
      's',
    ]);
    expect(of({ NATS_ADDRESS: 'pi.local:4223' }, [], { ca: 'PEM' }).urlOf('x')).toBe(
      'nats://pi.local:4223/x?servername=nats',
    );
    expect(of({ NATS_ADDRESS: 'natss://pi.local?servername=other' }, [], { ca: 'PEM' }).urlOf('x')).toBe(
      'natss://pi.local/x?servername=other',
    );
  });

  it('is taken from a URL first, uses its subject for records, and is shown without credentials', () => {
    const server = of({ NATS_ADDRESS: 'other' }, ['i2c://1/lsm6ds3tr-c', 'nats://tok@pi.local/samples']);
    expect(server).toMatchObject({ subject: 'samples', endpoint: 'nats://pi.local' });
    expect(server.options).toMatchObject({ username: 'tok' });
    expect(server.urlOf('samples')).toBe('nats://pi.local/samples');
    expect(of({}, ['nats://pi.local/output']).subject).toBe('');
  });

  it('is required', () => {
    expect(() => of({})).toThrow(expect.objectContaining({ code: 'AIOT_USAGE' }));
  });
});
