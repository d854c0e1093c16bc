import { Flags } from '@oclif/core';
import * as z from 'zod';
import { AiotCommand } from '../../lib/cli/command.js';
import { columnList } from '../../lib/cli/flags/models.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { again } from '../../lib/cli/invocation.js';
import { drawnPicturesText, synthesisText } from '../../lib/cli/render/data.js';
import { next } from '../../lib/cli/render/text.js';
import { AiotError } from '../../lib/core/errors.js';
import { loadProject } from '../../lib/core/project.js';
import { synthesisSchema, synthesizeWords, usualOthers } from '../../lib/data/speech.js';
import { drawnPicturesSchema, drawPictures } from '../../lib/data/tray.js';

export default class DataSynthesize extends AiotCommand {
  static override summary = 'Generate labeled data: spoken words or pictures.';
  static override description =
    "With --words, espeak-ng speaks: each recording has one word, in generated noise, and is as long as the model's window. If the project has a label named other, its recordings contain words that are not in --words, beginnings and ends of the words in --words, and continuous speech. With --speech, they also contain sentences. Accent, speed, pitch, loudness and noise are random for each take. Each voice is a device, so a split by device tests the model on voices that it was not trained on.\n\nWithout --words, each recording is a picture of one part (bolt, nut or washer) or an empty tray, in the project's size. If model.kind is fomo, a picture shows up to five parts, with a box around each. Position, perspective, light, focus and noise are random.\n\nVoices are synthetic and pictures are drawn: before you rely on a model, test it on recordings of people, or on photographs. Recordings from an earlier run are replaced; all others are kept.";
  static override examples = [
    '<%= config.bin %> <%= command.id %> --words yes,no,stop --voices 40 --rate 16000',
    '<%= config.bin %> <%= command.id %> --words ja,nein --language de --others haus,wasser,sieben',
    '<%= config.bin %> <%= command.id %> --pictures 300 --seed 8',
  ];
  static override flags = {
    project: shared.project,
    words: Flags.string({
      summary: 'Words to speak; each is a label in model.labels.',
      env: 'AIOT_WORDS',
      helpValue: 'A,B,…',
      exclusive: ['pictures'],
    }),
    voices: Flags.integer({
      summary: 'Number of voices.',
      env: 'AIOT_VOICES',
      default: 40,
      min: 3,
      max: 200,
    }),
    takes: Flags.integer({
      summary: 'Number of recordings of each word by each voice.',
      env: 'AIOT_TAKES',
      default: 8,
      min: 1,
      max: 100,
    }),
    rate: Flags.integer({
      summary: "Sampling rate, Hz; must match the project's [default: the project's].",
      env: 'AIOT_RATE',
      min: 1,
      helpValue: 'HZ',
    }),
    language: Flags.string({
      summary: 'Language of the words, such as en or de.',
      env: 'AIOT_LANGUAGE',
      default: 'en',
    }),
    others: Flags.string({
      summary: 'Words for the label other [default: 151 common English words].',
      env: 'AIOT_OTHERS',
      helpValue: 'A,B,…',
    }),
    speech: Flags.integer({
      summary: 'Seconds of sentences of other words by each voice, for the label other.',
      env: 'AIOT_SPEECH',
      default: 0,
      min: 0,
      max: 3600,
    }),
    pictures: Flags.integer({
      summary: 'Number of pictures of each label [default: 150]; for fomo, in total [default: 500].',
      env: 'AIOT_PICTURES',
      min: 1,
      max: 10_000,
    }),
    seed: Flags.integer({ summary: 'Random seed.', env: 'AIOT_SEED', default: 7, min: 0, max: 40_000 }),
  };
  static override result = z.union([synthesisSchema, drawnPicturesSchema]);

  async run() {
    const input = await this.input(DataSynthesize);
    const { words, others, project: folder, pictures, seed, rate, speech, ...spoken } = input.flags;
    checkFlags(words, input.given);
    const project = await loadProject(folder);
    const { update } = this.progress();
    const at = again(input, 'project');
    if (words === undefined) {
      const drawn = await drawPictures({
        ...{ project, pictures, seed, signal: this.signal },
        onPicture: (done, total) => update({ text: 'pictures', done, total }),
      });
      this.print(drawnPicturesText(drawn));
      this.suggest(next(`aiot data check${at}`, `aiot model train${at}`));
      return drawn;
    }
    const made = await synthesizeWords({
      words: columnList(words) ?? [],
      others: columnList(others) ?? usualOthers,
      ...{ ...spoken, project, rateHz: rate, speechS: speech, seed, signal: this.signal },
      onVoice: (done) => update({ text: 'voices', done, total: spoken.voices }),
    });
    this.print(synthesisText(made));
    this.suggest(next(`aiot model train${at}`));
    return made;
  }
}

/** Flags that apply only to spoken words, not to pictures. */
const ofSpeech = ['voices', 'takes', 'rate', 'language', 'others', 'speech'] as const;

/** @throws AIOT_USAGE if pictures are drawn, but flags for spoken words are given */
function checkFlags(words: string | undefined, given: (name: string) => boolean): void {
  const useless = ofSpeech.filter(given).map((name) => `--${name}`);
  if (words !== undefined || useless.length === 0) return;
  throw new AiotError(
    'AIOT_USAGE',
    `${useless.join(', ')}: expected with --words only; without it, pictures are drawn`,
    {
      next: 'For pictures, use --pictures and --seed. For spoken words, add --words A,B,…',
    },
  );
}
