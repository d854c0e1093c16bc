import { Args, Flags } from '@oclif/core';
import type { RegistryClient } from '../../lib/api/client.js';
import { withClient } from '../../lib/api/context.js';
import { AiotCommand } from '../../lib/cli/command.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { again } from '../../lib/cli/invocation.js';
import { suggestionsText } from '../../lib/cli/render/data.js';
import { next } from '../../lib/cli/render/text.js';
import { loadProject, type Project } from '../../lib/core/project.js';
import { shellWord } from '../../lib/core/text.js';
import { openDataset } from '../../lib/data/dataset/open.js';
import { streamRecordings } from '../../lib/data/dataset/pull.js';
import { type Candidate, suggestionsSchema, suggestRecordings } from '../../lib/model/suggest.js';

export default class DataSuggest extends AiotCommand {
  static override summary = 'Suggest which recordings are most worth labeling.';
  static override description =
    "Ranks unlabeled recordings. Recordings rank highest if the project's trained model is uncertain about them, or if they resemble none of its training recordings. Recordings that resemble a higher-ranked one come last. Without STREAM, ranks the project's own recordings, or those in --data.";
  static override examples = [
    '<%= config.bin %> <%= command.id %> motion',
    '<%= config.bin %> <%= command.id %> --data new-recordings --limit 5 --json',
  ];
  static override args = {
    stream: Args.string({ description: "Stream on the platform [default: the project's recordings]." }),
  };
  static override flags = {
    project: shared.project,
    data: Flags.string({
      summary: 'Folder with the recordings to rank.',
      env: 'AIOT_DATA',
      helpValue: 'DIR',
    }),
    limit: Flags.integer({
      min: 1,
      max: 1000,
      default: 10,
      summary: 'Maximum number of recordings to suggest.',
      env: 'AIOT_LIMIT',
      helpValue: 'N',
    }),
    context: shared.context,
  };
  static override result = suggestionsSchema;

  async run() {
    const input = await this.input(DataSuggest);
    const { args, flags } = input;
    const project = await loadProject(flags.project);
    const suggest = (candidates?: AsyncIterable<Candidate> | Candidate[]) =>
      suggestRecordings({
        project,
        candidates,
        ...{ stream: args.stream, limit: flags.limit, signal: this.signal },
      });
    const suggestions =
      args.stream !== undefined
        ? await withClient(flags.context, (client) => suggest(storedIn(client, args.stream!, project)))
        : await suggest(
            flags.data === undefined ? undefined : (await openDataset(project, flags.data)).recordings,
          );
    this.print(suggestionsText(suggestions));
    const [best] = suggestions.recordings;
    if (best)
      this.print(
        args.stream === undefined
          ? next(`aiot data show ${shellWord(best.id)}${again(input, 'project', 'data')}`)
          : next(
              `aiot data show ${best.id}${again(input, 'context')}`,
              `aiot data label ${best.id} LABEL${again(input, 'context')}`,
            ),
      );
    return suggestions;
  }
}

function storedIn(client: RegistryClient, stream: string, { config }: Project): AsyncIterable<Candidate> {
  const labels = new Set(Object.values(config.model.labels).flat());
  return streamRecordings(
    client,
    stream,
    Object.keys(config.stream.fields),
    ({ label, parts }) => parts.length === 0 && (label === null || !labels.has(label)),
  );
}
