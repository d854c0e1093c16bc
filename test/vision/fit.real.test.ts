import { spawnSync } from 'node:child_process';
import { expect, it } from 'vitest';
import { seededRandom } from '../../src/lib/core/numbers.js';
import { fitPicture } from '../../src/lib/vision/fit.js';
import { describeReal, python } from '../support/real.js';

const script = `
import base64, json, sys
from PIL import Image, ImageOps

def judged(job):
    image = Image.frombytes("RGB", (job["width"], job["height"]), base64.b64decode(job["data"]))
    if job["channels"] == 1:
        image = image.convert("L")
    size = (job["size"]["width"], job["size"]["height"])
    fit = job["size"]["fit"]
    if fit == "crop":
        out = ImageOps.fit(image, size, Image.Resampling.BILINEAR)
    elif fit == "pad":
        out = ImageOps.pad(image, size, Image.Resampling.BILINEAR)
    else:
        out = image.resize(size, Image.Resampling.BILINEAR)
    return [base64.b64encode(band.tobytes()).decode() for band in out.split()]

print(json.dumps([judged(job) for job in json.load(sys.stdin)]))
`;

/** Pictures of random sizes and colors, smooth in parts, for every fit and number of channels. */
function jobs(count: number) {
  const random = seededRandom(96);
  const whole = (most: number) => 1 + Math.floor(random() * most);
  return Array.from({ length: count }, (_, n) => {
    const [width, height] = [20 + whole(130), 20 + whole(130)];
    const level = random() * 255;
    const data = Uint8Array.from({ length: width * height * 3 }, (_, i) =>
      n % 4 === 0 ? random() * 256 : (level + i / 50 + 20 * random()) % 256,
    );
    const fit = (['crop', 'stretch', 'pad'] as const)[n % 3]!;
    const channels: 1 | 3 = n % 2 === 0 ? 1 : 3;
    return { width, height, data, channels, size: { width: 15 + whole(85), height: 15 + whole(85), fit } };
  });
}

describeReal('pillow', 'pictures scaled to the input size of a model, compared with Pillow', () => {
  it('have the same pixels for every size, fit and number of channels', () => {
    const all = jobs(300);
    const input = JSON.stringify(
      all.map((job) => ({ ...job, data: Buffer.from(job.data).toString('base64') })),
    );
    const { stdout, stderr, status } = spawnSync(python('pillow'), ['-c', script], {
      input,
      encoding: 'utf8',
      maxBuffer: 2 ** 28,
    });
    expect(status, stderr).toBe(0);
    const theirs = JSON.parse(stdout) as string[][];
    all.forEach(({ channels, size, ...picture }, n) => {
      const ours = fitPicture(picture, size, channels).map((plane) => Buffer.from(plane).toString('base64'));
      expect(ours, `${picture.width} × ${picture.height} to ${JSON.stringify(size)}`).toEqual(theirs[n]);
    });
  });
});
