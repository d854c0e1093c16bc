import { AiotCommand } from '../../lib/cli/command.js';
import { deployFolder } from '../../lib/cli/flags/projects.js';
import { deployStatusText } from '../../lib/cli/render/deploy.js';
import { deploymentStatus, deployStatusSchema } from '../../lib/deploy/status.js';

export default class DeployStatus extends AiotCommand {
  static override summary = 'Show the status of an applied deployment.';
  static override description =
    'Lists the ready components, and the pending ones with the reason for each. Queries kubectl, docker compose or systemctl with their current settings. Exits with 6 if a component is not ready.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> k3s',
    '<%= config.bin %> <%= command.id %> compose --json',
  ];
  static override args = { dir: deployFolder };
  static override result = deployStatusSchema;

  async run() {
    const { args } = await this.input(DeployStatus);
    const status = await deploymentStatus({ dir: args.dir, signal: this.signal });
    this.print(deployStatusText(status));
    if (!status.ok) this.exitsWith(6);
    return status;
  }
}
