import { Args, Flags } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { hertz, labelFrom } from '../../lib/cli/flags/models.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { again } from '../../lib/cli/invocation.js';
import { rankingText } from '../../lib/cli/render/evaluation.js';
import { next } from '../../lib/cli/render/text.js';
import { plural } from '../../lib/core/figures.js';
import { loadProject } from '../../lib/core/project.js';
import { shellWord } from '../../lib/core/text.js';
import { featuresResultSchema, makeFeatures } from '../../lib/data/features/make.js';

export default class DataFeatures extends AiotCommand {
  static override summary = 'Compute features of recordings as a table, or rank them.';
  static override description =
    'Without recordings, uses those of the project. The table is CSV with one row per window. Without --out, it is printed to stdout. If labels are known, the columns recording and label follow the features, and aiot model train --data accepts the file. --rank requires at least two labels, each with at least two recordings. For --rank, training and test data never share a recording.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> walking1.csv --set har --rate 100 --window 501 --stride 500 --trim 100 --out features.csv',
    '<%= config.bin %> <%= command.id %> recordings --rate 100 --window 500 --lowpass 12 --resample 50 --rank',
    '<%= config.bin %> <%= command.id %> --project motor-watch --out features.csv',
  ];
  static override strict = false;
  static override args = { recordings: Args.string({ description: 'CSV files, or folders of them.' }) };
  static override flags = {
    project: shared.project,
    data: shared.data,
    set: Flags.string({
      summary:
        "Feature set: raw, motion, spectral, har, logmel, mfcc, microfrontend, or feature names NAME,NAME,… [default: the project's, else motion].",
      env: 'AIOT_SET',
      helpValue: 'SET',
    }),
    rate: hertz({ summary: 'Sampling rate of the recordings.', env: 'AIOT_RATE' }),
    lowpass: hertz({ summary: 'Cutoff frequency of a low-pass filter.', env: 'AIOT_LOWPASS' }),
    resample: hertz({ summary: 'Sampling rate to convert to, after filtering.', env: 'AIOT_RESAMPLE' }),
    window: Flags.integer({
      min: 1,
      summary: 'Samples per window; required without a project.',
      env: 'AIOT_WINDOW',
      helpValue: 'SAMPLES',
    }),
    stride: Flags.integer({
      min: 1,
      summary: 'Samples from the start of one window to the next.',
      env: 'AIOT_STRIDE',
      helpValue: 'SAMPLES',
    }),
    trim: Flags.integer({
      min: 0,
      summary: 'Number of samples to drop at each end of a recording.',
      env: 'AIOT_TRIM',
      helpValue: 'SAMPLES',
    }),
    tail: Flags.option({ options: ['keep', 'drop'] as const })({
      summary:
        'Handling of an incomplete last window; keep requires the set har [default: drop; keep for har without a project].',
      env: 'AIOT_TAIL',
    }),
    'label-from': labelFrom(),
    rank: Flags.boolean({
      summary: 'Rank the features by how well they separate the labels.',
      env: 'AIOT_RANK',
    }),
    out: Flags.string({
      char: 'o',
      summary: 'CSV file to write [default: stdout].',
      env: 'AIOT_OUT',
      helpValue: 'FILE',
    }),
  };
  static override result = featuresResultSchema;

  async run() {
    const input = await this.input(DataFeatures);
    const { flags, words, given } = input;
    const named = words.length === 0 || given('project');
    const { result, text } = await makeFeatures({
      ...flags,
      paths: words,
      project: named ? await loadProject(flags.project) : undefined,
      rateHz: flags.rate,
      lowpassHz: flags.lowpass,
      resampleHz: flags.resample,
      labelFrom: flags['label-from'],
    });
    if (text !== null) this.document(text);
    if (result.ranking) this.print(rankingText(result));
    if (flags.out === undefined) return result;
    this.print(
      `${plural(result.rows, 'row')} of ${plural(result.columns.length, 'feature')} in ${flags.out}`,
    );
    if (result.incomplete > 0) {
      this.print(
        `${plural(result.rows, 'row')} have empty cells because their windows are incomplete; use --tail drop`,
      );
    }
    if (result.labelFrom === 'none') return result;
    const out = shellWord(flags.out);
    if (result.incomplete === 0) {
      this.suggest(next(`aiot model train --data ${out}${again(input, 'project')}`));
      return result;
    }
    // The table contains empty cells, which other commands reject, so the suggested next command omits incomplete
    // rows.
    const files = words.map((word) => ` ${shellWord(word)}`).join('');
    const same = again(
      input,
      ...['project', 'data', 'set', 'rate', 'lowpass', 'resample', 'window', 'stride', 'trim', 'label-from'],
    );
    this.suggest(next(`aiot data features --tail drop --out ${out}${same}${files}`));
    return result;
  }
}
