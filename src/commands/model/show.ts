import { Args } from '@oclif/core';
import { AiotCommand, bold, facts, moment, next, percent, shared, size } from '../../lib/cli/index.js';
import { modelVersionSchema, parseModelReference, withClient } from '../../lib/registry/index.js';

export default class ModelShow extends AiotCommand {
  static override summary = 'Show one version of a model: figures and lineage.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> har@3',
    '<%= config.bin %> <%= command.id %> har@3 --json',
  ];
  static override args = { model: Args.string({ required: true, description: 'NAME@VERSION' }) };
  static override flags = { context: shared.context };
  static override result = modelVersionSchema;

  async run() {
    const { args, flags } = await this.input(ModelShow);
    const { name, version } = parseModelReference(args.model);
    const card = await withClient(flags.context, ({ models }) => models.get(name, version));
    const { float, int8, voted } = card.metrics;
    const { dataset } = card.lineage;
    this.print(bold(`${name}@${version}`));
    this.print(
      facts([
        ['digest', card.digest],
        ['sequence', card.sequence],
        ['size', size(card.bytes)],
        ['arena', size(card.arenaBytes)],
        ['classes', card.classes.join(', ')],
        [
          'macro-F1',
          `float ${percent(float.macroF1)}, int8 ${percent(int8.macroF1)}, voted ${percent(voted.macroF1)}`,
        ],
        ['dataset', `${dataset.name}: ${dataset.recordings} recordings, ${dataset.digest}`],
        ['pushed', moment(card.pushed)],
      ]),
    );
    this.print(next(`aiot model deploy ${name}@${version} --to all`));
    return card;
  }
}
