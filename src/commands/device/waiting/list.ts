import { Flags } from '@oclif/core';
import { enrollmentListSchema } from '../../../lib/api/contract/batches.js';
import { selectorTexts } from '../../../lib/cli/flags/fleet.js';
import { pageFlags, shared } from '../../../lib/cli/flags/shared.js';
import { PlatformCommand } from '../../../lib/cli/platform-command.js';
import { enrollmentsText } from '../../../lib/cli/render/batches.js';

export default class DeviceWaitingList extends PlatformCommand {
  static override summary = 'List devices of batches that wait for approval.';
  static override description =
    'A waiting device has no access. The list shows whether the batch expects its serial number, and contradictions, such as another key that asked for the same serial number.';
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> --batch july --all',
    '<%= config.bin %> <%= command.id %> --selector site=lab --json',
  ];
  static override flags = {
    batch: Flags.string({ summary: 'Only devices of this batch.', env: 'AIOT_BATCH', helpValue: 'NAME' }),
    selector: Flags.string({ ...selectorTexts, summary: 'Only matching devices.' }),
    all: Flags.boolean({ summary: 'Also approved and rejected devices.', env: 'AIOT_ALL' }),
    ...pageFlags,
    context: shared.context,
  };
  static override result = enrollmentListSchema;

  async run() {
    const input = await this.input(DeviceWaitingList);
    const { batch, selector, all, limit, after } = input.flags;
    const state = all ? undefined : ('waiting' as const);
    return this.ask(
      input,
      ({ enrollments }) => enrollments.list({ batch, selector, state, limit, after }),
      (page) => enrollmentsText(page),
      ({ enrollments }) => {
        const waits = enrollments.find((each) => each.state === 'waiting');
        return waits ? [`aiot device approve ${waits.name}`] : ['aiot device batch list'];
      },
    );
  }
}
