import { describe, expect, it } from 'vitest';
import { crashSignature } from '../../src/lib/fleet/crash.js';
import { type CrashReport, crashSchema } from '../../src/lib/formats/crash.js';
import { coreDumpOf, type DumpSource, withCoreDumps } from '../../src/lib/loop/operate/core-dumps.js';

const started = 1_790_000_000_000;
const boot = '0f3c6d2e-8b1a-4c5d-9e7f-001122334455';
const restarted = started + 60_000;
const process = { pid: 1234, boot, started, restarted };

// Written after systemd-coredump(8), systemd.journal-fields(7) and journalctl(1), not recorded on a machine.
const message = (base: string) => `Process 1234 (node) of user 1000 dumped core.

Module libstdc++.so.6 from deb gcc-12-12.2.0-14.amd64
Stack trace of thread 1234:
#0  0x00007f${base}e2c pthread_kill (libc.so.6 + 0x8ae2c)
#1  0x00007f${base}fb2 raise (libc.so.6 + 0x3bfb2)
#2  0x00007f${base}472 abort (libc.so.6 + 0x26472)
#3  0x000000000${base}b _ZN4node5AbortEv (node + 0x9c3a1b)
#4  0x000000000${base}c n/a (node + 0xa11111)
#5  0x00007f${base}123 n/a (n/a + 0x0)

Stack trace of thread 1240:
#0  0x00007f0000000001 epoll_pwait (libc.so.6 + 0x108e23)
ELF object binary architecture: AMD x86-64`;

const entry = (t: number, more: object = {}) =>
  JSON.stringify({
    ...{ MESSAGE: message('a1b2c3'), COREDUMP_SIGNAL_NAME: 'SIGABRT', COREDUMP_TIMESTAMP: String(t * 1000) },
    ...more,
  });

const found = (lines: string[]) => coreDumpOf(process, async () => lines.join('\n'));

async function dumpIn(lines: string[]) {
  const dump = await found(lines);
  return dump === 'unreadable' ? null : dump;
}

describe('the core dump of a loop', () => {
  it('gives the signal, the time and the calls of the thread that crashed', async () => {
    const dump = await dumpIn([entry(started + 5000)]);
    expect(dump).toEqual({
      ...{ t: started + 5000, uptimeMs: 5000, kind: 'abort', reason: 'the process was ended by SIGABRT' },
      backtrace: [
        { function: 'pthread_kill', file: 'libc.so.6' },
        { function: 'raise', file: 'libc.so.6' },
        { function: 'abort', file: 'libc.so.6' },
        { function: '_ZN4node5AbortEv', file: 'node' },
        { function: 'node+0xa11111', file: 'node' },
      ],
    });
    expect(crashSchema.parse({ id: 'x', ...dump })).toBeTruthy();
  });

  it('has the same signature in each run, although addresses differ', async () => {
    const signatures = [];
    for (const base of ['a1b2c3', 'd4e5f6']) {
      const dump = await dumpIn([entry(started + 1, { MESSAGE: message(base) })]);
      signatures.push(crashSignature(crashSchema.parse({ id: base, ...dump }), dump?.backtrace ?? []));
    }
    expect(signatures[0]).toBe(signatures[1]);
  });

  it('is that of this process, not of an earlier one with the same ID', async () => {
    expect(await found([entry(started - 1)])).toBeNull();
    const both = [entry(started - 1, { COREDUMP_SIGNAL_NAME: 'SIGSEGV' }), entry(started + 1)];
    expect(await found(both)).toMatchObject({ kind: 'abort' });
  });

  it('is not that of a later process with the same ID', async () => {
    expect(await found([entry(restarted + 1)])).toBeNull();
    const both = [entry(started + 1), entry(started + 2, { COREDUMP_SIGNAL_NAME: 'SIGSEGV' })];
    expect(await found(both)).toMatchObject({ kind: 'abort', t: started + 1 });
  });

  it('is read without the environment and the command line', async () => {
    let asked: readonly string[] = [];
    await coreDumpOf(process, async (args) => {
      asked = args;
      return '';
    });
    expect(asked).toContain('--output-fields=MESSAGE,COREDUMP_SIGNAL_NAME,COREDUMP_TIMESTAMP');
    expect(asked).toContain('COREDUMP_PID=1234');
    expect(asked).toContain('_BOOT_ID=0f3c6d2e8b1a4c5d9e7f001122334455');
  });

  it('may be missing, damaged, or not printable text', async () => {
    for (const lines of [[], ['{'], ['null'], [entry(started + 1, { COREDUMP_TIMESTAMP: 'soon' })]])
      expect(await found(lines)).toBeNull();
    const bytes = [...Buffer.from(message('a1b2c3'))];
    expect((await dumpIn([entry(started + 1, { MESSAGE: bytes })]))?.backtrace).toHaveLength(5);
    expect(await found([entry(started + 1, { MESSAGE: null, COREDUMP_SIGNAL_NAME: '; rm' })])).toEqual({
      ...{ t: started + 1, uptimeMs: 1, kind: 'exception', reason: 'the process was ended by a signal' },
    });
    const long = `Stack trace of thread 1:\n${'#0  0x01 f (node + 0x1)\n'.repeat(500)}`;
    expect((await dumpIn([entry(started + 1, { MESSAGE: long })]))?.backtrace).toHaveLength(64);
  });
});

