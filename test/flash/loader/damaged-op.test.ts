import { expect, it } from 'vitest';
import { openLoader } from '../../../src/lib/flash/loader/open-loader.js';
import { simulatedLine } from '../../../src/lib/flash/rom/serve.js';
import { defaults, noise, timedChip } from './board.js';

it.each([0x83, 0x23, 0x43])(
  'the loader resends a block whose request number changed to %s on the line, without reporting a locked chip',
  async (damaged) => {
    const { chip, time } = timedChip({ chip: 'esp32c3' });
    const line = simulatedLine(chip);
    let blocks = 0;
    const disturbed = new Proxy(line, {
      get(target, key) {
        if (key === 'write') {
          return (bytes: Uint8Array) => {
            const sent = bytes.slice();
            // A delimiter, the direction, then the request number of FLASH_DATA.
            if (sent[1] === 0 && sent[2] === 0x03 && blocks++ === 4) sent[2] = damaged;
            return target.write(sent);
          };
        }
        const value = Reflect.get(target, key);
        return typeof value === 'function' ? value.bind(target) : value;
      },
    });
    const data = noise(10_000);
    await time.during(async () => {
      const loader = await openLoader(disturbed, { ...defaults, stub: false, clock: time });
      await loader.write([{ name: 'app', offset: 0x10000, data }], { skipEqual: false });
      await loader.end();
    });
    expect(blocks).toBeGreaterThan(10);
    expect(chip.flash.bytes.subarray(0x10000, 0x10000 + data.length)).toEqual(data);
  },
);
