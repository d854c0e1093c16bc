import { Args, Flags } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { modelFlags } from '../../lib/cli/flags/models.js';
import { facts, next } from '../../lib/cli/render/text.js';
import { percent, size } from '../../lib/core/figures.js';
import { shellWord } from '../../lib/core/text.js';
import { type ImportOptions, importModel, importResultSchema } from '../../lib/model/import/import-model.js';
import { openModelProject } from '../../lib/model/material.js';

export default class ModelImport extends AiotCommand {
  static override summary = 'Take over a network that was trained elsewhere, as a float .tflite file.';
  static override description =
    'Reads layers models of TensorFlow.js (model.json), Keras files (.keras, .h5), float .tflite files, and with @tensorflow/tfjs-node SavedModels. Batch norms are folded, activations fused, an open batch is fixed to 1. With --project it becomes the project’s network, measured on its validation part; without, a file.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> gestures.keras',
    '<%= config.bin %> <%= command.id %> web/model.json --name gestures --out gestures.tflite',
    '<%= config.bin %> <%= command.id %> trained.h5 --project motor-watch --inputs standardized --classes idle,on,fault',
  ];
  static override args = {
    from: Args.string({ required: true, description: 'A file, or the folder of a model.' }),
  };
  static override flags = {
    name: Flags.string({ summary: 'Name of the model.', env: 'AIOT_NAME', helpValue: 'NAME' }),
    project: Flags.string({
      char: 'p',
      summary: 'Folder of the project that the network is for.',
      env: 'AIOT_PROJECT',
      helpValue: 'DIR',
    }),
    out: Flags.string({
      char: 'o',
      summary: 'The .tflite file to write.',
      env: 'AIOT_OUT',
      helpValue: 'FILE',
    }),
    data: modelFlags.data,
    label: modelFlags.label,
    classes: Flags.string({
      summary: 'The project’s classes in the order of the network’s outputs.',
      env: 'AIOT_CLASSES',
      helpValue: 'A,B,…',
      dependsOn: ['project'],
    }),
    inputs: Flags.option({ options: ['raw', 'standardized'] as const })({
      summary: 'What it was trained on: the project’s inputs as they are (raw), or standardized.',
      env: 'AIOT_INPUTS',
      dependsOn: ['project'],
    }),
    force: Flags.boolean({
      summary: 'Go on although the split leaks.',
      env: 'AIOT_FORCE',
      dependsOn: ['project'],
    }),
  };
  static override result = importResultSchema;

  async run() {
    const { args, flags } = await this.input(ModelImport);
    const { project: folder, ...rest } = flags;
    const project = folder === undefined ? undefined : await openModelProject(folder, flags.data);
    const options: ImportOptions = {
      ...rest,
      classes: flags.classes?.split(','),
      from: args.from,
      project,
      signal: this.signal,
    };
    const result = await importModel(options);
    const { validation, input, output } = result;
    this.print(
      facts([
        ['Model', `${result.name}, ${size(result.bytes)} float, ${result.parameters} parameters`],
        ['From', `${result.writer} (${result.format}), ${result.layers} layers`],
        ['Operators', result.ops.join(' ')],
        ['Input', `${input.name} [${input.shape.join(', ')}]`],
        ['Output', `${output.name} [${output.shape.join(', ')}]`],
        ...(validation?.accuracy == null
          ? []
          : [
              ['Validation', `${percent(validation.accuracy)} of ${validation.examples}`] as [string, string],
            ]),
        ...result.notes.map((note): [string, string] => ['Note', note]),
        ['File', result.file],
      ]),
    );
    const file = shellWord(result.file);
    const more = project ? `--project ${shellWord(folder!)}` : `${file} --data rows.csv`;
    this.print(next(`aiot model quantize ${more}`));
    return result;
  }
}
