import { Args, Flags } from '@oclif/core';
import * as z from 'zod';
import { contextFor, withClient } from '../api/context.js';
import { unless } from '../core/errors.js';
import { onboardedSchema } from '../device/onboard/onboard.js';
import { renewDevice } from '../device/onboard/renew.js';
import { suitableSource } from '../device/telemetry/sensor.js';
import { operatorKey } from '../provision/operator-key.js';
import { provisionedDeviceSchema } from '../provision/provision.js';
import { AiotCommand } from './command.js';
import { flashFlags, imageAsked, imageFlags, loaderOptions, ownPort } from './flags/boards.js';
import { shared } from './flags/shared.js';
import { again } from './invocation.js';
import { afterProvisioning, provisionedText, provisionWarnings } from './render/provisioned.js';
import { next } from './render/text.js';

/** Folder with the device's identity, if that is not on a board. */
export const identityFolder = Flags.string({
  char: 'o',
  summary: "Folder of the device's identity or images; its files are overwritten.",
  env: 'AIOT_OUT',
  helpValue: 'DIR',
});

export const renewFlags = { port: ownPort, ...flashFlags, ...imageFlags, context: shared.context };

type RenewInput = Parameters<typeof loaderOptions>[0] &
  Parameters<typeof imageAsked>[0] & {
    out?: string | undefined;
    port?: string | undefined;
    context?: string;
  };

/** Base of the two commands that issue a new certificate for a known device, in its folder or on its board. */
export abstract class RenewCommand extends AiotCommand {
  // To write its manifest, oclif looks for a static member in each class of the inheritance chain, and stops at the first class without it.
  // The member is therefore repeated here.
  static override baseFlags = AiotCommand.baseFlags;
  static override examples = [
    '<%= config.bin %> <%= command.id %> motor-1 --out ./motor-1',
    '<%= config.bin %> <%= command.id %> pump-7 --port /dev/ttyUSB0 --json',
  ];
  static override args = { name: Args.string({ required: true, description: 'Device name.' }) };
  static override result = z.union([onboardedSchema, provisionedDeviceSchema]);

  /** @param effect the effect on the device, for people */
  protected async renew(
    input: { flags: RenewInput; args: { name: string }; given: (flag: string) => boolean },
    how: Pick<Parameters<typeof renewDevice>[0], 'kind' | 'now' | 'mac'>,
    effect: string,
  ) {
    const { flags, args } = input;
    const { out, port } = flags;
    const context = await contextFor(flags.context);
    const privatePem = (await unless('AIOT_KEY_NOT_FOUND', operatorKey(context.name))) ?? null;
    const result = await withClient(context.name, (client) =>
      renewDevice({
        ...{ client, name: args.name, out, port, privatePem, ...how },
        chip: flags.chip === 'auto' ? undefined : flags.chip,
        loader: loaderOptions(flags, this.signal),
        image: imageAsked(flags),
        onStage: this.stages({ list: true }),
      }),
    );
    for (const warning of provisionWarnings(result)) this.caution(warning);
    this.print(provisionedText(result, effect));
    this.suggest(
      next(
        ...afterProvisioning(result, {
          ...{ folder: out, port, at: again(input, 'context') },
          source: await suitableSource(),
        }),
      ),
    );
    return result;
  }
}
