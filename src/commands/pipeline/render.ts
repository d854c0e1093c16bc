import { Flags } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { renderFlags } from '../../lib/cli/flags/projects.js';
import { renderedText } from '../../lib/cli/render/deploy.js';
import { next } from '../../lib/cli/render/text.js';
import { shellWord } from '../../lib/core/text.js';
import { renderPipeline } from '../../lib/deploy/argo.js';
import { renderedSchema } from '../../lib/deploy/render.js';

export default class PipelineRender extends AiotCommand {
  static override summary = 'Render the pipeline as an Argo WorkflowTemplate.';
  static override description =
    'Each step becomes a pod that runs the same command on the same files as aiot pipeline run. If you have edited a rendered file, rendering fails unless you pass --force, which overwrites the file.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> --target argo --out argo',
    '<%= config.bin %> <%= command.id %> --target argo --project motor-watch --out argo --json',
  ];
  static override flags = {
    target: Flags.option({ options: ['argo'] as const })({
      summary: 'Target engine: argo = Argo Workflows 3.6 or newer.',
      required: true,
      env: 'AIOT_TARGET',
    }),
    ...renderFlags,
  };
  static override result = renderedSchema;

  async run() {
    const { flags } = await this.input(PipelineRender);
    const { project, out, values, force } = flags;
    const rendered = await renderPipeline({
      ...{ project, out, force, dryRun: flags['dry-run'] },
      ...(values === undefined ? {} : { values }),
    });
    this.print(renderedText(rendered));
    if (!rendered.dryRun) this.suggest(next(`cd ${shellWord(out)} && ${rendered.next}`));
    return rendered;
  }
}
