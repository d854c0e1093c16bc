import { basename, join } from 'node:path';
import { AiotCommand, again, facts, next, shared, shellWord, size } from '../../lib/cli/index.js';
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
    const input = await this.input(ModelQuantize);
    const { flags } = input;
    const at = again(input, 'project', 'data');
    const project = await loadProject(flags.project);
    const result = await quantizeProject({ project, data: flags.data, signal: this.signal });
    const { scale, zeroPoint } = result.input;
    const shown = join(flags.project, 'build', basename(result.file));
    this.print(
      facts([
        ['Model', `${result.model}, ${size(result.floatBytes)} float → ${size(result.bytes)} int8`],
        ['Ranges', `from ${result.windows} training windows`],
        ['Input', `scale ${scale.toPrecision(5)}, zero point ${zeroPoint}`],
        ['File', shown],
      ]),
    );
    this.print(next(`aiot model evaluate${at}`, `aiot model inspect ${shellWord(shown)}`));
    return result;
  }
}
