import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { loadProject, type Project } from '../../src/lib/core/project.js';
import { openDataset } from '../../src/lib/data/dataset/open.js';
import { readSound } from '../../src/lib/data/dataset/sound.js';
import { openSensing } from '../../src/lib/loop/sense/open.js';
import { allOf } from '../loop/sense/all-of.js';
import { runCli } from '../support/cli.js';
import { describeReal } from '../support/real.js';
import { makeProject } from './support.js';

const yaml = `name: words
stream: { topic: sound, fields: { sound: { unit: FS, range: [-1, 1] } } }
signal: { rate: 16000, window: 800, stride: 400, features: spectral }
model: { labels: { yes: [yes], no: [no] } }
`;

describeReal('ffmpeg', 'sound files that ffmpeg wrote', () => {
  let folder: string;
  let project: Project;
  let clean: () => Promise<void>;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'aiot-sound-'));
    // Pink noise at full level: its samples use all 16 bits.
    const source = ['-f', 'lavfi', '-i', 'anoisesrc=color=pink:amplitude=0.9:seed=5:r=16000:d=1.5'];
    ffmpeg(...source, '-c:a', 'pcm_s16le', join(folder, 'yes1.wav'));
    for (const name of ['yes1.flac', 'yes1.aiff', 'yes1.mp3', 'yes1.opus'])
      ffmpeg('-i', join(folder, 'yes1.wav'), join(folder, name));
    ffmpeg('-i', join(folder, 'yes1.wav'), '-f', 's16le', join(folder, 'yes1.raw'));
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  beforeEach(async () => {
    ({ project, clean } = await makeProject(yaml));
  });
  afterEach(() => clean());

  function ffmpeg(...args: string[]): void {
    const { status, stderr } = spawnSync('ffmpeg', ['-v', 'error', '-y', ...args], { encoding: 'utf8' });
    expect(status, stderr).toBe(0);
  }

  /** Samples as ffmpeg's own raw output has them. */
  const expected = () => {
    const raw = readFileSync(join(folder, 'yes1.raw'));
    return Float64Array.from({ length: raw.length / 2 }, (_, i) => raw.readInt16LE(2 * i) / 2 ** 15);
  };

  it.each(['flac', 'aiff', 'wav'])('are imported from .%s with exactly the same samples', async (format) => {
    const at = ['--project', project.dir, '--json'];
    const made = await runCli(['data', 'import', join(folder, `yes1.${format}`), ...at]);
    expect(made.code, made.stderr).toBe(0);
    const { recordings } = await openDataset(await loadProject(project.dir));
    expect(recordings).toMatchObject([{ id: 'yes1', label: 'yes', rateHz: 16_000, format: 'wav' }]);
    expect(recordings[0]!.columns[0]).toEqual(expected());
  });

  it('are replayed by a loop from FLAC as from WAV', async () => {
    const contract = { fields: [{ name: 'sound', unit: 'FS' }], rateHz: 16_000 };
    const played = async (name: string) =>
      (await allOf(await openSensing({ sensor: `file:${join(folder, name)}?speed=max`, contract }))).values;
    const flac = await played('yes1.flac');
    expect(flac).toEqual(await played('yes1.wav'));
    expect(Float64Array.from(flac)).toEqual(expected());
  });

  it.each(['mp3', 'opus'])('are decoded from .%s, with loss but in the same length', async (format) => {
    const file = join(folder, `yes1.${format}`);
    const { rateHz, channels } = await readSound(readFileSync(file), file);
    expect(channels).toHaveLength(1);
    expect(channels[0]!.length / rateHz).toBeCloseTo(1.5, 0);
  });

  it.each([
    ['half of a FLAC file', (flac: Buffer) => flac.subarray(0, flac.length >> 1)],
    [
      'FLAC with a damaged frame',
      (flac: Buffer) => flac.fill(0x5a, flac.length >> 1, (flac.length >> 1) + 64),
    ],
    ['text', () => Buffer.from('not sound\n')],
    ['a playlist', () => Buffer.from(`#EXTM3U\n#EXTINF:1,\nfile://${join(folder, 'yes1.wav')}\n`)],
    ['nothing', () => Buffer.alloc(0)],
  ])('are rejected if they contain %s', async (_, damage) => {
    const file = join(project.dir, 'no1.flac');
    writeFileSync(file, damage(readFileSync(join(folder, 'yes1.flac'))));
    const { json, code } = await runCli(['data', 'import', file, '--project', project.dir, '--json']);
    expect(code).toBe(2);
    expect(json).toMatchObject({
      error: { code: 'AIOT_FILE_MALFORMED', message: expect.stringContaining('no1.flac') },
    });
  });
});
