import { withClient } from '../../../lib/api/context.js';
import { AiotCommand } from '../../../lib/cli/command.js';
import { shared } from '../../../lib/cli/flags/shared.js';
import { again } from '../../../lib/cli/invocation.js';
import { next } from '../../../lib/cli/render/text.js';
import { publishedRunsText } from '../../../lib/cli/render/training-runs.js';
import { publishedRunsSchema, publishRuns } from '../../../lib/model/publish/runs.js';

export default class ModelRunsPush extends AiotCommand {
  static override summary = 'Publish the training runs for the dashboard.';
  static override description =
    'Sends the records of all runs that have ended: settings, data digest, seed, metrics and environment, but no files. `model push` does this too. The platform stores the newest 1,000 runs of each model.';
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> --project motor-watch --context lab --json',
  ];
  static override flags = { project: shared.project, context: shared.context };
  static override result = publishedRunsSchema;

  async run() {
    const input = await this.input(ModelRunsPush);
    const { project, context } = input.flags;
    const result = await withClient(context, (client) => publishRuns(client, project));
    this.print(publishedRunsText(result));
    this.suggest(
      result.models.length > 0
        ? next(`aiot dashboard${again(input, 'context')}`)
        : next(`aiot model train${again(input, 'project')}`),
    );
    return result;
  }
}
