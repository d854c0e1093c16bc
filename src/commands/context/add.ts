import { resolve } from 'node:path';
import { Args, Flags } from '@oclif/core';
import { AiotCommand, bold, next, readSecret } from '../../lib/cli/index.js';
import { addContext, checkContext, shownContextSchema } from '../../lib/core/index.js';

export default class ContextAdd extends AiotCommand {
  static override summary = 'Tell this machine about a platform.';
  static override description =
    `The token is read from a file, from stdin (--token-file -) or from AIOT_TOKEN, and is kept in the config folder, readable by you alone. The first context is the one in use.`;
  static override examples = [
    '<%= config.bin %> <%= command.id %> lab --url https://lab.example:8443 --ca ca.pem --token-file token.txt',
    'printenv LAB_TOKEN | <%= config.bin %> <%= command.id %> lab --url https://lab.example:8443 --token-file - --use',
  ];
  static override args = {
    name: Args.string({ required: true, description: 'Name to call it by.' }),
  };
  static override flags = {
    url: Flags.string({ summary: 'https URL of its API.', required: true, env: 'AIOT_URL' }),
    mqtt: Flags.string({ summary: 'mqtts URL of its broker.', env: 'AIOT_MQTT' }),
    ca: Flags.string({
      summary: 'PEM file of the CA that signed its certificate.',
      env: 'AIOT_CA',
      helpValue: 'FILE',
    }),
    'token-file': Flags.string({
      summary: 'File with the operator token; - reads stdin.',
      env: 'AIOT_TOKEN_FILE',
      helpValue: 'FILE',
    }),
    use: Flags.boolean({ summary: 'Use it from now on.', env: 'AIOT_USE' }),
    replace: Flags.boolean({ summary: 'Overwrite a context of the same name.', env: 'AIOT_REPLACE' }),
  };
  static override result = shownContextSchema;

  async run() {
    const { args, flags } = await this.input(ContextAdd);
    const token = await readSecret(flags['token-file'], 'AIOT_TOKEN');
    const { url, mqtt, ca, use, replace } = flags;
    const context = await checkContext({ url, mqtt, ca: ca && resolve(ca), token });
    const added = await addContext(args.name, context, { use, replace });
    this.print(`${bold(added.name)} is ${added.url}${added.current ? ', and in use' : ''}.`);
    this.print(next(added.current ? 'aiot doctor' : `aiot context use ${added.name}`));
    return added;
  }
}
