import { AiotCommand } from '../../lib/cli/command.js';
import { deployFolder } from '../../lib/cli/flags/projects.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { deployCases, junitReport } from '../../lib/cli/junit.js';
import { checkedDeploymentText } from '../../lib/cli/render/deploy.js';
import { next } from '../../lib/cli/render/text.js';
import { checkDeployment, checkedDeploymentSchema } from '../../lib/deploy/check/check.js';

export default class DeployCheck extends AiotCommand {
  static override summary =
    'Find what would go wrong before the cluster does: ports, secrets, versions, references, probes, limits.';
  static override description =
    'Looks at files alone, rendered or written by hand, for Kubernetes, Compose and cloud-init. Exit code 6 when there is an error; a warning is none.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> k3s',
    '<%= config.bin %> <%= command.id %> ./manifests --json',
  ];
  static override args = { dir: deployFolder };
  static override flags = { junit: shared.junit };
  static override result = checkedDeploymentSchema;

  async run() {
    const { args, flags } = await this.input(DeployCheck);
    const junit = await junitReport(flags.junit, 'deploy check');
    const checked = await checkDeployment(args.dir);
    await junit(deployCases(checked));
    this.print(checkedDeploymentText(checked));
    if (checked.ok) this.print(next('aiot deploy apply --dry-run'));
    else this.exitsWith(6);
    return checked;
  }
}
