import { Args } from '@oclif/core';
import { inspect } from '../../index.js';
import { AiotCommand } from '../../lib/cli/command.js';
import { fileStep, inspectionText } from '../../lib/cli/render/inspection.js';
import { bold, next, shownPath } from '../../lib/cli/render/text.js';
import { inspectionSchema } from '../../lib/model/inspect/inspection.js';

export default class ModelInspect extends AiotCommand {
  static override summary = "Show a model's contents and the cost of running it.";
  static override description =
    'Shows operators with their versions, tensors with sizes and scales, multiply-adds, and the arena that TFLite Micro needs. Works with any .tflite or .aiot file; operators that aiot cannot run are listed too. A damaged file is rejected with the byte offset. For a bundle, also verifies it and runs its test vectors: inputs with expected outputs.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> build/model.int8.tflite',
    '<%= config.bin %> <%= command.id %> build/model.aiot --json',
  ];
  static override args = { file: Args.string({ required: true, description: 'A .tflite or .aiot file.' }) };
  static override result = inspectionSchema;

  async run() {
    const { args } = await this.input(ModelInspect);
    const result = await inspect(args.file);
    this.print(`${bold(shownPath(result.file))}\n${inspectionText(result)}`);
    if (result.bundle === null) this.suggest(next(fileStep(result, args.file)));
    else this.suggest(next('aiot model push', 'aiot model list'));
    return result;
  }
}
