import { basename, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { root } from '../../support/cli.js';
import { replay } from './replay.js';
import { chipFor, readTrace, realTraces } from './traces.js';

describe('the simulated chip compared with recorded ROMs and stubs', () => {
  it.each(realTraces(join(root, 'test', 'golden', 'rom')).map((path) => [basename(path), path]))(
    '%s',
    async (_, path) => {
      const { chip, options } = chipFor(path);
      const { expected, actual } = await replay(chip, readTrace(path), options);
      expect(expected.frames.length + expected.text.length).toBeGreaterThan(0);
      expect(actual.frames).toEqual(expected.frames);
      // A recording may end before the chip has sent everything.
      expect(actual.text.slice(0, expected.text.length)).toBe(expected.text);
    },
  );

  it('does not match a recording with one changed bit in a response', async () => {
    const path = join(root, 'test', 'golden', 'rom', 'esp32-probe-rom-edge-cases.jsonl');
    const trace = readTrace(path).map((line) => ({ ...line }));
    const answer = trace.findLast((line) => line.bytes?.startsWith('010d'));
    if (!answer?.bytes) throw new Error('no answer to SPI_ATTACH in the trace');
    answer.bytes = `${answer.bytes.slice(0, 16)}01${answer.bytes.slice(18)}`;
    const { expected, actual } = await replay('esp32', trace, chipFor(path).options);
    expect(actual.frames).not.toEqual(expected.frames);
  });
});
