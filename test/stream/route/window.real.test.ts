import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { routeOf } from '../../../src/lib/stream/route/load.js';
import { runRoutes } from '../../../src/lib/stream/route/run.js';
import { runProgram } from '../../support/programs.js';
import { describeReal, python } from '../../support/real.js';

/** Aggregates the same messages with pandas: [key, start in ms, count, mean, highest] for each window. */
const script = `
import sys, json
import pandas as pd
rows = [json.loads(line) for line in open(sys.argv[1])]
kind, size, every = sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
table = pd.DataFrame([{"at": pd.to_datetime(r["time"], unit="ms"), **r["payload"]} for r in rows])
out = []
for key, own in table.groupby("device"):
    own = own.set_index("at").sort_index(kind="stable")
    if kind == "session":
        session = (own.index.to_series().diff() >= pd.Timedelta(size, "ms")).cumsum()
        for _, part in own.groupby(session):
            out.append([key, part.index[0].value // 10**6, len(part), part["value"].mean(), part["value"].max()])
        continue
    for shift in range(0, size, every):
        windows = own["value"].resample(pd.Timedelta(size, "ms"), origin=pd.Timestamp(shift, unit="ms"))
        for start, part in windows:
            if len(part):
                out.append([key, start.value // 10**6, len(part), part.mean(), part.max()])
print(json.dumps(sorted(out)))
`;

describeReal('streams', 'windows of a route, and pandas', () => {
  let folder: string;
  let messages: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'aiot-windows-'));
    messages = join(folder, 'messages.ndjson');
    let seed = 3;
    const random = (below: number) => {
      seed = (seed * 1103515245 + 12345) % 2 ** 31;
      return Math.floor((seed / 2 ** 31) * below);
    };
    const lines = Array.from({ length: 2000 }, (_, i) =>
      JSON.stringify({
        topic: 't',
        // Up to 3 s out of order, with pauses.
        time: 1_700_000_000_000 + i * 40 + Math.floor(i / 100) * 7000 + random(3000),
        payload: { device: `d${random(4)}`, value: random(1000) / 8 },
      }),
    );
    await writeFile(messages, `${lines.join('\n')}\n`);
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  it.each([
    ['tumbling', { size: '5s' }, ['window', 5000, 5000]],
    ['overlapping', { size: '6s', every: '2s' }, ['window', 6000, 2000]],
    ['session', { gap: '400ms' }, ['session', 400, 400]],
  ])('agree on %s windows', async (name, window, [kind, size, every]) => {
    const out = join(folder, `${name}.ndjson`);
    await runRoutes([
      routeOf(name, {
        from: `file:${messages}`,
        window: { ...window, key: 'device', grace: '3s', path: join(folder, name) },
        map: '[key, start, count, $average(values.value), $max(values.value)]',
        to: `file:${out}`,
      }),
    ]);
    const ours = (await readFile(out, 'utf8'))
      .trim()
      .split('\n')
      .map((line) => (JSON.parse(line) as { payload: Row }).payload)
      .sort(byKeyAndStart);
    const peer = await runProgram(python('streams'), ['-c', script, messages, kind, size, every].map(String));
    expect(peer.stderr).toBe('');
    const theirs = (JSON.parse(peer.stdout) as Row[]).sort(byKeyAndStart);
    expect(theirs.length).toBeGreaterThan(50);
    expect(ours.map(([key, start, count, , highest]) => [key, start, count, highest])).toEqual(
      theirs.map(([key, start, count, , highest]) => [key, start, count, highest]),
    );
    for (const [index, row] of ours.entries()) expect(row[3]).toBeCloseTo(theirs[index]![3], 9);
  });
});

type Row = [key: string, start: number, count: number, mean: number, highest: number];

const byKeyAndStart = (a: Row, b: Row) => (a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : a[1] - b[1]);
