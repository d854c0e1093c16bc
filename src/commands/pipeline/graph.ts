import { Flags } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { again } from '../../lib/cli/invocation.js';
import { next } from '../../lib/cli/render/text.js';
import { graphSchema, pipelineGraph } from '../../lib/pipeline/graph.js';

export default class PipelineGraph extends AiotCommand {
  static override summary = 'Draw the pipeline graph with step states from the last run.';
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> --project motor-watch --out pipeline.svg',
  ];
  static override flags = {
    project: shared.project,
    out: Flags.string({
      char: 'o',
      summary: 'Write the graph to this file as SVG.',
      env: 'AIOT_OUT',
      helpValue: 'FILE',
    }),
  };
  static override result = graphSchema;

  async run() {
    const input = await this.input(PipelineGraph);
    const { flags } = input;
    const graph = await pipelineGraph({ dir: flags.project, out: flags.out });
    this.print(graph.text);
    if (graph.file !== null) this.print(`\nWrote ${graph.file}`);
    const at = again(input, 'project');
    this.suggest(next(`aiot pipeline run${at}`));
    return graph;
  }
}
