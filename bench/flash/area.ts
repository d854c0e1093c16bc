// Writing flash beside esptool, on the same simulated ESP32 behind a pty, which takes the time of a UART at 921600 and of a W25Q32's data
// sheet and runs in a process of its own; the same image. Whole processes; afterwards the simulator's flash is compared with the image.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Area, Bench } from '../harness/area.js';
import type { Figure } from '../harness/figure.js';
import { parts } from '../harness/parts.js';
import { besideEspflash, blank, eight, growing, software, unchanged } from './cases.js';
import { programImage } from './image.js';

const esptool = { peer: 'esptool', needs: [parts.esptool] };

export const area: Area = {
  about: 'writing and verifying flash',
  cases: {
    write: { ...esptool, run: withImage(blank) },
    espflash: { peer: 'espflash', needs: [parts.espflash], run: withImage(besideEspflash) },
    software: { ...esptool, run: withImage(software) },
    // Short, and a line that is found at the second attempt makes half of it: the median of three at least.
    unchanged: { ...esptool, run: withImage(unchanged, 3) },
    eight: { run: withImage(eight) },
    growth: { run: growing },
  },
};

/** An image of 1 MiB; a quarter of it in a quick run. */
function withImage(run: (image: string, rounds: number) => Promise<Figure[]>, least = 2) {
  return (bench: Bench) => {
    const image = join(bench.folder(), 'app.bin');
    writeFileSync(image, programImage(bench.quick ? 1 << 18 : 1 << 20));
    return run(image, bench.quick ? least : 5);
  };
}
