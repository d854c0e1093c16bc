import { AiotCommand, facts, next, shared, size } from '../../lib/cli/index.js';
import { loadProject } from '../../lib/core/index.js';
import { quantizeProject, quantizeResultSchema } from '../../lib/model/index.js';

export default class ModelQuantize extends AiotCommand {
  static override summary = 'Quantize the trained network to full int8.';
  static override description =
    'Weights become int8 per channel, biases int32, activations int8 with ranges taken from the training windows. Writes build/model.int8.tflite.';
  static override examples = ['<%= config.bin %> <%= command.id %>'];
  static override flags = { project: shared.project, data: shared.data };
  static override result = quantizeResultSchema;

  async run() {
    const { flags } = await this.input(ModelQuantize);
    const project = await loadProject(flags.project);
    const result = await quantizeProject({ project, data: flags.data, signal: this.signal });
    const { scale, zeroPoint } = result.input;
    this.print(
      facts([
        ['Model', `${result.model}, ${size(result.floatBytes)} float → ${size(result.bytes)} int8`],
        ['Ranges', `from ${result.windows} training windows`],
        ['Input', `scale ${scale.toPrecision(5)}, zero point ${zeroPoint}`],
        ['File', result.file],
      ]),
    );
    this.print(next('aiot model evaluate', `aiot model inspect ${result.file}`));
    return result;
  }
}