describe('the reports of crashed loops', () => {
  const crash = (more: Partial<CrashReport> = {}) =>
    crashSchema.parse({ id: 'x', kind: 'exit', reason: 'ended', details: { ...process }, ...more });
  const ended = (pid: number, more: object = {}) => ({
    crash: crash({ id: `${pid}`, details: { ...process, pid, ...more } }),
  });

  /** A journal with these answers, in order; the last one is repeated. Everything that happens is recorded. */
  async function sent(
    reports: { crash: CrashReport }[],
    answers: (string | null)[],
    { stores = true, signal = new AbortController().signal, since = started, onPause = () => {} } = {},
  ): Promise<string[]> {
    const events: string[] = [];
    const source: DumpSource = {
      stores: async () => stores,
      read: async (args) => {
        events.push(`read ${args.find((each) => each.startsWith('COREDUMP_PID='))?.slice(13)}`);
        return answers.length > 1 ? answers.shift()! : answers[0]!;
      },
      pause: async () => {
        events.push('pause');
        onPause();
      },
    };
    for await (const { crash: each } of withCoreDumps(reports, signal, source, since))
      events.push(`${each.id} ${each.kind}`);
    return events;
  }

  it('wait for dumps that are still processed, together and not for ever', async () => {
    const late = ['', '', entry(started + 1), ''];
    expect(await sent([ended(1), ended(2)], late)).toEqual([
      ...['read 1', 'read 2', 'pause', 'read 1', '1 abort', 'read 2'],
      ...['pause', 'read 2', 'pause', 'read 2', '2 exit'],
    ]);
  });

  it('do not wait if the journal cannot be read, or if an earlier run has already found the crash', async () => {
    expect(await sent([ended(1)], [null])).toEqual(['read 1', '1 exit']);
    expect(await sent([ended(1)], [''], { since: restarted + 1 })).toEqual(['read 1', '1 exit']);
    const stored = await sent([ended(1)], [entry(started + 1)], { since: restarted + 1 });
    expect(stored).toEqual(['read 1', '1 abort']);
  });

  it('are sent before the wait if they do not wait', async () => {
    const reports = [
      ended(1),
      ended(2, { restarted: started + 10 }),
      { crash: crash({ kind: 'exception' }) },
    ];
    expect((await sent(reports, [''], { since: started + 20 })).slice(0, 5)).toEqual([
      ...['read 1', 'read 2', '2 exit', 'x exception', 'pause'],
    ]);
  });

  it('are kept if the wait is aborted', async () => {
    const stop = new AbortController();
    const options = { signal: stop.signal, onPause: () => stop.abort() };
    expect(await sent([ended(1)], [''], options)).toEqual(['read 1', 'pause']);
    const others = [ended(1), { crash: crash({ kind: 'exception' }) }];
    const stopped = await sent(others, [''], { signal: AbortSignal.abort() });
    expect(stopped).toContain('x exception');
    expect(stopped).not.toContain('1 exit');
  });

  it('are sent without a search if systemd stores no dumps, or if another trace shows the cause', async () => {
    expect(await sent([ended(1)], [entry(started + 1)], { stores: false })).toEqual(['1 exit']);
    const full = { crash: crash({ kind: 'out-of-memory' }) };
    expect(await sent([full], [entry(started + 1)])).toEqual(['x out-of-memory']);
    const { boot: _, ...earlier } = process;
    expect(await sent([{ crash: crash({ details: earlier }) }], [entry(started + 1)])).toEqual(['x exit']);
  });
});
