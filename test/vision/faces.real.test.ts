import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type FaceDetector, type FaceModelName, openFaceDetector } from '../../src/lib/vision/detector.js';
import { decodePicture, type Picture } from '../../src/lib/vision/picture.js';
import { describeReal, picturesFolder } from '../support/real.js';

/** The numbers of faces, counted by eye. */
const counted: Record<string, number> = {
  '32bit.png': 1,
  'astronaut.png': 1,
  'biden.jpg': 1,
  'camera.png': 1,
  'chelsea.png': 0,
  'coffee.png': 0,
  'motorcycle_left.png': 0,
  'obama.jpg': 1,
  'obama2.jpg': 1,
  'obama3.jpg': 1,
  'obama_partial_face.jpg': 1,
  'obama_partial_face2.jpg': 1,
  'rocket.jpg': 0,
  'sample1.jpg': 3,
  'sample2.jpg': 3,
  'sample3.jpg': 3,
  'sample4.jpg': 4,
  'sample5.jpg': 5,
  'sample6.jpg': 4,
};
const picture = async (name: string) => decodePicture(await readFile(join(picturesFolder, name)), name);

describeReal('pictures', 'the face detector on photographs', () => {
  /** MediaPipe 0.10.21's own results for the astronaut: score, x, y, width, height. */
  it.each([
    ['short', 0.922, [178, 83, 95, 95]],
    ['sparse', 0.912, [174, 68, 104, 104]],
  ] as const)('%s matches the box and score of MediaPipe', async (model, score, box) => {
    const detector = await openFaceDetector({ model });
    const faces = detector.detect(await picture('astronaut.png'));
    detector.close();
    expect(faces).toHaveLength(1);
    const [{ x, y, width, height, score: got, points }] = faces as [(typeof faces)[0]];
    expect(Math.abs(got - score)).toBeLessThan(0.005);
    [x, y, width, height].forEach((value, i) => {
      expect(Math.abs(value - box[i]!)).toBeLessThan(1);
    });
    // The astronaut's right eye is on the left. The eyes are above the nose, the nose is above the mouth, and
    // the ears are outside.
    const [right, left, nose, mouth, rightEar, leftEar] = points as [number, number][];
    expect(rightEar![0]).toBeLessThan(right![0]);
    expect(right![0]).toBeLessThan(nose![0]);
    expect(nose![0]).toBeLessThan(left![0]);
    expect(left![0]).toBeLessThan(leftEar![0]);
    expect(Math.max(right![1], left![1])).toBeLessThan(nose![1]);
    expect(nose![1]).toBeLessThan(mouth![1]);
  });

  describe('the sparse model', () => {
    let detector: FaceDetector;
    beforeAll(async () => {
      detector = await openFaceDetector();
    });
    afterAll(() => detector.close());

    it.each(Object.entries(counted))('finds every face in %s (%i) and no others', async (name, faces) => {
      expect(detector.detect(await picture(name))).toHaveLength(faces);
    });

    it('finds no faces in black, white or noise', () => {
      const noise = Uint8Array.from({ length: 640 * 480 * 3 }, (_, i) => (i * 2_654_435_761) >>> 24);
      for (const data of [new Uint8Array(noise.length), noise.map(() => 255), noise])
        expect(detector.detect({ width: 640, height: 480, data })).toEqual([]);
    });

    it('does not leak memory over many pictures', async () => {
      const one = await picture('astronaut.png');
      for (let i = 0; i < 20; i++) detector.detect(one);
      const before = process.memoryUsage().rss;
      for (let i = 0; i < 300; i++) detector.detect(one);
      // Leaking the outputs would cost 0.16 MB per picture, and leaking the inputs 0.44 MB.
      expect(process.memoryUsage().rss - before).toBeLessThan(40e6);
    });
  });

  it.each([
    ['short', 23],
    ['full', 30],
  ] as [FaceModelName, number][])('%s finds %i of the 31 faces and no others', async (model, found) => {
    const detector = await openFaceDetector({ model });
    let faces = 0;
    for (const [name, most] of Object.entries(counted)) {
      const { length } = detector.detect(await picture(name));
      expect(length).toBeLessThanOrEqual(most);
      faces += length;
    }
    detector.close();
    expect(faces).toBe(found);
  });

  it('finds smaller faces with a zoom, each once', async () => {
    const canvas = await small(22);
    const [plain, zoomed] = [await openFaceDetector(), await openFaceDetector({ zoom: 2, minScore: 0.65 })];
    expect(plain.detect(canvas)).toEqual([]);
    const faces = zoomed.detect(canvas);
    expect(faces).toHaveLength(5);
    // A large face that is cut by the regions is still found only once.
    expect(zoomed.detect(await picture('astronaut.png'))).toHaveLength(1);
    plain.close();
    zoomed.close();
  });
});

/** The astronaut at five positions in a plain 640×480 picture, with a face of this width. */
async function small(faceWidth: number): Promise<Picture> {
  const side = Math.round((512 * faceWidth) / 104);
  const input = await sharp(join(picturesFolder, 'astronaut.png')).resize(side, side).toBuffer();
  const places = [
    [40, 40],
    [480, 60],
    [260, 180],
    [60, 340],
    [500, 330],
  ];
  const canvas = sharp({ create: { width: 640, height: 480, channels: 3, background: '#808080' } })
    .composite(places.map(([left, top]) => ({ input, left: left!, top: top! })))
    .png();
  return decodePicture(await canvas.toBuffer());
}
