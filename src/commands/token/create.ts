import { Args, Flags } from '@oclif/core';
import { withClient } from '../../lib/api/context.js';
import { tokenLifetimeMs } from '../../lib/api/contract/access.js';
import { savedTokenSchema, savingToken } from '../../lib/api/token-file.js';
import { AiotCommand } from '../../lib/cli/command.js';
import { reachFlag, roleFlag, scopeFlag, tokenFile } from '../../lib/cli/flags/platform.js';
import { duration, shared } from '../../lib/cli/flags/shared.js';
import { again } from '../../lib/cli/invocation.js';
import { madeTokenText } from '../../lib/cli/render/platform.js';
import { next } from '../../lib/cli/render/text.js';
import { shellWord } from '../../lib/core/text.js';

export default class TokenCreate extends AiotCommand {
  static override summary = 'Create a token; it is shown only once.';
  static override description =
    'A token never has more permissions than the token that creates it, or than its user. Scopes and a selector limit it further. A scope has the form RESOURCE:ACTION. For devices, rollouts, jobs, pipelines, data, webhooks, users and platform, the action is read or write. For models, firmware and configs, it is read, push or write. pipelines:run starts and cancels runs on pipeline runners; pipelines:write does not include it. Other scopes are events:read, ddi:gateway (the GatewayToken of update clients), broker:authorize (authorization requests from external brokers) and stream:FILTER (MQTT topics).';
  static override examples = [
    '<%= config.bin %> <%= command.id %> laptop --role operator --user alice --expires 30d',
    '<%= config.bin %> <%= command.id %> builds --role ci --scope models:push --expires 90d --json',
    '<%= config.bin %> <%= command.id %> pipeline --user builds --role ci --out ci-token.txt',
    '<%= config.bin %> <%= command.id %> yocto --role ci --scope ddi:gateway',
    '<%= config.bin %> <%= command.id %> emqx --role operator --scope broker:authorize',
    '<%= config.bin %> <%= command.id %> wallboard --role viewer --scope "stream:lab/#"',
    '<%= config.bin %> <%= command.id %> hall-3 --role operator --selector site=hall-3',
  ];
  static override args = {
    name: Args.string({ required: true, description: "Name that describes the token's use." }),
  };
  static override flags = {
    user: Flags.string({
      summary: 'User that the token belongs to [default: you].',
      env: 'AIOT_USER',
      helpValue: 'NAME',
    }),
    role: roleFlag({ required: true }),
    scope: scopeFlag({ multiple: true }),
    selector: reachFlag(),
    expires: duration({
      summary: 'Validity period of the token.',
      env: 'AIOT_EXPIRES',
      ...tokenLifetimeMs,
      default: 90 * 24 * 3600_000,
    }),
    out: tokenFile(),
    context: shared.context,
  };
  static override result = savedTokenSchema;

  async run() {
    const input = await this.input(TokenCreate);
    const { user, role, scope, selector, expires, out, context } = input.flags;
    const request = {
      name: input.args.name,
      ...(user === undefined ? {} : { owner: user }),
      role,
      ...(scope === undefined ? {} : { scopes: scope }),
      ...(selector === undefined ? {} : { selector }),
      validMs: expires,
    };
    const made = await savingToken(out, () => withClient(context, (client) => client.tokens.create(request)));
    this.print(madeTokenText(made));
    if (made.unsaved !== undefined) this.exitsWith(1);
    this.suggest(
      next(
        `aiot context add NAME --url URL --ca FILE --token-file ${made.file === undefined ? '-' : shellWord(made.file)}`,
        `aiot token revoke ${made.id}${again(input, 'context')}`,
      ),
    );
    return made;
  }
}
