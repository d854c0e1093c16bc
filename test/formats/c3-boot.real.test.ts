import { expect, it } from 'vitest';
import { readEspImage } from '../../src/lib/formats/esp-image/read.js';
import { imageOfElf } from '../../src/lib/formats/esp-image/write.js';
import { bootedText, buildC3 } from '../support/c3/build.js';
import { runOnC3 } from '../support/c3/cpu.js';
import { describeReal } from '../support/real.js';

describeReal('riscv', 'the small C3 program', () => {
  it.each(['O0', 'Os', 'O2'])('runs from an image loaded segment by segment (-%s)', (optimize) => {
    const bytes = imageOfElf(buildC3({ optimize }), { chip: 'esp32c3' });
    const { printed, written } = runOnC3(readEspImage(bytes), bytes, 3);
    expect(printed).toBe(`${bootedText}\ntick 0\ntick 1\ntick 2\n`);
    // The watchdogs of the RTC and timer group 0 are off, and the super watchdog feeds itself.
    expect([written.get(0x60008090), written.get(0x6001f048), written.get(0x600080ac)]).toEqual([
      0, 0, 0x80000000,
    ]);
  });
});
