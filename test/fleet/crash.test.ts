import { describe, expect, it } from 'vitest';
import { crashPlace, crashSignature, maskedCrash } from '../../src/lib/fleet/crash.js';
import {
  type CrashPlace,
  type CrashReport,
  crashSchema,
  placesOfStack,
} from '../../src/lib/formats/crash.js';

const crash = (more: Partial<CrashReport> = {}): CrashReport => ({
  id: 'c-1',
  kind: 'exception',
  reason: 'SIGSEGV at 0x10',
  firmware: { name: 'pump', version: '1.0.0', build: 'aaaaaaaa' },
  ...more,
});
const calls = (...names: string[]): CrashPlace[] =>
  names.map((name, i) => ({ function: name, line: 10 + i }));

describe('crashSignature', () => {
  const signature = crashSignature(crash(), calls('read', 'sample', 'loop', 'main'));

  it('is the same for the same calls in another version, on another line', () => {
    const later = crash({ reason: 'SIGSEGV at 0x88', firmware: { version: '2.0.0', build: 'bbbbbbbb' } });
    const moved = calls('read', 'sample', 'loop', 'main').map((call) => ({
      ...call,
      line: 99,
      address: '0x77',
    }));
    expect(crashSignature(later, moved)).toBe(signature);
    expect(signature).toMatch(/^[0-9a-f]{12}$/);
  });

  it('differs by the calls and by the kind', () => {
    expect(crashSignature(crash(), calls('write', 'sample', 'loop', 'main'))).not.toBe(signature);
    expect(crashSignature(crash({ kind: 'abort' }), calls('read', 'sample', 'loop', 'main'))).not.toBe(
      signature,
    );
  });

  it('does not depend on functions that only report a failure, or on callers far away', () => {
    const long = calls('read', 'sample', 'loop', 'step', 'task', 'main');
    const other = calls('abort', '__assert_func', 'read', 'sample', 'loop', 'step', 'task', 'start');
    expect(crashSignature(crash(), other)).toBe(crashSignature(crash(), long));
  });

  it('counts bare addresses only within one build', () => {
    const frames = [{ address: '0x400d1f22' }, { address: '0x400d2000' }];
    const other = crash({ firmware: { version: '1.0.0', build: 'bbbbbbbb' } });
    expect(crashSignature(crash(), frames)).toBe(
      crashSignature(crash({ reason: 'SIGSEGV at 0x88' }), frames),
    );
    expect(crashSignature(other, frames)).not.toBe(crashSignature(crash(), frames));
  });

  it('uses the reason without its numbers if there is no backtrace', () => {
    const at = (reason: string) => crashSignature(crash({ kind: 'watchdog', reason }), []);
    expect(at('task sensor hung for 5012 ms')).toBe(at('task sensor hung for 6020 ms'));
    expect(at('task sensor hung for 5012 ms')).not.toBe(at('task radio hung for 5012 ms'));
  });
});

it('names the innermost call that does not only report the failure', () => {
  expect(crashPlace(calls('abort', '__assert_func', 'read', 'main'))?.function).toBe('read');
  expect(crashPlace(calls('abort'))?.function).toBe('abort');
  expect(crashPlace([{ address: '0x10' }])).toEqual({ address: '0x10' });
  expect(crashPlace([])).toBeNull();
});

it('hides secrets in the reason, the log and the details, and leaves the rest', () => {
  const report = crash({
    reason: 'cannot open mqtts://ana:s3cret@broker.example',
    log: ['wifi password=hunter2', 'window 4'],
    details: { node: 'v24.1.0', API_TOKEN: 'abcdef', heap: 12 },
    registers: { pc: '0x10' },
  });
  const masked = maskedCrash(report);
  expect(masked.reason).toBe('cannot open mqtts://***@broker.example');
  expect(masked.log).toEqual(['wifi password=***', 'window 4']);
  expect(masked.details).toEqual({ node: 'v24.1.0', API_TOKEN: '***', heap: 12 });
  expect(masked.registers).toEqual({ pc: '0x10' });
  expect(crashSchema.parse(masked)).toEqual(masked);
});

it('reads the calls of a V8 stack trace', () => {
  const lines = [
    'TypeError: x is not a function',
    '    at read (file:///opt/aiot/loop.js:12:7)',
    '    at async Engine.run (/opt/aiot/engine.js:30:5)',
    '    at /opt/aiot/main.js:3:1',
    '    at node:internal/timers:594:17',
    '    at new Promise (<anonymous>)',
  ];
  expect(placesOfStack(lines)).toEqual([
    { function: 'read', file: '/opt/aiot/loop.js', line: 12 },
    { function: 'Engine.run', file: '/opt/aiot/engine.js', line: 30 },
    { function: '(anonymous) main.js', file: '/opt/aiot/main.js', line: 3 },
    { function: '(anonymous) timers', file: 'node:internal/timers', line: 594 },
    { function: 'new Promise', file: '<anonymous>' },
  ]);
  const real = placesOfStack((new Error('here').stack ?? '').split('\n'));
  expect(real[0]?.file).toContain('crash.test');
});
