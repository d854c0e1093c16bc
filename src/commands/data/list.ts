import { Args, Flags } from '@oclif/core';
import * as z from 'zod';
import { AiotCommand } from '../../lib/cli/command.js';
import { pageFlags, shared } from '../../lib/cli/flags/shared.js';
import { again } from '../../lib/cli/invocation.js';
import { recordingsTable } from '../../lib/cli/render/data.js';
import { storedTable } from '../../lib/cli/render/datasets.js';
import { facts, next } from '../../lib/cli/render/text.js';
import { loadProject } from '../../lib/core/project.js';
import { summarizeProject, summarySchema } from '../../lib/data/dataset/summary.js';
import { withClient } from '../../lib/registry/context.js';
import { datasetSchema } from '../../lib/registry/datasets/bodies.js';

export default class DataList extends AiotCommand {
  static override summary = 'List the recordings of a project, or of a stream on the platform.';
  static override hiddenAliases = ['data'];
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> --json',
    '<%= config.bin %> <%= command.id %> motion --device waist-1 --limit 20',
  ];
  static override args = {
    stream: Args.string({ description: 'Stream on the platform [default: the recordings of the project].' }),
  };
  static override flags = {
    project: shared.project,
    data: shared.data,
    device: Flags.string({
      summary: 'Of a stream: this device only.',
      env: 'AIOT_DEVICE',
      helpValue: 'NAME',
    }),
    label: Flags.string({ char: 'l', summary: 'Of a stream: this label only.', env: 'AIOT_LABEL' }),
    ...pageFlags,
    context: shared.context,
  };
  static override result = z.union([summarySchema, datasetSchema]);

  async run() {
    const input = await this.input(DataList);
    const { args, flags } = input;
    const at = again(input, 'project', 'data');
    if (args.stream !== undefined) return this.stored(args.stream, flags, again(input, 'context'));
    const summary = await summarizeProject(await loadProject(flags.project), flags.data);
    this.print(recordingsTable(summary.recordings));
    const labels = Object.entries(summary.labels).map(
      ([label, { recordings, seconds }]) =>
        `${label || 'unlabelled'} ${recordings} (${Math.round(seconds)} s)`,
    );
    this.print('');
    this.print(
      facts([
        ['Labels', labels.join(', ')],
        ['Fields', `${summary.fields.join(', ')} at ${summary.rateHz} Hz`],
        ['Digest', summary.digest],
      ]),
    );
    this.print(next(`aiot data check${at}`, `aiot model train${at}`));
    return summary;
  }

  private async stored(
    stream: string,
    flags: { device?: string; label?: string; limit: number; after?: string; context?: string },
    of: string,
  ) {
    const { context, device, label, limit, after } = flags;
    const query = {
      limit,
      ...(device ? { device } : {}),
      ...(label ? { label } : {}),
      ...(after ? { after } : {}),
    };
    const page = await withClient(context, (client) => client.datasets.recordings(stream, query));
    this.print(storedTable(page.recordings));
    const [first] = page.recordings;
    const more = page.next === null ? [] : [`aiot data list ${stream} --after ${page.next}${of}`];
    const show = first ? [`aiot data show ${stream}/${first.device}/${first.id}${of}`] : [];
    this.print(next(...more, ...show, `aiot data export ${stream} --out ${stream}.csv${of}`));
    return page;
  }
}
