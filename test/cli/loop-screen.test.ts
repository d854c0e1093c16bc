import { setTimeout as delay } from 'node:timers/promises';
import { stripVTControlCharacters } from 'node:util';
import { describe, expect, it } from 'vitest';
import { LoopScreen } from '../../src/lib/cli/live/loop-screen.js';
import { loopFrame, loopText } from '../../src/lib/cli/render/loop.js';
import { runLoop } from '../../src/lib/loop/run/run.js';
import { batchesOf, fakeLoop, livelySamples } from '../support/loop.js';

/** A terminal that records its output, or a pipe if `columns` is missing. */
function screenOf(columns?: number, rows = 24) {
  let text = '';
  const notes: string[] = [];
  const write = (chunk: string | Uint8Array) => {
    text += chunk;
    return true;
  };
  const stdout = { isTTY: columns !== undefined, columns: columns ?? 0, rows, write } as NodeJS.WriteStream;
  const screen = new LoopScreen({ stdout, stdin: null, note: (line) => notes.push(line) });
  return { screen, notes, text: () => text };
}

/** Runs the tests' loop on this screen for half a second. */
async function shown(screen: LoopScreen) {
  const { options } = fakeLoop(batchesOf(livelySamples(500), 25), undefined, { live: true, everyMs: 5 });
  const result = await runLoop({ ...options, ...screen.wiring, vote: 'none', forMs: 500 });
  screen.close();
  return result;
}

describe('a loop on a terminal', () => {
  it('redraws each frame in place and restores the cursor at the end', async () => {
    const { screen, text } = screenOf(100, 40);
    await shown(screen);
    const frames = text().split('\u001b[J').slice(0, -1);
    expect(frames.length).toBeGreaterThan(1);
    const lines = frames.map((frame) => frame.split('\n').length - 1);
    frames.slice(1).forEach((frame, i) => {
      expect(frame).toContain(`\u001b[${lines[i]}A`);
    });
    expect(text().startsWith('\u001b[?25l')).toBe(true);
    expect(text().endsWith('\u001b[?25h\n')).toBe(true);
    screen.close();
    expect(text().match(/\[\?25h/g)).toHaveLength(1);
  });

  it('shows the signal, all classes, the current class, rate, latency and outputs', async () => {
    const { screen, text } = screenOf(100, 40);
    await shown(screen);
    const last = stripVTControlCharacters(text().split('\u001b[J').at(-2)!);
    for (const part of ['x g', 'resting  ', 'walking  ', 'stairs   ', 'class ', '100 Hz', 'p50 ', 'fake:out'])
      expect(last).toContain(part);
    expect(last).toMatch(/[\u2801-\u28ff]/);
  });

  it.each([
    [100, 40],
    [60, 12],
    [30, 6],
  ])('fits in %i × %i characters', async (columns, rows) => {
    const { screen, text } = screenOf(columns, rows);
    await shown(screen);
    const lines = stripVTControlCharacters(text().split('\u001b[J').at(-2)!).split('\n');
    expect(lines.length).toBeLessThanOrEqual(rows);
    for (const line of lines) expect(line.replace('\r', '').length).toBeLessThan(columns);
  });
});

it('a loop without a terminal prints a line for each change', async () => {
  const { screen, text, notes } = screenOf();
  const result = await shown(screen);
  const lines = stripVTControlCharacters(text()).trimEnd().split('\n');
  expect(lines).toHaveLength(result.changes);
  expect(lines[0]).toMatch(/^\d\d:\d\d:\d\d\.\d{3} {2}(resting|walking|stairs) {2}[\d.]+ {2}[\d.]+ ms$/);
  expect(stripVTControlCharacters(notes[0]!)).toBe('fake:walk: running. Press Ctrl-C to stop.');
});

it('a finished loop is summarized', async () => {
  const text = stripVTControlCharacters(loopText(await runLoop(fakeLoop().options)));
  expect(text).toMatch(/samples {2}500 at 100 Hz, jitter p99 0 ms; 0 lost, 0 gaps/);
  expect(text).toMatch(/windows {2}19; \d+ predictions, \d+ changes?/);
});

it.each([
  [22_050, '22050'],
  [104.17, '104.2'],
  [0.33333, '0.333'],
])('a summary shows the rate %f Hz as %s Hz', async (rateHz, shownAs) => {
  const result = await runLoop(fakeLoop().options);
  expect(stripVTControlCharacters(loopText({ ...result, rateHz }))).toContain(` at ${shownAs} Hz, jitter`);
});

it('a loop is shown as waiting before its first window', async () => {
  const { options } = fakeLoop(undefined, undefined, { live: true });
  let frame: string[] = [];
  await runLoop({
    ...options,
    forMs: 20,
    onOpen: ({ monitor, latencies }) => {
      const view = { status: monitor.status(), series: [], classes: [], answer: null, since: null };
      frame = loopFrame({ ...view, spread: latencies(24, 0.1, 1000) }, 80, 24);
    },
  });
  await delay(1);
  expect(stripVTControlCharacters(frame.join('\n'))).toMatch(
    /● motion@10 {2}fake:walk {2}1.0 s {2}waiting\nclass {4}no window yet/,
  );
});
