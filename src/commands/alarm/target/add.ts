import { Args, Flags } from '@oclif/core';
import { alarmTargetSchema } from '../../../lib/api/contract/alarm-targets.js';
import { severities } from '../../../lib/api/contract/alarms.js';
import { duration, shared } from '../../../lib/cli/flags/shared.js';
import { PlatformCommand } from '../../../lib/cli/platform-command.js';
import { alarmTargetText } from '../../../lib/cli/render/alarms.js';

export default class AlarmTargetAdd extends PlatformCommand {
  static override summary = 'Send incidents of alarms to people.';
  static override description =
    "Sends a message when an incident begins and when it ends, at least once. Targets are e-mail (smtp), ntfy, Telegram, PagerDuty's Events API, MQTT, Kafka and NATS. For signed HTTP requests, use aiot webhook add. $AIOT_NOTIFY_… in the URL stands for a variable of the platform's environment, so that the platform does not store a secret.";
  static override examples = [
    "<%= config.bin %> <%= command.id %> ops 'smtp://mail.example.com?from=aiot@example.com&to=ops@example.com'",
    '<%= config.bin %> <%= command.id %> phone ntfys://ntfy.sh/my-topic --severity critical',
    "<%= config.bin %> <%= command.id %> chat 'telegram://$AIOT_NOTIFY_BOT@api.telegram.org/-100123' --alarm hot,mute",
    "<%= config.bin %> <%= command.id %> pager 'pagerduty://$AIOT_NOTIFY_PAGER@events.pagerduty.com' --severity critical --after 15m",
    '<%= config.bin %> <%= command.id %> bus mqtt://127.0.0.1:1883/alarms --allow-private --json',
  ];
  static override args = {
    name: Args.string({ required: true, description: 'Name of the target.' }),
    url: Args.string({ required: true, description: 'Address of the target.' }),
  };
  static override flags = {
    severity: Flags.option({
      summary: 'The least severe alarms to send.',
      options: severities,
      default: 'info' as const,
      env: 'AIOT_SEVERITY',
    })(),
    alarm: Flags.string({
      summary: 'Only these comma-separated alarms [default: all].',
      env: 'AIOT_ALARM',
      helpValue: 'NAME,…',
    }),
    after: duration({
      summary: 'Send only incidents that are open and unacknowledged after this time, at most 7d.',
      env: 'AIOT_AFTER',
      default: 0,
    }),
    group: duration({
      summary: 'Send at most one message per alarm within this time, at most 7d.',
      env: 'AIOT_GROUP',
      default: 60_000,
    }),
    'allow-private': Flags.boolean({
      summary: 'Allow a target on this machine or on a private network, even without TLS.',
      env: 'AIOT_ALLOW_PRIVATE',
    }),
    context: shared.context,
  };
  static override result = alarmTargetSchema;

  async run() {
    const input = await this.input(AlarmTargetAdd);
    const { severity, alarm, after: afterMs, group: groupMs, 'allow-private': allowPrivate } = input.flags;
    const alarms = alarm === undefined ? [] : alarm.split(',').map((name) => name.trim());
    const wanted = { ...input.args, severity, alarms, afterMs, groupMs, allowPrivate };
    return this.ask(
      input,
      ({ alarmTargets }) => alarmTargets.add(wanted),
      (target) => alarmTargetText(target),
      ({ name }) => [`aiot alarm target test ${name}`],
    );
  }
}
