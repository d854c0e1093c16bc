import { Args } from '@oclif/core';
import { AiotCommand, again, bold, facts, moment, next, plural, shared, size } from '../../lib/cli/index.js';
import { parseModelReference, showModel, shownModelSchema, withClient } from '../../lib/registry/index.js';

export default class ModelShow extends AiotCommand {
  static override summary = 'Show one version of a model: figures, lineage, and how it does on devices.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> har@3',
    '<%= config.bin %> <%= command.id %> har@3 --json',
  ];
  static override args = { model: Args.string({ required: true, description: 'NAME@VERSION' }) };
  static override flags = { context: shared.context };
  static override result = shownModelSchema;

  async run() {
    const input = await this.input(ModelShow);
    const { args, flags } = input;
    const at = again(input, 'context');
    const model = parseModelReference(args.model);
    const card = await withClient(flags.context, (client) => showModel(client, model));
    const { name, version, live } = card;
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
        ['macro-F1', `float ${score(float)}, int8 ${score(int8)}, voted ${score(voted)}`],
        ['dataset', `${dataset.name}: ${plural(dataset.recordings, 'recording')}, ${dataset.digest}`],
        [
          'live',
          live.windows === 0
            ? `no labelled window yet, ${live.unlabelled} without a label`
            : `macro-F1 ${score(live)} over ${plural(live.windows, 'window')}, p99 ${live.latencyMs.p99} ms`,
        ],
        ['pushed', moment(card.pushed)],
      ]),
    );
    this.print(next(`aiot model deploy ${name}@${version} --to all${at}`));
    return card;
  }
}

/** Macro-F1 is no share of anything: it is written as a number. */
const score = ({ macroF1 }: { macroF1: number }) => macroF1.toFixed(3);
