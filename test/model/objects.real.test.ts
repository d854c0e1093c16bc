import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { loadProject } from '../../src/lib/core/project.js';
import { openDataset } from '../../src/lib/data/dataset/open.js';
import { readTflite } from '../../src/lib/formats/tflite/read.js';
import { bundleProject } from '../../src/lib/model/bundle/bundle-project.js';
import { encodeInput } from '../../src/lib/model/bundle/ends.js';
import { createPredictor } from '../../src/lib/model/bundle/predictor.js';
import type { Bundle } from '../../src/lib/model/bundle/types.js';
import { createInterpreter } from '../../src/lib/runtime/interpreter/interpreter.js';
import { fitPicture } from '../../src/lib/vision/fit.js';
import { encodePng, type Picture } from '../../src/lib/vision/picture.js';
import { root, runCli } from '../support/cli.js';
import { long } from '../support/every-tensor.js';
import { describeReal } from '../support/real.js';
import { runInPython } from '../support/tflite.js';

const side = 96;
const run = promisify(execFile);

let folder: string;
let file: string;
let bundle: Bundle;
/** 96 × 96 shades of gray. */
let pictures: Uint8Array[];

/** The template with fewer pictures and epochs: its network is the same, only less accurate. */
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'aiot-objects-'));
  const dir = join(folder, 'counter');
  const at = ['--project', dir, '--json'];
  const [count, epochs] = long ? [800, 60] : [60, 6];
  expect((await runCli(['init', dir, '--template', 'count-parts', '--json'])).code).toBe(0);
  const settings = join(dir, 'aiot.yaml');
  const text = await readFile(settings, 'utf8');
  await writeFile(
    settings,
    text.replace(/epochs: \d+/, `epochs: ${epochs}`).replace('macroF1: 0.8, drop: 0.03, ', ''),
  );
  for (const args of [
    ['data', 'synthesize', ...at, '--pictures', String(count)],
    ['model', 'train', ...at],
    ['model', 'quantize', ...at],
    ['model', 'evaluate', ...at],
  ]) {
    const { code, stderr } = await runCli(args);
    expect(code, `${args.join(' ')}: ${stderr}`).toBe(0);
  }
  const project = await loadProject(dir);
  ({ file, bundle } = await bundleProject({ project }));
  const { recordings } = await openDataset(project);
  pictures = recordings.slice(0, 60).map(({ columns }) => Uint8Array.from(columns[0]!));
}, 900_000);
afterAll(() => rm(folder, { recursive: true, force: true }));

describeReal('tflm', 'the network of count-parts', () => {
  describeReal('litert', 'compared with TFLite Micro and LiteRT', () => {
    it('yields identical shares for 60 pictures', () => {
      const { info, model } = bundle;
      const input = new Int8Array(pictures.length * side * side);
      pictures.forEach((pixels, i) => {
        const one = input.subarray(i * side * side, (i + 1) * side * side);
        encodeInput(Float32Array.from(pixels), info.standardization, info.input, one);
      });
      const interpreter = createInterpreter(readTflite(model));
      const ours = pictures.flatMap((_, i) => [
        ...interpreter.invoke(input.subarray(i * side * side, (i + 1) * side * side)),
      ]);
      // Different pictures have different results.
      const cells = ours.length / pictures.length;
      const distinct = new Set(pictures.map((_, i) => ours.slice(i * cells, (i + 1) * cells).join()));
      expect(distinct.size).toBeGreaterThan(pictures.length / 2);
      for (const judge of ['tflm', 'litert'] as const) {
        const [answer] = runInPython(judge, [{ graph: model, input, reference: true }]);
        expect(
          Buffer.from(answer!.output.buffer).equals(Buffer.from(Int8Array.from(ours).buffer)),
          judge,
        ).toBe(true);
      }
    });
  });
});

describeReal('ffmpeg', 'a loop with a camera', () => {
  it('finds the objects of the pictures that ffmpeg reads, at the model’s rate', async () => {
    const photo = join(folder, 'photo.png');
    const shown = pictures.slice(0, 3);
    for (const pixels of shown) {
      const data = new Uint8Array(pixels.length * 3).map((_, i) => pixels[Math.floor(i / 3)]!);
      await writeFile(photo, encodePng({ width: side, height: side, data }, 3));
      const out = join(folder, 'loop.ndjson');
      const { code, stderr, json } = await runCli([
        ...['loop', 'run', '--project', join(folder, 'counter'), '--model', file, '--vote', 'none'],
        ...['--sensor', `camera:${photo}?size=${side}x${side}`, '--for', '4s'],
        ...['--send', 'always', '--out', `file:${out}`, '--json'],
      ]);
      expect(code, stderr).toBe(0);
      // The model expects one picture a second, and ffmpeg sends more.
      const { predictions } = json as { predictions: number };
      expect(predictions).toBeGreaterThanOrEqual(2);
      expect(predictions).toBeLessThanOrEqual(5);
      const sent = (await readFile(out, 'utf8')).trim().split('\n');
      expect(sent).toHaveLength(predictions);
      const wanted = createPredictor(bundle).answer(pixels).detections;
      for (const line of sent) expect(JSON.parse(line).payload.detections).toEqual(wanted);
      await rm(out);
    }
  }, 60_000);
});

