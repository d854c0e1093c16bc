import { changeDevices, changeExit, type DevicesChanged } from '../api/change-devices.js';
import { withClient } from '../api/context.js';
import type { DeviceChange } from '../api/contract/devices.js';
import { plural } from '../core/figures.js';
import { shellWord } from '../core/text.js';
import { AiotCommand } from './command.js';
import { targetOf } from './flags/fleet.js';
import { again } from './invocation.js';
import { changedText } from './render/fleet.js';
import { next } from './render/text.js';

interface Asked {
  name: string | undefined;
  flags: {
    selector?: string | undefined;
    'dry-run': boolean;
    context?: string | undefined;
    /** Value of --yes; absent if the command asks no question. */
    yes?: boolean;
  };
  given: (flag: string) => boolean;
  /**
   * Describes the permanent loss to confirm, given `motor-1` or `3 devices`. If set, even a change to a single named device must be
   * confirmed.
   */
  loses?: (who: string) => string;
}

/** Base of the commands that change one or more devices. A command defines the change; this class applies and displays it. */
export abstract class DeviceChangeCommand extends AiotCommand {
  /** @param then the command to suggest once the change is done */
  protected async change(
    asked: Asked,
    change: DeviceChange,
    then: (result: DevicesChanged) => string,
  ): Promise<DevicesChanged> {
    const { flags } = asked;
    const target = targetOf(asked.name, flags.selector);
    const agree = async (planned: DevicesChanged) => {
      this.note(changedText(planned));
      const [only] = planned.devices;
      const who = planned.selector === null && only ? only.name : plural(planned.changed, 'device');
      return this.agreed(`${asked.loses?.(who) ?? `${change.action} ${who}`}?`, false);
    };
    const result = await withClient(flags.context, (client) =>
      changeDevices({
        ...{ client, target, change, dryRun: flags['dry-run'] },
        agree: flags.yes === false && (asked.loses || flags.selector !== undefined) ? agree : undefined,
        onProgress: (done, total) => this.progress().update({ text: 'devices', done, total }),
      }),
    );
    this.print(changedText(result));
    const exit = changeExit(result);
    if (exit !== undefined) this.exitsWith(exit);
    const words = this.argv.filter((word) => word !== '--dry-run').map(shellWord);
    const forReal = ['aiot', 'device', change.action, ...words].join(' ');
    this.suggest(next(result.dryRun ? forReal : `${then(result)}${again(asked, 'context')}`));
    return result;
  }
}
