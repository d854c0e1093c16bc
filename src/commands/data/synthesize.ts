import { Flags } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { columnList } from '../../lib/cli/flags/models.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { again } from '../../lib/cli/invocation.js';
import { synthesisText } from '../../lib/cli/render/data.js';
import { next } from '../../lib/cli/render/text.js';
import { loadProject } from '../../lib/core/project.js';
import { synthesisSchema, synthesizeWords, usualOthers } from '../../lib/data/speech.js';

export default class DataSynthesize extends AiotCommand {
  static override summary = 'Generate spoken words as recordings, with espeak-ng.';
  static override description =
    "Each recording has one word, in generated noise, and is as long as the model's window. Accent, speed, pitch, loudness and noise are random for each take. Voices are devices, so a split by device tests on voices that training has not heard. The voices are synthetic: before you rely on a model, test it on recordings of people. Recordings of an earlier run are replaced; all others are kept.";
  static override examples = [
    '<%= config.bin %> <%= command.id %> --words yes,no,stop --voices 40 --rate 16000',
    '<%= config.bin %> <%= command.id %> --words ja,nein --language de --others haus,wasser,sieben',
  ];
  static override flags = {
    project: shared.project,
    words: Flags.string({
      summary: 'Words to speak; each is a label in model.labels.',
      env: 'AIOT_WORDS',
      helpValue: 'A,B,…',
      required: true,
    }),
    voices: Flags.integer({
      summary: 'Number of voices.',
      env: 'AIOT_VOICES',
      default: 40,
      min: 3,
      max: 200,
    }),
    takes: Flags.integer({
      summary: 'Recordings of each word by each voice.',
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
      summary: 'Words for the label other [default: 24 common English words].',
      env: 'AIOT_OTHERS',
      helpValue: 'A,B,…',
    }),
    seed: Flags.integer({ summary: 'Random seed.', env: 'AIOT_SEED', default: 7, min: 0 }),
  };
  static override result = synthesisSchema;

  async run() {
    const input = await this.input(DataSynthesize);
    const { words, voices, takes, rate, language, others, seed, project } = input.flags;
    const { update } = this.progress();
    const made = await synthesizeWords({
      project: await loadProject(project),
      words: columnList(words) ?? [],
      others: columnList(others) ?? usualOthers,
      ...{ voices, takes, rateHz: rate, language, seed, signal: this.signal },
      onVoice: (done) => update({ text: 'voices', done, total: voices }),
    });
    this.print(synthesisText(made));
    this.print(next(`aiot model train${again(input, 'project')}`));
    return made;
  }
}
