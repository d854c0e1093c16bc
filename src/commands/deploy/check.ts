import { AiotCommand } from '../../lib/cli/command.js';
import { deployFolder } from '../../lib/cli/flags/projects.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { deployCases, junitReport } from '../../lib/cli/junit.js';
import { checkedDeploymentText } from '../../lib/cli/render/deploy.js';
import { next } from '../../lib/cli/render/text.js';
import { checkDeployment, checkedDeploymentSchema } from '../../lib/deploy/check/check.js';

export default class DeployCheck extends AiotCommand {
  static override summary = 'Check deployment files for errors.';
  static override description =
    'Checks ports, secrets, versions, references, probes and limits in Kubernetes, Compose and cloud-init files, rendered or handwritten. It contacts no cluster. Exits with 6 on an error; warnings do not count.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> k3s',
    '<%= config.bin %> <%= command.id %> ./manifests --json',
  ];
  static override args = {
    dir: { ...deployFolder, description: 'Folder of deployment files, rendered or handwritten.' },
  };
  static override flags = { junit: shared.junit };
  static override result = checkedDeploymentSchema;

  async run() {
    const { args, flags } = await this.input(DeployCheck);
    const junit = await junitReport(flags.junit, 'deploy check');
    const checked = await checkDeployment(args.dir);
    await junit(deployCases(checked));
    this.print(checkedDeploymentText(checked));
    if (checked.ok) this.suggest(next('aiot deploy apply --dry-run'));
    else this.exitsWith(6);
    return checked;
  }
}
