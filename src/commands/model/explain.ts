import { Args, Flags } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { modelFlags } from '../../lib/cli/flags/models.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { again } from '../../lib/cli/invocation.js';
import { explanationText } from '../../lib/cli/render/evaluation.js';
import { next } from '../../lib/cli/render/text.js';
import { outputKinds } from '../../lib/model/evaluate/result.js';
import { explainRequest } from '../../lib/model/inspect/explain.js';
import { explanationSchema } from '../../lib/model/inspect/explanation.js';

export default class ModelExplain extends AiotCommand {
  static override summary = 'Show what a model looks at: which features, and where in the window.';
  static override description =
    'Permutation importance: how much worse the model gets when one feature (a field over the whole window, or one input) is dealt out anew among the examples. Saliency: what each class loses when a stretch of the window, or a feature, is replaced by its mean. Of the project’s quantized network on its test part, whose report then shows it too; or of FILE on the rows of --data. Seeded: the same every time.';
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> model.tflite --data rows.csv --label label --json',
  ];
  static override args = {
    file: Args.string({ description: 'A .tflite or .aiot file; without it the project’s own network.' }),
  };
  static override flags = {
    project: shared.project,
    data: modelFlags.data,
    label: modelFlags.label,
    output: Flags.option({ options: outputKinds })({
      summary: 'What the outputs of FILE mean, where the file does not tell.',
      env: 'AIOT_OUTPUT',
    }),
    classes: modelFlags.classes,
    seed: Flags.integer({ summary: 'Of the permutations.', env: 'AIOT_SEED', default: 7, min: 0 }),
    repeats: Flags.integer({
      summary: 'Permutations of each feature.',
      env: 'AIOT_REPEATS',
      default: 5,
      min: 1,
      max: 100,
    }),
  };
  static override result = explanationSchema;

  async run() {
    const input = await this.input(ModelExplain);
    const { args, flags } = input;
    const result = await explainRequest({ ...flags, file: args.file, signal: this.signal });
    this.print(explanationText(result));
    if (args.file === undefined)
      this.print(next(`aiot model evaluate${again(input, 'project', 'data')} --report report.html`));
    return result;
  }
}
