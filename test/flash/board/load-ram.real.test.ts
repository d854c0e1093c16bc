import { join } from 'node:path';
import { expect, it } from 'vitest';
import { simulatedBoard } from '../../support/chips.js';
import { root, runCli } from '../../support/cli.js';
import { esptool } from '../../support/esptool.js';
import { describeReal } from '../../support/real.js';

const image = join(root, 'test', 'golden', 'images', 'c3-boot.bin');

/** Runs `load`, and returns the program that the chip then has in RAM. */
async function loadedBy(load: (port: string) => Promise<void>) {
  const board = await simulatedBoard({ chip: 'esp32c3' }, 'socket');
  try {
    await load(board.port);
    await board.simulated.settled();
    const { ramProgram, state } = board.simulated;
    const segments = ramProgram?.segments.map(({ address, bytes }) => ({
      address,
      bytes: Buffer.from(bytes).toString('hex'),
    }));
    return { state, entry: ramProgram?.entry, segments };
  } finally {
    await board.close();
  }
}

describeReal('esptool', 'aiot board load-ram compared with esptool load-ram', () => {
  it('leaves the same program in RAM, started at the same address', { timeout: 120_000 }, async () => {
    const theirs = await loadedBy(async (port) => {
      const options = ['--chip', 'esp32c3', '--port', port, '--before', 'no-reset', '--no-stub'];
      const { code, stdout, stderr } = await esptool([...options, 'load-ram', image]);
      expect(code, stdout + stderr).toBe(0);
    });
    const ours = await loadedBy(async (port) => {
      const { code, stderr } = await runCli(['board', 'load-ram', image, '--port', port, '--json']);
      expect(code, stderr).toBe(0);
    });
    expect(ours).toEqual(theirs);
    expect(ours.state).toBe('program');
    expect(ours.segments?.length).toBeGreaterThan(0);
  });
});
