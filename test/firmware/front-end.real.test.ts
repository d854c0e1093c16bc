import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { root } from '../support/cli.js';
import { long } from '../support/every-tensor.js';
import { frontEndGraphs, realFrontEndGraphs } from '../support/front-end-graphs.js';
import { compareFrontEnds } from '../support/front-end-outputs.js';
import { expectRecorded } from '../support/judged.js';
import { runInFirmware } from '../support/native-interpreter.js';
import { describeReal } from '../support/real.js';

const size = long ? ([100, 200] as const) : ([16, 20] as const);

describeReal('cmake', 'the audio front end in the firmware, built with sanitizers', () => {
  let build = '';
  let program = '';
  beforeAll(async () => {
    build = mkdtempSync(join(tmpdir(), 'aiot-firmware-'));
    program = join(build, 'run_models');
    for (const args of [
      ['-S', join(root, 'firmware'), '-B', build],
      ['--build', build, '--target', 'run_models', '--parallel', '2'],
    ])
      await promisify(execFile)('cmake', args, { maxBuffer: 2 ** 26 });
  }, 240_000);
  afterAll(() => {
    rmSync(build, { recursive: true, force: true });
  });

  const judged = new Map<string, number>();
  describeReal('tflm', 'compared with TFLite Micro', () => {
    it.each(Object.keys({ ...frontEndGraphs, ...realFrontEndGraphs }))(
      '%s: computes every tensor of consecutive steps bit for bit',
      async (name) => {
        const graphs = await compareFrontEnds(name, size, async (networks) =>
          (await runInFirmware(program, networks)).map(({ output, said }, index) => {
            expect(said, `${name}, network ${index}`).toMatch(/^ok \d+$/);
            return output;
          }),
        );
        for (const { operators } of graphs)
          for (const { op } of operators) judged.set(op, (judged.get(op) ?? 0) + 1);
      },
      long ? 600_000 : 240_000,
    );

    it('has judged every operator of the front end', async () => {
      const often = [...judged].filter(([op, count]) => op.startsWith('SIGNAL_') && count >= 10);
      await expectRecorded('firmware.TFLM.front-end', often.map(([op]) => op) as never);
    });
  });
});
