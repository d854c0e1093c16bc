import { stripVTControlCharacters } from 'node:util';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { LivePlot, screenOf } from '../../src/lib/cli/live/plot.js';
import { createProgress } from '../../src/lib/cli/live/progress.js';
import { Redraw } from '../../src/lib/cli/live/redraw.js';
import { rolloutNews } from '../../src/lib/cli/live/rollout-news.js';
import { drawsOver } from '../../src/lib/cli/render/text.js';
import { madeUpRollout } from '../support/reports.js';

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllEnvs();
});

describe('lines redrawn at the bottom of a terminal', () => {
  it('are drawn over the previous ones, even if the terminal became narrower', () => {
    let columns = 20;
    const picture = new Redraw(() => columns);
    expect(picture.over(['a', 'b'.repeat(19)])).toBe(`a\x1b[K\n${'b'.repeat(19)}\x1b[K\n\x1b[J`);
    expect(picture.over(['c', '']).startsWith('\x1b[2A\r')).toBe(true);
    picture.over(['a', 'b'.repeat(19)]);
    columns = 10;
    expect(picture.over(['c']).startsWith('\x1b[3A\r')).toBe(true);
    expect(picture.away()).toBe('\x1b[1A\r\x1b[J');
    expect(picture.away()).toBe('');
  });

  it('are disabled on a dumb terminal or without one', () => {
    vi.stubEnv('TERM', 'xterm');
    expect([drawsOver({ isTTY: true }), drawsOver({ isTTY: false }), drawsOver({})]).toEqual([
      true,
      false,
      false,
    ]);
    vi.stubEnv('TERM', 'dumb');
    expect(drawsOver({ isTTY: true })).toBe(false);
  });

  it('follow the current terminal width', () => {
    vi.stubEnv('TERM', 'xterm');
    const stream = { isTTY: true, columns: 60, rows: 20 };
    let written = '';
    const plot = new LivePlot(
      screenOf(stream, (text) => {
        written += text;
      }),
    );
    for (let i = 0; i < 300; i++) plot.add({ x: Math.sin(i / 9) });
    plot.heading('12 messages/s');
    plot.end();
    const widest = (text: string) =>
      Math.max(
        ...stripVTControlCharacters(text)
          .split('\n')
          .map((line) => line.length),
      );
    expect(widest(written)).toBe(59);
    expect(written).toContain('12 messages/s');
    stream.columns = 30;
    written = '';
    plot.end();
    expect(widest(written)).toBeLessThan(30);
  });
});

describe('a watched rollout', () => {
  const { rollout } = madeUpRollout();
  const [first, second] = rollout.waves as [(typeof rollout.waves)[number], (typeof rollout.waves)[number]];
  const waiting = { ...second, state: 'waiting' as const, committed: 0, rolledBack: 0, missed: 0 };

  it('shows a bar per wave, failures and the pace of commits, even without colors', () => {
    let clock = 0;
    const news = rolloutNews(() => clock);
    news({ ...rollout, state: 'running', waves: [{ ...first, committed: 0 }, waiting] });
    clock = 1000;
    const { text, done, total, picture } = news({ ...rollout, state: 'running', waves: [first, waiting] });
    expect({ text, done, total }).toEqual({ text: 'running, wave 1 of 2', done: 9, total: 60 });
    expect(picture!(100, 24)).toEqual([
      'ro_01k2  running  9 of 60 committed  3 min 10 s                         █',
      `wave 1   passed    ${'█'.repeat(22)}${'╳'.repeat(2)}  9 of 10  1 failed`,
      `wave 2   waiting   ${'░'.repeat(24)}  0 of 50`,
    ]);
  });

  it('fits a small terminal and shows the waves around the open one', () => {
    const many = Array.from({ length: 40 }, (_, i) => (i < 20 ? first : waiting));
    const lines = rolloutNews(() => 0)({ ...rollout, waves: many }).picture!(40, 8);
    expect(lines.length).toBeLessThanOrEqual(7);
    for (const line of lines) expect(line.length).toBeLessThan(40);
    expect(lines.join('\n')).toContain('wave 20');
  });

  it('is redrawn in place and cleared at the end, or is a line per step without a terminal', () => {
    vi.useFakeTimers();
    const state = rolloutNews()(rollout);
    let written = '';
    const progress = createProgress({
      tty: true,
      quiet: false,
      write: (text) => {
        written += text;
      },
    });
    progress.update(state);
    vi.advanceTimersByTime(2000);
    expect(written).toContain('wave 2');
    progress.end();
    expect(written.endsWith('\x1b[3A\r\x1b[J')).toBe(true);
    let plain = '';
    createProgress({
      tty: false,
      quiet: false,
      write: (text) => {
        plain += text;
      },
    }).update(state);
    expect(plain).toBe('· partly, wave 2 of 2 (90 %)\n');
  });
});
