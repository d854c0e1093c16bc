import { Flags } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { deployOptions, renderFlags } from '../../lib/cli/flags/projects.js';
import { renderedText } from '../../lib/cli/render/deploy.js';
import { next } from '../../lib/cli/render/text.js';
import { shellWord } from '../../lib/core/text.js';
import { renderDeployment, renderedSchema } from '../../lib/deploy/render.js';
import { targetNames } from '../../lib/deploy/targets.js';

export default class DeployRender extends AiotCommand {
  static override summary =
    'Write the files of an installation into a folder: a cluster, a machine with Docker, a VM.';
  static override description =
    'Nothing is run, and no file holds a secret. Rendered again, files that were edited since are refused; --force writes over them.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> --target k3s --out k3s',
    '<%= config.bin %> <%= command.id %> --target compose --project motor --values deploy.yaml --out compose',
    '<%= config.bin %> <%= command.id %> --target nats --project templates/har-imu --out nats --dry-run --json',
  ];
  static override flags = {
    target: Flags.option({ options: targetNames })({
      summary:
        'For what: compose = Docker, k3s = a cluster, k3s-nodes = its machines, systemd, cloud-init = a fresh VM, argocd, nats = a server alone.',
      required: true,
      env: 'AIOT_TARGET',
    }),
    ...renderFlags,
  };
  static override result = renderedSchema;

  async run() {
    const { flags } = await this.input(DeployRender);
    const rendered = await renderDeployment({
      target: flags.target,
      out: flags.out,
      ...deployOptions(flags),
      dryRun: flags['dry-run'],
      force: flags.force,
    });
    this.print(renderedText(rendered));
    if (!rendered.dryRun) this.print(next(`cd ${shellWord(flags.out)} && ${rendered.next}`));
    return rendered;
  }
}
