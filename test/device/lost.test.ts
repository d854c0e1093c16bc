import { type FileHandle, mkdir, mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createVirtualDevice } from '../../src/lib/device/virtual/device.js';
import { createFlash, PowerCut } from '../../src/lib/device/virtual/flash.js';
import { flashBytesFor } from '../../src/lib/device/virtual/store.js';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { pushTiny } from '../support/bundle.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';

let own: TestPlatform;
let dir: string;
beforeAll(async () => {
  own = await testPlatform();
  dir = join(own.folder, 'bench-1');
  await mkdir(dir, { recursive: true });
  await provisionDevice({ client: own.client, name: 'bench-1', type: 'virtual', out: dir });
});
afterAll(() => own.stop());

describe('a virtual device whose flash fails', () => {
  it('is reported as lost even if nothing else is awaited', async () => {
    const flash = createFlash({ bytes: flashBytesFor(64 * 1024) });
    const device = await createVirtualDevice({ identityDir: dir, flash });
    try {
      await device.connect();
      const { name, version, sequence } = await pushTiny(own.client, own.key);
      flash.cutAfter(5000);
      await own.client.rollouts.start({
        releases: [{ kind: 'model', name, version, sequence }],
        ...{ selector: 'name=bench-1', policy: {}, rollback: null },
      });
      await expect(device.lost).rejects.toBeInstanceOf(PowerCut);
      expect(device.online).toBe(false);
    } finally {
      await device.stop();
    }
  });

  it('reports why its file cannot be written, and never writes to another file', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'aiot-flash-'));
    const next: FileHandle[] = [];
    try {
      const flash = createFlash({ bytes: 8192, file: join(folder, 'flash.bin') });
      flash.close();
      // One of these files gets the flash's former descriptor number.
      for (let n = 0; n < 20; n++) next.push(await open(join(folder, `other-${n}`), 'w'));
      expect(() => flash.sync()).toThrow(
        expect.objectContaining({
          code: 'AIOT_FILE_NOT_WRITABLE',
          message: expect.stringMatching(/^cannot write .*flash\.bin \(EBADF\)$/),
        }),
      );
      expect(() => flash.close()).not.toThrow();
      for (const file of next) expect((await file.stat()).size).toBe(0);
    } finally {
      for (const file of next) await file.close();
      await rm(folder, { recursive: true });
    }
  });
});
