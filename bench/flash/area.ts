// Writing flash, compared with esptool: whole processes, with the same image, on the same simulated ESP32 behind a pty. The simulator runs
// in a separate process, with the timing of a UART at 921600 baud and of a W25Q32 according to its data sheet. Afterwards its flash is
// compared with the image.
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
    // At least three rounds, because one retried connection would double the time of such a short run.
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
