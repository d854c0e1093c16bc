// Makes templates/keyword-spotting/words.wav and words.json with espeak-ng: `npm run parts -- espeak` first, then `node scripts/speech.js`.
// Several voices speak each word once. `aiot init` places the words in noise (src/lib/data/speech.ts).
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { register } from 'tsx/esm/api';

register();
const { seededRandom, shuffled } = await import('../src/lib/core/numbers.ts');
const { createVoice, findSpeaker, usualOthers } = await import('../src/lib/data/speech.ts');
const { writeWav } = await import('../src/lib/formats/wav.ts');

const rateHz = 8000;
const voices = 9;
const othersOfVoice = 2;
const random = seededRandom(11);
const speaker = await findSpeaker('en');
const scratch = await mkdtemp(join(tmpdir(), 'aiot-speech-'));
const sounds = [];
const words = [];
try {
  for (const variant of shuffled(speaker.variants, random).slice(0, voices)) {
    const voice = createVoice(speaker, variant, random, scratch);
    const others = shuffled(usualOthers, random).slice(0, othersOfVoice);
    for (const text of ['yes', 'no', 'stop', ...others]) {
      const sound = await voice.say(text, rateHz);
      const loudest = sound.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
      sounds.push(sound.map((value) => (0.9 * value) / loudest));
      words.push({
        label: others.includes(text) ? 'other' : text,
        text,
        device: voice.name,
        samples: sound.length,
      });
    }
  }
} finally {
  await rm(scratch, { recursive: true, force: true });
}
const all = Float64Array.from(sounds.flatMap((sound) => [...sound]));
const folder = new URL('../templates/keyword-spotting/', import.meta.url);
await writeFile(new URL('words.wav', folder), writeWav({ rateHz, channels: [all] }));
const lines = words.map((word) => JSON.stringify(word)).join(',\n');
await writeFile(
  new URL('words.json', folder),
  `{"source":${JSON.stringify(speaker.version)},"words":[\n${lines}\n]}\n`,
);
process.stdout.write(`${words.length} words, ${all.length / rateHz} s, ${2 * all.length} bytes\n`);
