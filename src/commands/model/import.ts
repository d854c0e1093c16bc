import { Args, Flags } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { modelFlags } from '../../lib/cli/flags/models.js';
import { again } from '../../lib/cli/invocation.js';
import { afterImport, importedText } from '../../lib/cli/render/inspection.js';
import { next } from '../../lib/cli/render/text.js';
import { type ImportOptions, importModel, importResultSchema } from '../../lib/model/import/import-model.js';
import { openModelProject } from '../../lib/model/material.js';

export default class ModelImport extends AiotCommand {
  static override summary = 'Import a trained model as a .tflite file.';
  static override description =
    "Reads TensorFlow.js layers models (model.json), Keras files (.keras, .h5), ONNX files (.onnx) and .tflite files. It also reads SavedModels if @tensorflow/tfjs-node is installed. Batch norms are folded, activations are fused, and a dynamic batch dimension is set to 1. A .tflite file that is already quantized to int8 or int16x8 keeps its integers. With --project, the model becomes the project's model and is evaluated on the validation set; otherwise the result is a file.";
  static override examples = [
    '<%= config.bin %> <%= command.id %> gestures.keras',
    '<%= config.bin %> <%= command.id %> web/model.json --name gestures --out gestures.tflite',
    '<%= config.bin %> <%= command.id %> detector.onnx --input images:1x3x96x96',
    '<%= config.bin %> <%= command.id %> speech.onnx --input input:1x576 --input sr=16000 --state state=stateN',
    '<%= config.bin %> <%= command.id %> quantized.onnx --keep-scales',
    '<%= config.bin %> <%= command.id %> trained.h5 --project motor-watch --inputs standardized --classes idle,on,fault',
    '<%= config.bin %> <%= command.id %> wake-word.int8.tflite --project doorbell --deviation 25.6',
  ];
  static override args = {
    from: Args.string({ required: true, description: 'Model file or folder.' }),
  };
  static override flags = {
    name: Flags.string({
      summary: "Model name [default: the project's, else from the file].",
      env: 'AIOT_NAME',
      helpValue: 'NAME',
    }),
    project: Flags.string({
      char: 'p',
      summary: 'Project that the model is for.',
      env: 'AIOT_PROJECT',
      helpValue: 'DIR',
    }),
    out: Flags.string({
      char: 'o',
      summary: ".tflite file to write, or its folder [default: the project's float model, else NAME.tflite].",
      env: 'AIOT_OUT',
      helpValue: 'FILE',
    }),
    data: modelFlags.data,
    label: modelFlags.label,
    classes: Flags.string({
      summary: "The project's class names in the order of the model's outputs.",
      env: 'AIOT_CLASSES',
      helpValue: 'A,B,…',
      dependsOn: ['project'],
    }),
    inputs: Flags.option({ options: ['raw', 'standardized'] as const })({
      summary: "Inputs that the model was trained on: the project's inputs, unchanged (raw) or standardized.",
      env: 'AIOT_INPUTS',
      dependsOn: ['project'],
    }),
    mean: Flags.string({
      summary:
        'Mean that the model expects to be subtracted from its inputs: one number, or one per field, channel, band or input.',
      env: 'AIOT_MEAN',
      helpValue: 'X,…',
      dependsOn: ['project'],
      exclusive: ['inputs'],
    }),
    deviation: Flags.string({
      summary: 'Number by which the model expects its inputs to be divided, in the same form as --mean.',
      env: 'AIOT_DEVIATION',
      helpValue: 'X,…',
      dependsOn: ['project'],
      exclusive: ['inputs'],
    }),
    input: Flags.string({
      summary: 'Shape of an ONNX input, such as images:1x3x96x96, or its constant value. Repeatable.',
      env: 'AIOT_INPUT',
      helpValue: 'NAME:SHAPE|NAME=VALUE',
      multiple: true,
    }),
    output: Flags.string({
      summary: 'ONNX output to import [default: all float outputs]. Repeatable.',
      env: 'AIOT_OUTPUT',
      helpValue: 'NAME',
      multiple: true,
    }),
    state: Flags.string({
      summary: 'Input that takes an output of the previous run, as its state. Repeatable.',
      env: 'AIOT_STATE',
      helpValue: 'INPUT=OUTPUT',
      multiple: true,
    }),
    'keep-scales': Flags.boolean({
      summary: 'Keep the integers of a quantized ONNX file, and write an int8 file.',
      env: 'AIOT_KEEP_SCALES',
    }),
    force: Flags.boolean({
      summary: 'Import even if the split leaks.',
      env: 'AIOT_FORCE',
      dependsOn: ['project'],
    }),
  };
  static override result = importResultSchema;

  async run() {
    const input = await this.input(ModelImport);
    const { args, flags } = input;
    const { project: folder, 'keep-scales': keepScales, ...rest } = flags;
    const project = folder === undefined ? undefined : await openModelProject(folder, flags.data);
    const options: ImportOptions = {
      ...rest,
      keepScales,
      classes: flags.classes?.split(','),
      from: args.from,
      project,
      signal: this.signal,
    };
    const result = await importModel(options);
    this.print(importedText(result));
    this.suggest(next(afterImport(result, project ? again(input, 'project', 'data') : null)));
    return result;
  }
}
