import * as z from 'zod';
import { listSchemas } from '../../lib/api/api.js';
import { contextFor } from '../../lib/api/context.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { again } from '../../lib/cli/invocation.js';
import { PlatformCommand } from '../../lib/cli/platform-command.js';
import { next, table } from '../../lib/cli/render/text.js';
import { modelsTable } from '../../lib/cli/render/versions.js';
import { guideModelSchema, listGuideModels } from '../../lib/model/publish/guide.js';

export default class ModelList extends PlatformCommand {
  static override summary = 'List the models on the platform.';
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> --json',
  ];
  static override flags = { context: shared.context };
  static override result = z.array(z.union([listSchemas.models.shape.models.element, guideModelSchema]));

  async run() {
    const input = await this.input(ModelList);
    const context = await contextFor(input.flags.context);
    if (context.kind === 'architects-guide') {
      const files = await listGuideModels(context);
      this.print(
        table(
          ['name', 'url'],
          files.map(({ name, url }) => [name, url]),
          'No models yet.',
        ),
      );
      const at = again(input, 'context');
      this.suggest(
        next(files.length > 0 ? `aiot model pull latest --out model${at}` : `aiot model push${at}`),
      );
      return files;
    }
    return this.ask(
      input,
      (client) => client.models.list(),
      modelsTable,
      (models) => {
        const first = models.find(({ latest }) => latest.kind === 'model');
        return [first ? `aiot model show ${first.name}@${first.latest.version}` : 'aiot model push'];
      },
    );
  }
}
