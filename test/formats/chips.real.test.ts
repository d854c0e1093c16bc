import { spawnSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { watchdogs } from '../../src/lib/flash/loader/loader.js';
import { chipNames, espChips, frequenciesOf, frequencyCode } from '../../src/lib/formats/esp-image/chips.js';
import { describeReal, python } from '../support/real.js';

const script = `
import json, sys
from esptool.loader import ESPLoader
from esptool.targets import CHIP_DEFS
from esptool.targets.esp32h2 import ESP32H2ROM
unsupported = ESPLoader.watchdog_reset
def resets(chip):
    if not hasattr(chip, "RTC_CNTL_WDTCONFIG0_REG"):
        return None
    calls = []
    class Fake(chip):
        def __init__(self):
            pass
        def write_reg(self, address, value, *rest, **more):
            calls.append([address, value])
        def hard_reset(self):
            calls.append(["hard"])
    import time
    time.sleep = lambda seconds: None
    sys.stdout.flush()
    chip.watchdog_reset(Fake())
    return calls
out = {}
for name in sys.argv[1:]:
    chip = CHIP_DEFS[name]
    out[name] = {
        "id": chip.IMAGE_CHIP_ID,
        "offset": chip.BOOTLOADER_FLASH_OFFSET,
        "title": chip.CHIP_NAME,
        "family": chip.UF2_FAMILY_ID,
        "frequencies": chip.FLASH_FREQUENCY,
        "resets": resets(chip),
    }
print("RESULT " + json.dumps(out))
`;

interface TheirChip {
  id: number;
  offset: number;
  title: string;
  family: number;
  frequencies: Record<string, number>;
  /** Writes to registers during a watchdog reset, or `hard` if esptool resets by RTS instead; null = no registers. */
  resets: (number | string)[][] | null;
}

describeReal('esptool', 'the table of chips compared with esptool', () => {
  const { stdout, stderr } = spawnSync(python('esptool'), ['-c', script, ...chipNames], { encoding: 'utf8' });
  const line = stdout.split('\n').find((text) => text.startsWith('RESULT '));
  if (line === undefined) throw new Error(`esptool: ${stdout}${stderr}`);
  const theirs = JSON.parse(line.slice('RESULT '.length)) as Record<string, TheirChip>;

  describe.each(chipNames)('%s', (chip) => {
    it('has the same ID, bootloader offset, name, UF2 family and flash frequencies', () => {
      const { id, bootloaderOffset, title, uf2Family } = espChips[chip];
      const frequencies = Object.fromEntries(
        frequenciesOf(chip).map((name) => [name, frequencyCode(chip, name)]),
      );
      const { resets: _, ...expected } = theirs[chip]!;
      expect({ id, offset: bootloaderOffset, title, family: uf2Family, frequencies }).toEqual(expected);
    });

    it('is reset by the same watchdog registers, or not at all', () => {
      const { resets } = theirs[chip]!;
      const supported = resets !== null && !resets.some(([address]) => address === 'hard');
      const ours = watchdogs[chip];
      expect(ours !== undefined).toBe(supported);
      if (!ours || !resets) return;
      const { protect, config0, config1 } = ours;
      expect(resets.map(([address]) => address)).toEqual([protect, config1, config0, protect]);
    });
  });
});
