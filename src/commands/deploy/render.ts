import { Flags } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { deployOptions, renderFlags } from '../../lib/cli/flags/projects.js';
import { renderedText } from '../../lib/cli/render/deploy.js';
import { next } from '../../lib/cli/render/text.js';
import { shellWord } from '../../lib/core/text.js';
import { renderDeployment, renderedSchema } from '../../lib/deploy/render.js';
import { targetNames } from '../../lib/deploy/targets.js';

export default class DeployRender extends AiotCommand {
  static override summary = 'Render the deployment files for a cluster, Docker or a VM.';
  static override description =
    'Runs nothing, and no file contains a secret. If you have edited a rendered file, rendering fails unless you pass --force, which overwrites the file.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> --target k3s --out k3s',
    '<%= config.bin %> <%= command.id %> --target compose --project motor --values deploy.yaml --out compose',
    '<%= config.bin %> <%= command.id %> --target nats --project templates/har-imu --out nats --dry-run --json',
  ];
  static override flags = {
    target: Flags.option({ options: targetNames })({
      summary:
        'Target: compose = Docker, k3s = a K3s cluster, k3s-nodes = setup of its machines, systemd, cloud-init = a fresh VM, argocd, nats = a standalone server, grafana = Prometheus rules and a dashboard.',
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
    if (!rendered.dryRun) this.suggest(next(`cd ${shellWord(flags.out)} && ${rendered.next}`));
    return rendered;
  }
}
