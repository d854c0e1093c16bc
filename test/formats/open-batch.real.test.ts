import { expect, it } from 'vitest';
import { importTflite } from '../../src/lib/formats/tflite/reader.js';
import { writeTflite } from '../../src/lib/formats/tflite/writer.js';
import { openBatchFile } from '../support/open-batch.js';
import { describeReal } from '../support/real.js';
import { runInPython } from '../support/tflite.js';

describeReal('litert', 'in LiteRT', () => {
  it('gives the same bytes as it was and as it is written again', () => {
    const file = openBatchFile();
    const input = Float32Array.from({ length: 24 }, (_, i) => Math.sin(i));
    const jobs = [file, writeTflite(importTflite(file).graph)].map((graph) => ({ graph, input }));
    const [before, after] = runInPython('litert', jobs);
    expect(after!.output).toEqual(before!.output);
    expect(before!.output).toHaveLength(96);
  });
});
