import { Flags } from '@oclif/core';
import { alarmSchema, longestAlarmMs, severities } from '../../lib/api/contract/alarms.js';
import { alarmCautions, conditionFlags, maintenance } from '../../lib/cli/flags/alarms.js';
import { selectorTexts } from '../../lib/cli/flags/fleet.js';
import { duration, shared } from '../../lib/cli/flags/shared.js';
import { PlatformCommand } from '../../lib/cli/platform-command.js';
import { alarmText } from '../../lib/cli/render/alarms.js';

export default class AlarmCreate extends PlatformCommand {
  static override summary = 'Create an alarm on telemetry.';
  static override description =
    "An alarm raises one incident for each device on which its condition holds, and records the events alarm.raise and alarm.clear. To notify people, use aiot alarm target add. The condition is an expression as in routes (--where), or the absence of telemetry (--absent). With --rate, the expression uses a field's change and rate (per second). With --class, it uses share, count and total: the share and number of the class's predictions, and the number of all predictions. With --offline-devices, it uses share, offline and total: the share and number of offline devices, and the number of selected devices. With --unwell, it uses the state, causes and message of devices that need attention (aiot status --attention).";
  static override examples = [
    "<%= config.bin %> <%= command.id %> --name hot --where 'temperature > 80' --for 10s --stream motors",
    "<%= config.bin %> <%= command.id %> --name hot --where 'temperature > 80' --clear 'temperature < 75' --severity critical",
    "<%= config.bin %> <%= command.id %> --name hot --where 'temperature > 85' --stream motors --replace",
    "<%= config.bin %> <%= command.id %> --name warming --rate temperature --within 1m --where 'change > 5' --stream motors",
    "<%= config.bin %> <%= command.id %> --name shaky --class shaking --within 10m --where 'share > 0.2 and total >= 50'",
    "<%= config.bin %> <%= command.id %> --name outage --offline-devices --selector type=esp32 --where 'share > 0.05' --for 2m",
    "<%= config.bin %> <%= command.id %> --name battery --unwell --where '\"battery-low\" in causes' --todo 'Order a battery.'",
    "<%= config.bin %> <%= command.id %> --name mute --absent 10m --stream motors --selector 'site=lab' --json",
  ];
  static override flags = {
    name: Flags.string({
      summary: 'Name of the alarm.',
      required: true,
      env: 'AIOT_NAME',
      helpValue: 'NAME',
    }),
    ...conditionFlags,
    for: duration({
      summary: 'How long the condition must hold.',
      env: 'AIOT_FOR',
      default: 0,
      max: longestAlarmMs,
    }),
    clear: Flags.string({
      summary: 'Condition that ends an incident [default: --where does not hold].',
      env: 'AIOT_CLEAR',
      helpValue: 'EXPRESSION',
    }),
    'clear-for': duration({
      summary: 'How long the --clear condition must hold.',
      env: 'AIOT_CLEAR_FOR',
      default: 0,
      max: longestAlarmMs,
    }),
    stream: Flags.string({
      summary: 'Stream of the telemetry [default: every stream].',
      env: 'AIOT_STREAM',
      helpValue: 'STREAM',
    }),
    selector: Flags.string({ ...selectorTexts, default: 'all' }),
    severity: Flags.option({
      summary: 'Severity.',
      options: severities,
      default: 'warning' as const,
      env: 'AIOT_SEVERITY',
    })(),
    maintenance,
    todo: Flags.string({
      summary: 'Next step for the operator, repeated in each notification.',
      env: 'AIOT_TODO',
      helpValue: 'TEXT',
    }),
    replace: Flags.boolean({
      summary: 'Change the existing alarm with this name; its open incidents end.',
      env: 'AIOT_REPLACE',
    }),
    context: shared.context,
  };
  static override result = alarmSchema;

  async run() {
    const input = await this.input(AlarmCreate);
    const { name, where, rate, clear, stream, selector, severity, todo, ...rest } = input.flags;
    const { absent: absentMs, within: withinMs, for: forMs, 'clear-for': clearForMs, class: label } = rest;
    const { maintenance: windows } = rest;
    const [offline, unwell] = [rest['offline-devices'] || undefined, rest.unwell || undefined];
    const wanted = {
      ...{ name, where, absentMs, rate, class: label, offline, unwell, withinMs, forMs, clear, clearForMs },
      ...{ stream, selector, severity, todo, maintenance: windows },
    };
    return this.ask(
      input,
      async (client) => {
        const { alarms } = client;
        const alarm = await (rest.replace ? alarms.replace(name, wanted) : alarms.create(wanted));
        for (const caution of await alarmCautions(client, wanted)) this.caution(caution);
        return alarm;
      },
      (alarm) => alarmText(alarm),
      // Recordings do not show the health of devices.
      () => [
        offline || unwell ? `aiot alarm show ${name}` : `aiot alarm test ${name} --since 7d`,
        'aiot alarm target add NAME URL',
      ],
    );
  }
}
