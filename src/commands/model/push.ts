import { Flags } from '@oclif/core';
import { AiotCommand, again, facts, next, shared, size } from '../../lib/cli/index.js';
import { loadProject } from '../../lib/core/index.js';
import { defaultDeviceTypes, pushModel, pushResultSchema } from '../../lib/model/index.js';
import { operatorKey } from '../../lib/provision/index.js';
import { contextFor, withClient } from '../../lib/registry/index.js';

export default class ModelPush extends AiotCommand {
  static override summary = 'Bundle the evaluated model, sign it, and push it as a new version.';
  static override description =
    'Refused when the model is below a limit of model.accept, or was not evaluated as it is now. The signing key stays on this machine.';
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> --project motor-watch --json',
  ];
  static override flags = {
    project: shared.project,
    data: shared.data,
    name: Flags.string({
      summary: "Name in the registry, instead of the project's.",
      env: 'AIOT_NAME',
      helpValue: 'NAME',
    }),
    types: Flags.string({
      summary: 'Types of device that it is released for, with commas.',
      env: 'AIOT_TYPES',
      helpValue: 'TYPE,…',
      default: defaultDeviceTypes.join(','),
    }),
    context: shared.context,
  };
  static override result = pushResultSchema;

  async run() {
    const input = await this.input(ModelPush);
    const { flags } = input;
    const at = again(input, 'context');
    const project = await loadProject(flags.project);
    const context = await contextFor(flags.context);
    const privatePem = await operatorKey(context.name);
    const { data, name } = flags;
    const deviceTypes = flags.types.split(',').map((type) => type.trim());
    const result = await withClient(context.name, (client) =>
      pushModel({ project, client, privatePem, data, name, deviceTypes }),
    );
    const same = result.sameAs === null ? '' : ` (same contents as ${result.name}@${result.sameAs})`;
    this.print(
      facts([
        ['Pushed', `${result.name}@${result.version} to ${context.url}`],
        ['Bundle', `${size(result.bytes)}, ${result.digest}${same}`],
        ['Signed', `manifest ${result.sequence}`],
      ]),
    );
    this.print(
      next(`aiot model deploy ${result.name}@${result.version} --to all${at}`, `aiot model list${at}`),
    );
    return result;
  }
}
