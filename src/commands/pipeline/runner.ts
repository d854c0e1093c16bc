import { Flags } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { stepsFlags } from '../../lib/cli/flags/projects.js';
import { runnerEventText } from '../../lib/cli/render/pipeline.js';
import { runnerEventSchema, runPipelineRunner } from '../../lib/pipeline/run/runner.js';

export default class PipelineRunner extends AiotCommand {
  static override summary = 'Run the pipeline when users request it on the platform.';
  static override description =
    'Registers this machine with the platform, and runs the pipeline whenever a run is requested on the dashboard, with aiot pipeline start, or with the API. The platform itself runs no project code. A request is run once: if the runner is killed, the request is lost after 30 seconds and is not repeated. Ctrl-C cancels the current run. The token needs the role ci; if it has scopes, pipelines:write and those of the steps. With --json, prints one JSON object per event.';
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> --project motor-watch --name lab-1 --context factory',
  ];
  static override flags = {
    ...stepsFlags,
    name: Flags.string({
      summary: "Name of the runner on the platform [default: this machine's name].",
      env: 'AIOT_NAME',
      helpValue: 'NAME',
    }),
  };
  static override result = runnerEventSchema;

  async run() {
    const { flags } = await this.input(PipelineRunner);
    const { project: dir, ...asked } = flags;
    await runPipelineRunner({
      ...{ dir, ...asked, signal: this.signal },
      onEvent: (event) => this.item(event, () => runnerEventText(event)),
    });
    return undefined;
  }
}
