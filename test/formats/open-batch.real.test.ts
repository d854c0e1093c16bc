import { expect, it } from 'vitest';
import { importTflite } from '../../src/lib/formats/tflite/read.js';
import { writeTflite } from '../../src/lib/formats/tflite/write.js';
import { openBatchFile } from '../support/open-batch.js';
import { describeReal } from '../support/real.js';
import { runInPython } from '../support/tflite.js';

describeReal('litert', 'a file with a dynamic batch size in LiteRT', () => {
  it('produces the same output before and after it is rewritten', () => {
    const file = openBatchFile();
    const input = Float32Array.from({ length: 24 }, (_, i) => Math.sin(i));
    const jobs = [file, writeTflite(importTflite(file).graph)].map((graph) => ({ graph, input }));
    const [before, after] = runInPython('litert', jobs);
    expect(after!.output).toEqual(before!.output);
    expect(before!.output).toHaveLength(96);
  });
});
