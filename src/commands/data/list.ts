import { Args, Flags } from '@oclif/core';
import * as z from 'zod';
import { datasetSchema } from '../../lib/api/contract/data.js';
import { selectorTexts } from '../../lib/cli/flags/fleet.js';
import { pageFlags, shared } from '../../lib/cli/flags/shared.js';
import { again } from '../../lib/cli/invocation.js';
import { PlatformCommand, type PlatformInput } from '../../lib/cli/platform-command.js';
import { summaryText } from '../../lib/cli/render/data.js';
import { storedTable } from '../../lib/cli/render/datasets.js';
import { next } from '../../lib/cli/render/text.js';
import { loadProject } from '../../lib/core/project.js';
import { summarizeProject, summarySchema } from '../../lib/data/dataset/summary.js';

export default class DataList extends PlatformCommand {
  static override summary = 'List the recordings of a project or a platform stream.';
  static override description =
    '--selector, --label, --limit and --after apply only to a stream on the platform.';
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> --json',
    '<%= config.bin %> <%= command.id %> motion --selector waist-1 --limit 20',
  ];
  static override args = {
    stream: Args.string({ description: "Stream on the platform [default: the project's recordings]." }),
  };
  static override flags = {
    project: shared.project,
    data: shared.data,
    selector: Flags.string({
      ...selectorTexts,
      summary: 'For a stream: only these devices: a name, a list or an expression.',
    }),
    label: Flags.string({ char: 'l', summary: 'For a stream: only this label.', env: 'AIOT_LABEL' }),
    ...pageFlags,
    context: shared.context,
  };
  static override result = z.union([summarySchema, datasetSchema]);

  async run() {
    const input = await this.input(DataList);
    const { args, flags } = input;
    const at = again(input, 'project', 'data');
    if (args.stream !== undefined) return this.stored(input, args.stream);
    const summary = await summarizeProject(await loadProject(flags.project), flags.data);
    this.print(summaryText(summary));
    this.suggest(next(`aiot data check${at}`, `aiot model train${at}`));
    return summary;
  }

  private stored(
    input: PlatformInput & { flags: { selector?: string; label?: string; limit: number; after?: string } },
    stream: string,
  ) {
    const { selector, label, limit, after } = input.flags;
    const query = {
      limit,
      ...(selector ? { selector } : {}),
      ...(label ? { label } : {}),
      ...(after ? { after } : {}),
    };
    return this.ask(
      input,
      ({ datasets }) => datasets.recordings(stream, query),
      ({ recordings }) => storedTable(recordings),
      ({ recordings: [first], next: following }) => [
        ...(following === null ? [] : [`aiot data list ${stream} --after ${following}`]),
        ...(first ? [`aiot data show ${stream}/${first.device}/${first.id}`] : []),
        `aiot data export ${stream} --out ${stream}.csv`,
      ],
    );
  }
}
