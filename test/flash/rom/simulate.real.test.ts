import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { openLine } from '../../../src/lib/flash/port/open-line.js';
import { SimulatedChip } from '../../../src/lib/flash/rom/chip.js';
import { encodeSlip } from '../../../src/lib/flash/rom/protocol.js';
import { serveChip } from '../../../src/lib/flash/rom/serve.js';
import { describeReal } from '../../support/real.js';
import { syncRequest } from './talk.js';

const undo: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const step of undo.splice(0).reverse()) await step();
});

async function folder(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'aiot-rom-'));
  undo.push(() => rm(path, { recursive: true }));
  return path;
}

/**
 * Returns the number of bytes in the response to a SYNC at this address, without boot text that is still
 * arriving.
 */
async function syncedAt(address: string): Promise<number> {
  const line = await openLine(address, { baud: 115_200 });
  let heard = Buffer.alloc(0);
  const answer = () => heard.subarray(heard.includes(0xc0) ? heard.indexOf(0xc0) : heard.length).length;
  const enough = new Promise<void>((resolve) => {
    line.listen({
      data: (bytes) => {
        heard = Buffer.concat([heard, bytes]);
        if (answer() >= 8 * 14) resolve();
      },
      closed: () => resolve(),
    });
  });
  await line.write(encodeSlip(syncRequest));
  await enough;
  await line.close();
  return answer();
}

describeReal('socat', 'a chip behind a pty', () => {
  it('responds to each program that opens it, and disappears after close', async () => {
    const link = join(await folder(), 'port');
    const chip = new SimulatedChip({ chip: 'esp32' });
    const served = await serveChip(chip, { pty: true, link });
    undo.push(async () => chip.powerOff());
    expect(await syncedAt(served.address)).toBe(112);
    expect(await syncedAt(link)).toBe(112);
    await served.close();
    await expect(openLine(link, { baud: 115_200 })).rejects.toMatchObject({ code: 'AIOT_SERIAL_NOT_FOUND' });
  });

  it('loses the pty when the cable is unplugged, and gets one again when it is plugged in', async () => {
    const link = join(await folder(), 'port');
    const chip = new SimulatedChip({ chip: 'esp32', faults: [{ kind: 'unplugged' }] });
    const served = await serveChip(chip, { pty: true, link });
    undo.push(served.close, async () => chip.powerOff());
    expect(await syncedAt(link)).toBe(0);
    chip.plug();
    await expect.poll(() => syncedAt(link).catch(() => 0), { timeout: 20_000 }).toBe(112);
  });
});
