import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createProgress } from '../../src/lib/cli/live/progress.js';

function record(options: { tty: boolean; quiet?: boolean }) {
  const written: string[] = [];
  const progress = createProgress({
    tty: options.tty,
    quiet: options.quiet ?? false,
    write: (text) => void written.push(text),
  });
  return { progress, written };
}

describe('progress on a terminal', () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it('shows nothing for work that finishes within 600 ms', () => {
    const { progress, written } = record({ tty: true });
    progress.update('loading');
    vi.advanceTimersByTime(590);
    progress.end();
    expect(written).toEqual([]);
  });

  it('shows a spinner, then a bar once the total is known, and clears the line at the end', () => {
    const { progress, written } = record({ tty: true });
    progress.update('loading');
    vi.advanceTimersByTime(700);
    expect(written.at(-1)).toMatch(/[⠇-⠿] loading$/u);
    progress.update({ text: 'training', done: 5, total: 10 });
    vi.advanceTimersByTime(100);
    expect(written.at(-1)).toMatch(/█{12}░{12} {2}50 % {2}training$/u);
    progress.end();
    expect(written.at(-1)).toBe('\r\u001b[2K');
    const before = written.length;
    vi.advanceTimersByTime(500);
    expect(written.length).toBe(before);
  });
});

describe('progress without a terminal', () => {
  it('prints a line for each new text', () => {
    const { progress, written } = record({ tty: false });
    for (const text of ['loading', 'loading', 'training']) progress.update(text);
    expect(written).toEqual(['· loading\n', '· training\n']);
  });

  it('prints a line for each tenth if the total is known', () => {
    const { progress, written } = record({ tty: false });
    for (let done = 0; done <= 1000; done++) progress.update({ text: `sample ${done}`, done, total: 1000 });
    expect(written.length).toBe(11);
    expect(written[3]).toBe('· sample 300 (30 %)\n');
  });

  it('prints nothing when quiet', () => {
    const { progress, written } = record({ tty: false, quiet: true });
    progress.update('loading');
    expect(written).toEqual([]);
  });
});
