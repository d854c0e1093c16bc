import { expect, it } from 'vitest';
import { parseCtest } from '../../src/lib/project/firmware/test-run.js';

it('parseCtest reads CTest output, including failed tests and their output', () => {
  const said = `Test project /src/build
      Start  1: bundle
      Start 12: signal_rv32
 1/5 Test  #1: bundle ...........................   Passed    0.01 sec
 2/5 Test #12: signal_rv32 ......................***Failed  Required regular expression not found. Regex=[[0-9] checks passed, 0 failed]  1.20 sec
fields, row 2: expected 1, got 2
3 checks passed, 1 failed

      Start  3: core
 3/5 Test  #3: core .............................***Exception: SegFault  0.33 sec
==12==ERROR: AddressSanitizer: heap-buffer-overflow

 4/5 Test  #4: power_cut ........................***Timeout 600.01 sec
 5/5 Test  #5: spectrum .........................***Skipped   0.00 sec

40% tests passed, 3 tests failed out of 5

Total Test time (real) = 601.55 sec

The following tests FAILED:
	 12 - signal_rv32 (Failed)
Errors while running CTest
`;
  expect(parseCtest(said)).toEqual([
    { name: 'bundle', state: 'passed', seconds: 0.01, output: null },
    {
      ...{ name: 'core', state: 'failed', seconds: 0.33 },
      output: '==12==ERROR: AddressSanitizer: heap-buffer-overflow',
    },
    { name: 'power_cut', state: 'failed', seconds: 600.01, output: '' },
    {
      ...{ name: 'signal_rv32', state: 'failed', seconds: 1.2 },
      output: 'fields, row 2: expected 1, got 2\n3 checks passed, 1 failed',
    },
    { name: 'spectrum', state: 'skipped', seconds: 0, output: null },
  ]);
});

it('parseCtest finds no tests if none ran', () => {
  expect(parseCtest('No tests were found!!!\n')).toEqual([]);
});
