import { describe, expect, it } from 'vitest';
import { runSteps, type Step } from '../../src/lib/cli/live/steps.js';

const plain = { json: false, quiet: false, tty: false };

function recorder(): { lines: () => string[]; write: (text: string) => void } {
  let text = '';
  return {
    lines: () =>
      text
        .replace(/\(\d+(\.\d)? m?s\)/g, '(T)')
        .split('\n')
        .slice(0, -1),
    write: (more) => {
      text += more;
    },
  };
}

describe('a list of steps without a terminal', () => {
  it('prints each step once, when it finishes, with its result', async () => {
    const out = recorder();
    const steps: Step[] = [
      { title: 'Gather', run: async () => '12 recordings' },
      {
        title: 'Train',
        run: async (report) => {
          report('epoch 1');
          report('epoch 2');
          return undefined;
        },
      },
    ];
    await runSteps('Demo', steps, { ...plain, write: out.write });
    expect(out.lines()).toEqual(['Demo', '  ✓ 1/2 Gather  12 recordings (T)', '  ✓ 2/2 Train  epoch 2 (T)']);
  });

  it('shows the failed step, skips the rest, and rethrows the error unchanged', async () => {
    const out = recorder();
    const gone = new Error('broker gone');
    const ran: string[] = [];
    const steps: Step[] = [
      { title: 'Connect', run: async () => Promise.reject(gone) },
      {
        title: 'Publish',
        run: async () => {
          ran.push('Publish');
          return undefined;
        },
      },
    ];
    await expect(runSteps('Demo', steps, { ...plain, write: out.write })).rejects.toBe(gone);
    expect(out.lines().at(-1)).toBe('  ✗ 1/2 Connect');
    expect(ran).toEqual([]);
  });

  it('stops between steps when interrupted, and aborts the running step’s signal', async () => {
    const stop = new AbortController();
    const seen: boolean[] = [];
    const steps: Step[] = [
      {
        title: 'One',
        run: async (_report, signal) => {
          stop.abort(new Error('Ctrl-C'));
          seen.push(signal.aborted);
          return undefined;
        },
      },
      { title: 'Two', run: async () => undefined },
    ];
    const run = runSteps('Demo', steps, { ...plain, quiet: true, signal: stop.signal });
    await expect(run).rejects.toThrow('Ctrl-C');
    expect(seen).toEqual([true]);
  });

  it('prints nothing when quiet', async () => {
    const out = recorder();
    await runSteps('Demo', [{ title: 'One', run: async () => 'x' }], {
      ...plain,
      quiet: true,
      write: out.write,
    });
    expect(out.lines()).toEqual([]);
  });
});

describe('a list of steps on a terminal', () => {
  /** Returns the output of the live list on stderr and stdout, and its error. */
  async function live(steps: Step[]): Promise<{ stdout: string; stderr: string; error: unknown }> {
    const seen = { stdout: '', stderr: '' };
    const own = { stdout: process.stdout.write, stderr: process.stderr.write };
    for (const name of ['stdout', 'stderr'] as const) {
      process[name].write = ((chunk: string) => {
        seen[name] += chunk;
        return true;
      }) as typeof process.stdout.write;
    }
    let error: unknown;
    try {
      await runSteps('Demo', steps, { json: false, quiet: false, tty: true });
    } catch (caught) {
      error = caught;
    } finally {
      process.stdout.write = own.stdout;
      process.stderr.write = own.stderr;
    }
    return { ...seen, error };
  }

  it('draws on stderr, shows results beside titles, and leaves stdout empty', async () => {
    const { stdout, stderr, error } = await live([{ title: 'Train', run: async () => '0.97' }]);
    expect(error).toBeUndefined();
    expect(stdout).toBe('');
    expect(stderr).toContain('Train  0.97');
  });

  it('rethrows the failed step’s error unchanged', async () => {
    const gone = new Error('no space');
    const { stderr, error } = await live([{ title: 'Store', run: async () => Promise.reject(gone) }]);
    expect(error).toBe(gone);
    expect(stderr).toContain('Store');
  });
});
