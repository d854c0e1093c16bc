import { Args, Flags } from '@oclif/core';
import { withClient } from '../../lib/api/context.js';
import { AiotCommand } from '../../lib/cli/command.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { again } from '../../lib/cli/invocation.js';
import { suggestionsText } from '../../lib/cli/render/data.js';
import { next } from '../../lib/cli/render/text.js';
import { AiotError } from '../../lib/core/errors.js';
import { loadProject, type Project } from '../../lib/core/project.js';
import { shellWord } from '../../lib/core/text.js';
import { openDataset } from '../../lib/data/dataset/open.js';
import { suggestInStream, suggestionsSchema, suggestRecordings } from '../../lib/model/suggest.js';

export default class DataSuggest extends AiotCommand {
  static override summary = 'Suggest which recordings are most worth labeling.';
  static override description =
    "Ranks unlabeled recordings. Recordings rank highest if the project's trained model is uncertain about them, or if they resemble none of its training recordings. Recordings that resemble a higher-ranked one come last. Without STREAM, ranks the project's own recordings, or those in --data. With --publish, the dashboard shows the ranking on the stream's page, where you can label the recordings.";
  static override examples = [
    '<%= config.bin %> <%= command.id %> motion',
    '<%= config.bin %> <%= command.id %> motion --publish --limit 50',
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
    publish: Flags.boolean({
      summary: 'Show the ranking in the dashboard, in place of the previous one.',
      env: 'AIOT_PUBLISH',
    }),
    context: shared.context,
  };
  static override result = suggestionsSchema;

  async run() {
    const input = await this.input(DataSuggest);
    const { args, flags } = input;
    const { stream } = args;
    if (flags.publish && stream === undefined) throw streamNeeded();
    const project = await loadProject(flags.project);
    const options = { project, limit: flags.limit, signal: this.signal };
    const suggestions =
      stream === undefined
        ? await suggestRecordings({ ...options, ...(await candidatesIn(project, flags.data)) })
        : await withClient(flags.context, (client) =>
            suggestInStream({ ...options, client, stream, publish: flags.publish }),
          );
    this.print(suggestionsText(suggestions));
    const [best] = suggestions.recordings;
    if (best === undefined) return suggestions;
    const context = again(input, 'context');
    if (stream === undefined)
      this.suggest(next(`aiot data show ${shellWord(best.id)}${again(input, 'project', 'data')}`));
    else if (flags.publish) this.suggest(next(`aiot dashboard${context}`));
    else
      this.suggest(next(`aiot data show ${best.id}${context}`, `aiot data label ${best.id} LABEL${context}`));
    return suggestions;
  }
}

async function candidatesIn(project: Project, folder: string | undefined) {
  return folder === undefined ? {} : { candidates: (await openDataset(project, folder)).recordings };
}

function streamNeeded(): AiotError {
  const problem = '--publish needs a stream, because the dashboard shows only recordings on the platform';
  return new AiotError('AIOT_USAGE', problem, {
    next: 'Name a stream: `aiot data suggest STREAM --publish`.',
  });
}
