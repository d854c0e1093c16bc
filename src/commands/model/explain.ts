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
  static override summary = 'Show which features and times a model relies on.';
  static override description =
    "Permutation importance measures how much worse the model gets when one feature is shuffled across the examples. Saliency measures how much each class's score drops when a part of the window, or a feature, is replaced by its mean. Without FILE, explains the project's quantized model on its test set, and adds the result to its report. With FILE, uses the rows of --data. Results are seeded and reproducible.";
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> model.tflite --data rows.csv --label label --json',
  ];
  static override args = {
    file: Args.string({ description: "A .tflite or .aiot file [default: the project's own model]." }),
  };
  static override flags = {
    project: shared.project,
    data: modelFlags.data,
    label: modelFlags.label,
    output: Flags.option({ options: outputKinds })({
      summary: "Type of FILE's outputs, if the file does not specify it.",
      env: 'AIOT_OUTPUT',
    }),
    'output-name': modelFlags.outputName,
    classes: modelFlags.classes,
    seed: Flags.integer({
      summary: 'Random seed for the permutations.',
      env: 'AIOT_SEED',
      helpValue: 'N',
      default: 7,
      min: 0,
    }),
    repeats: Flags.integer({
      summary: 'Number of permutations per feature.',
      env: 'AIOT_REPEATS',
      helpValue: 'N',
      default: 5,
      min: 1,
      max: 100,
    }),
  };
  static override result = explanationSchema;

  async run() {
    const input = await this.input(ModelExplain);
    const { args, flags } = input;
    const result = await explainRequest({
      ...{ ...flags, file: args.file, outputName: flags['output-name'] },
      signal: this.signal,
    });
    this.print(explanationText(result));
    if (args.file === undefined)
      this.suggest(next(`aiot model evaluate${again(input, 'project', 'data')} --report report.html`));
    return result;
  }
}
