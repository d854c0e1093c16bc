import { join, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { shownPath } from '../../src/lib/cli/render/text.js';
import { quantizationText } from '../../src/lib/cli/render/training.js';
import type { QuantizeResult } from '../../src/lib/model/quantize/result.js';

describe('a path in output', () => {
  it.each([
    ['/srv/motor/build/m.tflite', 'build/m.tflite'],
    ['build/m.tflite', 'build/m.tflite'],
    ['./build/../m.tflite', 'm.tflite'],
    ['/srv/motor', '.'],
    ['..data/m.tflite', '..data/m.tflite'],
    ['../other/m.tflite', '/srv/other/m.tflite'],
    ['..', '/srv'],
    ['/srv/motors/m.tflite', '/srv/motors/m.tflite'],
  ])('%s is shown as %s in /srv/motor', (path, shown) => {
    expect(shownPath(path, '/srv/motor')).toBe(shown);
  });

  it('is relative for every file of a quantization in the working directory', () => {
    const result: QuantizeResult = {
      ...{ model: 'm', mode: 'int8', io: 'int8', floatBytes: 4, bytes: 1, digest: '', ops: [], layers: [] },
      ...{ windows: 0, standardized: false, sqnrDb: null, inputs: [], outputs: [], arenaBytes: null },
      ...{ loss: null, steps: [], notes: [], data: null },
      file: resolve('build/m.int8.tflite'),
      emitted: ['build/m.cc', join(resolve('build'), 'm.h'), '/elsewhere/m.c'],
    } as unknown as QuantizeResult;
    expect(quantizationText(result)).toMatch(
      /File +build\/m\.int8\.tflite, build\/m\.cc, build\/m\.h, \/elsewhere\/m\.c$/,
    );
  });
});
