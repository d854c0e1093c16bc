import { Flags } from '@oclif/core';
import { RunCommand, stepsFlags } from '../../lib/cli/index.js';
import { runResultSchema } from '../../lib/pipeline/index.js';

export default class PipelineRun extends RunCommand {
  static override summary = 'Run the steps from data to devices; what has not changed is not run again.';
  static override description =
    'Without pipeline in aiot.yaml: extract, drift, train, quantize, evaluate, push, rollout. Without a context a platform of the project’s own is started for the steps that need one. A gate that says no ends it with exit code 6, and the steps behind it are not run. Ctrl-C keeps what is done; aiot pipeline resume goes on.';
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> --project motor-watch --json',
    '<%= config.bin %> <%= command.id %> --until evaluate --force',
  ];
  static override flags = {
    ...stepsFlags,
    until: Flags.string({ summary: 'End after this step.', env: 'AIOT_UNTIL', helpValue: 'STEP' }),
    force: Flags.boolean({ summary: 'Run all steps, also those that are known.', env: 'AIOT_FORCE' }),
  };
  static override result = runResultSchema;

  async run() {
    const input = await this.input(PipelineRun);
    const { project: dir, ...asked } = input.flags;
    return await this.takeThrough(input, { dir, ...asked });
  }
}
