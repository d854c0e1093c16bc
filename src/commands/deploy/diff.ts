import { AiotCommand } from '../../lib/cli/command.js';
import { deployFlags, deployFolder, deployOptions } from '../../lib/cli/flags/projects.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { deployDiffText } from '../../lib/cli/render/deploy.js';
import { deployDiffSchema, diffDeployment } from '../../lib/deploy/diff.js';

export default class DeployDiff extends AiotCommand {
  static override summary = 'Show what rendering a folder again would change.';
  static override description =
    'Shows your own edits and the effects of new values. Writes nothing. Exits with 6 if there is a difference. Files rendered for a project are compared with that project.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> k3s',
    '<%= config.bin %> <%= command.id %> compose --project motor --values deploy.yaml --json',
  ];
  static override args = { dir: deployFolder };
  static override flags = { project: shared.project, values: deployFlags.values };
  static override result = deployDiffSchema;

  async run() {
    const { args, flags } = await this.input(DeployDiff);
    const compared = await diffDeployment({ dir: args.dir, ...deployOptions(flags) });
    this.print(deployDiffText(compared));
    if (!compared.same) this.exitsWith(6);
    return compared;
  }
}
