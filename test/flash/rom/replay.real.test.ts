import { basename, join } from 'node:path';
import { expect, it } from 'vitest';
import { describeReal, flashSamplesFolder } from '../../support/real.js';
import { replay } from './replay.js';
import { chipFor, readTrace, realTraces } from './traces.js';

describeReal('flash-samples', 'every recorded trace of a real ROM', () => {
  const folder = join(flashSamplesFolder, 'traces');

  it('gets the same responses from the simulated chip', async () => {
    const paths = realTraces(folder);
    expect(paths.length).toBeGreaterThan(40);
    for (const path of paths) {
      const { chip, options } = chipFor(path);
      const { expected, actual } = await replay(chip, readTrace(path), options);
      expect({ trace: basename(path), frames: actual.frames }).toEqual({
        trace: basename(path),
        frames: expected.frames,
      });
      expect(actual.text.slice(0, expected.text.length)).toBe(expected.text);
    }
  });
});