describeReal('cmake', 'a board with a camera, on this computer', () => {
  let program: string;
  beforeAll(async () => {
    const build = join(folder, 'build');
    await run('cmake', ['-S', join(root, 'firmware'), '-B', build]);
    await run('cmake', ['--build', build, '--target', 'run_pictures', '--parallel', '2'], {
      maxBuffer: 2 ** 26,
    });
    program = join(build, 'run_pictures');
  }, 300_000);

  /** Writes the pictures as files, and returns the detections of the firmware's messages. */
  const inFirmware = async (format: 'gray' | 'rgb565' | 'rgb888', shown: Picture[]) => {
    const files = await Promise.all(
      shown.map(async ({ width, height, data }, i) => {
        const path = join(folder, `${format}-${i}.pnm`);
        const head = `${format === 'gray' ? 'P5' : 'P6'}\n# a comment\n${width} ${height}\n255\n`;
        const values = format === 'gray' ? data.filter((_, k) => k % 3 === 0) : data;
        await writeFile(path, Buffer.concat([Buffer.from(head), values]));
        return path;
      }),
    );
    const { stdout } = await run(program, [file, format, ...files], { maxBuffer: 2 ** 26 });
    return stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line).detections);
  };

  const inTypeScript = (shown: Picture[]) => {
    const predictor = createPredictor(bundle);
    return shown.map((picture) => {
      const [gray] = fitPicture(picture, bundle.info.signal.image!, 1);
      return predictor.answer(gray!).detections;
    });
  };

  const picture = (width: number, height: number, color: (x: number, y: number) => number[]): Picture => ({
    ...{ width, height },
    data: Uint8Array.from({ length: width * height }, (_, i) => i).reduce(
      (data, _, i) => {
        data.set(color(i % width, Math.floor(i / width)), 3 * i);
        return data;
      },
      new Uint8Array(3 * width * height),
    ),
  });

  it('finds the same objects in 60 pictures of the model’s size', async () => {
    const shown = pictures.map((pixels) =>
      picture(side, side, (x, y) => new Array(3).fill(pixels[y * side + x])),
    );
    const found = await inFirmware('gray', shown);
    expect(found).toEqual(inTypeScript(shown));
    expect(found.flat().length).toBeGreaterThan(20);
  });

  it.each(['gray', 'rgb565', 'rgb888'] as const)(
    'finds the same objects in 24 camera pictures of 160 × 120 pixels in %s',
    async (format) => {
      const shown = pictures.slice(0, 24).map((pixels) =>
        picture(160, 120, (x, y) => {
          const gray = pixels[Math.floor((y * side) / 120) * side + Math.floor((x * side) / 160)]!;
          return format === 'gray' ? [gray, gray, gray] : [gray, (gray + x) % 256, Math.max(0, gray - y)];
        }),
      );
      // The camera drops the lower bits of each color, and repeats its upper bits when they are read.
      const seen = shown.map((one) => ({ ...one, data: format === 'rgb565' ? packed(one.data) : one.data }));
      const found = await inFirmware(format, shown);
      expect(found).toEqual(inTypeScript(seen));
      expect(found.flat().length).toBeGreaterThan(5);
    },
  );

  it('rejects files that are not pictures, and names them', async () => {
    const bad = join(folder, 'bad.pgm');
    for (const [text, bytes] of [
      ['P6\n2 2\n255\n', 12],
      ['P5\n2 2\n65535\n', 8],
      ['P5\n2 2\n255\n', 3],
      ['P5\n99999 99999\n255\n', 4],
      ['P5\n0 2\n255\n', 4],
      ['P5\n2', 0],
      ['# P5', 0],
    ] as const) {
      await writeFile(bad, Buffer.concat([Buffer.from(text), Buffer.alloc(bytes)]));
      await expect(run(program, [file, 'gray', bad]), text).rejects.toMatchObject({
        code: 1,
        stderr: `${bad}\n`,
      });
    }
  });
});

/** Colors of 5, 6 and 5 bits, expanded to 8 bits. */
function packed(data: Uint8Array): Uint8Array {
  return data.map((value, i) => {
    const bits = i % 3 === 1 ? 6 : 5;
    const upper = value >> (8 - bits);
    return (upper << (8 - bits)) | (upper >> (2 * bits - 8));
  });
}
