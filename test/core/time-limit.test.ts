import { getEventListeners, once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { timeLimit, withTimeLimit } from '../../src/lib/core/tasks.js';
import { root } from '../support/cli.js';
import { runProgram } from '../support/programs.js';

describe('a time limit', () => {
  it('aborts when it expires, with a timeout as the reason', async () => {
    const limit = timeLimit(20);
    await Promise.all([once(limit, 'abort'), delay(30)]);
    expect(limit.reason).toMatchObject({ name: 'TimeoutError' });
  });

  it('aborts with the given signal and its reason, now or later', () => {
    const controller = new AbortController();
    const limits = [timeLimit(60_000, controller.signal), timeLimit(undefined, controller.signal)];
    expect(limits.map(({ aborted }) => aborted)).toEqual([false, false]);
    controller.abort('enough');
    expect([...limits, timeLimit(60_000, controller.signal)].map(({ reason }) => reason)).toEqual([
      'enough',
      'enough',
      'enough',
    ]);
  });

  it('leaves no listener on a long-lived signal, and still ends its task', async () => {
    const { signal } = new AbortController();
    for (let i = 0; i < 20; i++)
      expect(await withTimeLimit(60_000, signal, async (limit) => limit.aborted)).toBe(false);
    expect(getEventListeners(signal, 'abort')).toEqual([]);
    const waiting = withTimeLimit(20, signal, (limit) =>
      once(limit, 'abort').then(() => limit.reason as Error),
    );
    await Promise.all([waiting, delay(30)]);
    expect(await waiting).toMatchObject({ name: 'TimeoutError' });
  });

  it('survives garbage collection', async () => {
    const program = `
      const { timeLimit } = await import('./dist/.modules/lib/core/tasks.js');
      const { once } = await import('node:events');
      const outer = new AbortController();
      const wait = async () => { await once(timeLimit(200, outer.signal), 'abort'); process.exit(0); };
      setTimeout(gc, 20);
      setTimeout(gc, 100);
      setTimeout(() => process.exit(1), 5000);
      await wait();`;
    const argv = ['--expose-gc', '--input-type=module', '--eval', program];
    expect(await runProgram(process.execPath, argv, { cwd: root })).toMatchObject({ code: 0 });
  });
});
