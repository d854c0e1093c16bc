import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { interpreterRuntime, limitedRuntime } from '../../src/lib/device/runtime.js';
import { root } from '../support/cli.js';

it('a device with the memory of a board rejects larger models, and those that only fit without the active one', async () => {
  const bundle = readFileSync(join(root, 'firmware/test/fixtures/bundles/motion.aiot'));
  const [active, trial] = [5000, 8544];
  const runtime = (bytes: number, free: number) => limitedRuntime(interpreterRuntime, bytes, () => free);
  await expect(runtime(trial, trial).checkGolden(bundle)).resolves.toMatchObject({ vectors: 3, passed: 3 });
  await expect(runtime(trial, trial - 1).checkGolden(bundle)).rejects.toThrow(
    'the model needs at least 8,544 bytes for its trial, but the device has only 8,543',
  );
  await expect(runtime(active - 1, active - 1).load(bundle)).rejects.toMatchObject({
    code: 'AIOT_MEMORY_SHORT',
    message: 'the model needs at least 5,000 bytes, but the device has only 4,999',
  });
  await expect(runtime(active, 0).load(bundle)).resolves.toMatchObject({ need: { active, trial } });
});
