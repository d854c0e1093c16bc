import { Args, Flags } from '@oclif/core';
import { pipelineRequestSchema } from '../../lib/api/index.js';
import { AiotCommand } from '../../lib/cli/command.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { requestText } from '../../lib/cli/render/pipeline.js';
import { requestPipeline } from '../../lib/pipeline/run/request.js';

export default class PipelineStart extends AiotCommand {
  static override summary = 'Request a pipeline run from a connected runner.';
  static override description =
    'The run is carried out by aiot pipeline runner on another machine. With --wait, shows the lines of the run until it ends, and exits with 1 if it did not succeed; Ctrl-C ends only the wait. A token with scopes needs pipelines:run.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> motor-watch',
    '<%= config.bin %> <%= command.id %> motor-watch --until evaluate --runner lab-1 --wait',
  ];
  static override args = {
    name: Args.string({ description: 'Name of the project.', required: true }),
  };
  static override flags = {
    runner: Flags.string({
      summary: 'Name of the runner [default: any runner of the project].',
      env: 'AIOT_RUNNER',
      helpValue: 'NAME',
    }),
    until: Flags.string({ summary: 'Stop after this step.', env: 'AIOT_UNTIL', helpValue: 'STEP' }),
    force: Flags.boolean({ summary: 'Run all steps, including unchanged ones.', env: 'AIOT_FORCE' }),
    wait: Flags.boolean({ summary: 'Wait for the end of the run.', env: 'AIOT_WAIT' }),
    context: shared.context,
  };
  static override result = pipelineRequestSchema;

  async run() {
    const { args, flags } = await this.input(PipelineStart);
    const { runner, until, force, wait, context } = flags;
    const request = await requestPipeline({
      ...{ project: args.name, runner, until, force, wait, context, signal: this.signal },
      onLine: (line) => this.note(line),
      onTrouble: (text) => this.note(`${text}; trying again`),
    });
    this.print(requestText(request));
    if (request.ended !== null && request.state !== 'done') this.exitsWith(1);
    return request;
  }
}
