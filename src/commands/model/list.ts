import * as z from 'zod';
import { AiotCommand } from '../../lib/cli/command.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { again } from '../../lib/cli/invocation.js';
import { next, table } from '../../lib/cli/render/text.js';
import { minute } from '../../lib/cli/render/time.js';
import { figureText } from '../../lib/cli/render/versions.js';
import { size } from '../../lib/core/figures.js';
import { guideModelSchema, listGuideModels } from '../../lib/model/publish/guide.js';
import { listSchemas } from '../../lib/registry/api.js';
import { contextFor, withClient } from '../../lib/registry/context.js';

export default class ModelList extends AiotCommand {
  static override summary = 'List the models of the platform.';
  static override hiddenAliases = ['model'];
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> --json',
  ];
  static override flags = { context: shared.context };
  static override result = z.array(z.union([listSchemas.models.shape.models.element, guideModelSchema]));

  async run() {
    const input = await this.input(ModelList);
    const { flags } = input;
    const at = again(input, 'context');
    const context = await contextFor(flags.context);
    if (context.kind === 'architects-guide') {
      const files = await listGuideModels(context);
      this.print(
        table(
          ['name', 'url'],
          files.map(({ name, url }) => [name, url]),
          'No models yet.',
        ),
      );
      this.print(next(files.length > 0 ? `aiot model pull latest --out model${at}` : `aiot model push${at}`));
      return files;
    }
    const models = await withClient(flags.context, (client) => client.models.list());
    const rows = models.map(({ name, versions, latest, production }) => [
      name,
      versions,
      latest.version,
      latest.stage,
      production,
      figureText(latest),
      size(latest.bytes),
      minute(latest.pushed),
    ]);
    const head = ['name', 'versions', 'latest', 'stage', 'production', 'figure', 'size', 'pushed'];
    this.print(table(head, rows, 'No models yet.'));
    const first = models.find(({ latest }) => latest.kind === 'model');
    this.print(
      next(first ? `aiot model show ${first.name}@${first.latest.version}${at}` : `aiot model push${at}`),
    );
    return models;
  }
}
