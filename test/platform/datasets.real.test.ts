import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { runCli } from '../support/cli.js';
import { motionDataset } from '../support/motion-dataset.js';
import { describeReal, python } from '../support/real.js';

describeReal('streams', 'pyarrow', () => {
  let folder: string;
  let undo: () => Promise<void>;
  beforeAll(async () => {
    ({ folder, undo } = await motionDataset());
  });
  afterAll(() => undo());

  const reader = `
import json, sys, pyarrow.parquet as pq
f = pq.ParquetFile(sys.argv[1])
t = f.read()
print(json.dumps({"types": {c.name: str(c.type) for c in t.schema}, "rows": t.num_rows,
  "first": {k: (v.isoformat() if hasattr(v, "isoformat") else v) for k, v in t.slice(0, 1).to_pylist()[0].items()},
  "sum": sum(v for v in t.column("x").to_pylist() if v is not None), "y": t.column("y").null_count,
  "labels": sorted(x or "" for x in set(t.column("label").to_pylist()))}))`;

  it('reads a Parquet export with its types, times and labels', async () => {
    const file = join(folder, 'labels.csv');
    await writeFile(
      file,
      'device,recording,label\nm1,r1,walking\nm1,r2,walking\n{"device":"m1","recording":"r3","label":"sit, down"}\n',
    );
    expect((await runCli(['data', 'label', 'motion', '--file', file])).code).toBe(0);
    const part = ['jumping', '--from', '40', '--to', '60'];
    expect((await runCli(['data', 'label', 'motion/m1/r1', ...part])).code).toBe(0);
    const out = join(folder, 'motion.parquet');
    const args = ['data', 'export', 'motion', '--format', 'parquet', '--out', out, '--json'];
    expect(await runCli(args)).toMatchObject({ code: 0, json: { format: 'parquet', file: out } });
    const { stdout } = await promisify(execFile)(python('streams'), ['-c', reader, out]);
    expect(JSON.parse(stdout)).toEqual({
      types: {
        ...{
          device: 'string',
          recording: 'string',
          seq: 'int64',
          t: 'timestamp[us, tz=UTC]',
          label: 'string',
        },
        ...{ x: 'double', y: 'double' },
      },
      rows: 30,
      first: {
        ...{
          device: 'm1',
          recording: 'r1',
          seq: 0,
          t: '1970-01-01T00:00:00+00:00',
          label: 'walking',
          x: 0,
          y: null,
        },
      },
      sum: 67.5,
      y: 20,
      labels: ['jumping', 'sit, down', 'walking'],
    });
  });
});
