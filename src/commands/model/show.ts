import { Args } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { again } from '../../lib/cli/invocation.js';
import { bold } from '../../lib/cli/render/style.js';
import { facts, next } from '../../lib/cli/render/text.js';
import { moment } from '../../lib/cli/render/time.js';
import { answerText, datasetText, figuresText, historyTable } from '../../lib/cli/render/versions.js';
import { plural, size } from '../../lib/core/figures.js';
import { withClient } from '../../lib/registry/context.js';
import { resolveModel } from '../../lib/registry/reference.js';
import { showModel, shownModelSchema } from '../../lib/registry/show.js';

export default class ModelShow extends AiotCommand {
  static override summary = 'Show one version of a model: figures, lineage, and how it does on devices.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> har@3',
    '<%= config.bin %> <%= command.id %> har@3 --json',
  ];
  static override args = {
    model: Args.string({
      required: true,
      description: 'NAME@VERSION, NAME@latest, NAME@production, or NAME.',
    }),
  };
  static override flags = { context: shared.context };
  static override result = shownModelSchema;

  async run() {
    const input = await this.input(ModelShow);
    const { args, flags } = input;
    const at = again(input, 'context');
    const card = await withClient(flags.context, async (client) =>
      showModel(client, await resolveModel(client, args.model)),
    );
    const { name, version, live } = card;
    this.print(bold(`${name}@${version}`));
    this.print(
      facts([
        ['digest', card.digest],
        ['sequence', card.sequence],
        ['size', size(card.bytes)],
        ['stage', card.stage],
        ['arena', card.arenaBytes === null ? 'unknown' : size(card.arenaBytes)],
        ['answer', answerText(card)],
        ['held-out', figuresText(card)],
        ['dataset', datasetText(card)],
        [
          'live',
          live.windows === 0
            ? `no labelled window yet, ${live.unlabelled} without a label`
            : `macro-F1 ${live.macroF1.toFixed(3)} over ${plural(live.windows, 'window')}, p99 ${live.latencyMs.p99} ms`,
        ],
        ['pushed', moment(card.pushed)],
      ]),
    );
    this.print(`\n${historyTable(card.history)}`);
    this.print(
      next(`aiot model deploy ${name}@${version} --to all${at}`, `aiot model why ${name}@${version}${at}`),
    );
    return card;
  }
}
