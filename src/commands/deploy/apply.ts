import { AiotCommand } from '../../lib/cli/command.js';
import { deployFolder } from '../../lib/cli/flags/projects.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { appliedText } from '../../lib/cli/render/deploy.js';
import { next } from '../../lib/cli/render/text.js';
import { appliedSchema, applyDeployment } from '../../lib/deploy/apply.js';

export default class DeployApply extends AiotCommand {
  static override summary = 'Apply rendered deployment files.';
  static override description =
    'Uses kubectl, docker compose or systemctl. Shows the commands, and asks for confirmation before running them. The folder is checked first: an error, or a missing secret, stops the command. The target is the current cluster or Docker context.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> k3s --dry-run',
    '<%= config.bin %> <%= command.id %> compose --yes',
  ];
  static override args = { dir: deployFolder };
  static override flags = {
    'dry-run': shared['dry-run'],
    yes: shared.yes,
  };
  static override result = appliedSchema;

  async run() {
    const { args, flags } = await this.input(DeployApply);
    const stage = this.stages({ list: true });
    const applied = await applyDeployment({
      dir: args.dir,
      dryRun: flags['dry-run'] ?? false,
      confirmed: async (planned) => {
        this.note(appliedText(planned));
        return this.agreed('Run these commands?', flags.yes);
      },
      signal: this.signal,
      onStep: (text) => stage({ text }),
      onLine: (line) => this.note(line),
    });
    this.print(appliedText(applied));
    if (applied.applied) this.suggest(next('aiot deploy status'));
    return applied;
  }
}
