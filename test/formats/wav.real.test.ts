import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { readWav, writeWav } from '../../src/lib/formats/wav.js';
import { describeReal, python } from '../support/real.js';

/** A 440 Hz sine at half of full scale, plus a second channel at 1 kHz. */
const tone = (rateHz: number, seconds = 0.5) =>
  [440, 1000].map((hz) =>
    Float64Array.from(
      { length: Math.round(rateHz * seconds) },
      (_, i) => 0.5 * Math.sin((2 * Math.PI * hz * i) / rateHz),
    ),
  );

describeReal('ffmpeg', 'WAV files, compared with ffmpeg', () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'aiot-wav-'));
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  const ffmpeg = (...args: string[]) => {
    const { status, stderr } = spawnSync('ffmpeg', ['-v', 'error', '-y', ...args], { encoding: 'utf8' });
    expect(stderr).toBe('');
    expect(status).toBe(0);
  };

  it.each([1, 2])('are read as ffmpeg decodes them, with %i channels', (channels) => {
    const [wav, raw] = [join(folder, 'a.wav'), join(folder, 'a.raw')];
    ffmpeg(
      '-f',
      'lavfi',
      '-i',
      'sine=frequency=523:sample_rate=22050:duration=0.4',
      '-ac',
      `${channels}`,
      wav,
    );
    ffmpeg('-i', wav, '-f', 's16le', '-c:a', 'pcm_s16le', raw);
    const expected = readFileSync(raw);
    const sound = readWav(readFileSync(wav), wav);
    expect([sound.rateHz, sound.channels.length]).toEqual([22_050, channels]);
    expect(sound.channels[0]!.length).toBe(expected.length / 2 / channels);
    sound.channels.forEach((column, c) => {
      column.forEach((value, i) => {
        expect(value * 2 ** 15).toBe(expected.readInt16LE(2 * (i * channels + c)));
      });
    });
  });

  it('are read from a pipe, where ffmpeg cannot know the size', () => {
    const { stdout } = spawnSync('ffmpeg', [
      ...['-v', 'error', '-f', 'lavfi', '-i', 'sine=sample_rate=8000:duration=0.25'],
      ...['-c:a', 'pcm_s16le', '-f', 'wav', '-'],
    ]);
    expect(readWav(stdout, 'pipe').channels[0]!.length).toBe(2000);
  });

  it('are written so that ffmpeg decodes the same samples', () => {
    const [wav, raw] = [join(folder, 'ours.wav'), join(folder, 'ours.raw')];
    const bytes = writeWav({ rateHz: 16_000, channels: tone(16_000) });
    writeFileSync(wav, bytes);
    ffmpeg('-i', wav, '-f', 's16le', '-c:a', 'pcm_s16le', raw);
    expect(readFileSync(raw).equals(bytes.subarray(44))).toBe(true);
  });
});

const script = `
import sys
from scipy.io import wavfile
rate, data = wavfile.read(sys.argv[1])
print(rate, data.dtype, data.shape, int(data.sum()), int(abs(data.astype(int)).max()))
`;

describeReal('har', 'sound, compared with SciPy', () => {
  it('is written so that SciPy reads it', () => {
    const folder = mkdtempSync(join(tmpdir(), 'aiot-wav-'));
    try {
      const file = join(folder, 'a.wav');
      const channels = tone(16_000).map((column) =>
        column.map((value) => Math.round(value * 2 ** 15) / 2 ** 15),
      );
      writeFileSync(file, writeWav({ rateHz: 16_000, channels }));
      const { stdout } = spawnSync(python('har'), ['-c', script, file], { encoding: 'utf8' });
      const whole = channels.flatMap((column) => [...column].map((value) => value * 2 ** 15));
      const sum = whole.reduce((a, b) => a + b, 0);
      const most = whole.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
      expect(stdout.trim()).toBe(`16000 int16 (8000, 2) ${sum} ${most}`);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
