import { Args, Flags } from '@oclif/core';
import { AiotCommand, bold, facts, next, shared, shellWord } from '../../lib/cli/index.js';
import { pullModel, pullResultSchema, readTrust } from '../../lib/model/index.js';
import { resolveModel, withClient } from '../../lib/registry/index.js';

export default class ModelPull extends AiotCommand {
  static override summary = 'Get a version, verify every byte of it, and put its files into a folder.';
  static override description =
    'The folder then holds the signed bundle NAME-VERSION.aiot and the files in it, the .tflite among them: all of them, or nothing.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> har@3 --out har-3',
    '<%= config.bin %> <%= command.id %> har@production --out har --trust trust.json --json',
  ];
  static override args = {
    model: Args.string({
      required: true,
      description: 'NAME@VERSION, NAME@latest, NAME@production, or NAME.',
    }),
  };
  static override flags = {
    out: Flags.string({
      char: 'o',
      summary: 'Folder to fill; made when missing.',
      required: true,
      env: 'AIOT_OUT',
      helpValue: 'DIR',
    }),
    trust: shared.trust,
    context: shared.context,
  };
  static override result = pullResultSchema;

  async run() {
    const { args, flags } = await this.input(ModelPull);
    const trust = await readTrust(flags);
    const result = await withClient(flags.context, async (client) =>
      pullModel({ client, model: await resolveModel(client, args.model), out: flags.out, trust }),
    );
    const { name, version, digest, out, files, unchanged } = result;
    this.print(`${bold(`${name}@${version}`)} is in ${out}${unchanged ? ', as it was already' : ''}.`);
    this.print(
      facts([
        ['digest', digest],
        ['files', files.join(', ')],
      ]),
    );
    const file = shellWord(`${out}/${files[0]}`);
    this.print(next(`aiot model verify ${file}`, `aiot model inspect ${shellWord(`${out}/model.tflite`)}`));
    return result;
  }
}
